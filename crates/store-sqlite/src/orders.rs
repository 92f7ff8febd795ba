//! Orders: comparing guards and applying effects, in one job of the writer.

use async_trait::async_trait;
use jeton_verifier::event::Position;

use crate::SqliteStore;
use crate::bulk;
use crate::failure::Failure;
use crate::feed::OrderedFrom;
use crate::writer::{Batch, Undo};
use jeton_core::token::Record;
use jeton_store::rules::audit;
use jeton_store::{
    BulkRevocation, Cause, Committed, Effect, GivenNumbers, Guard, Makes, Order, Realm, Recorded, Refused,
    Result, Writes,
};

#[async_trait]
impl Writes for SqliteStore {
    async fn commit(&self, order: Order) -> Result<std::result::Result<Committed, Refused>> {
        self.prune_journal(&order).await?;
        let retiring = self.retiring(&order);
        let done = self
            .writer
            .run(undo(&order), move |batch| {
                retiring();
                batch.carry_out(order)
            })
            .await?;
        Ok(done.map(|done| Committed {
            position: done.position,
            recorded: done.record.map(Recorded::after_commit),
            project: done.project,
            bulk: done.bulk,
        }))
    }
}

/// Returns how a failed order is undone: a savepoint covers more than one statement.
fn undo(order: &Order) -> Undo {
    if order.cause.idempotency.is_some() {
        return Undo::Savepoint;
    }
    match order.effects.as_slice() {
        [Effect::Record(new)] if new.is_counted => Undo::Savepoint,
        [
            Effect::Record(_)
            | Effect::CutOff(_)
            | Effect::SetCount(..)
            | Effect::NeedKey(..)
            | Effect::SettleTime(_),
        ] => Undo::Statement,
        _ => Undo::Savepoint,
    }
}

/// The results of an order before its commit; [`Committed`] is made of them after it.
#[derive(Default)]
struct Done {
    position: Option<Position>,
    record: Option<Box<Record>>,
    project: Option<u32>,
    bulk: Option<BulkRevocation>,
}

impl Batch<'_> {
    fn carry_out(
        &mut self,
        order: Order,
    ) -> std::result::Result<std::result::Result<Done, Refused>, Failure> {
        let Order {
            guards,
            effects,
            cause,
        } = order;
        if let Some(guard) = self.broken(guards, &effects)? {
            return Ok(Err(Refused(guard)));
        }
        self.memory.reach(cause.at);
        let before = self.memory.head.sequence;
        let mut done = Done::default();
        let mut realms: Vec<Realm> = Vec::new();
        let makes = Makes::of(&effects);
        // A request that changes nothing leaves its key unused.
        let key = cause.idempotency.as_ref().filter(|_| !effects.is_empty());
        for effect in effects {
            for realm in effect.realms() {
                if !realms.contains(&realm) {
                    realms.push(realm);
                }
            }
            let action = audit::action(&effect);
            self.apply(effect, &cause, &mut done)?;
            if let Some(action) = action {
                let bulk = done.bulk.as_ref().map(|bulk| bulk.id);
                self.note_action(&action.numbered(done.project, bulk), &cause)?;
            }
        }
        self.changed(realms)?;
        if self.memory.head.sequence != before {
            done.position = Some(self.memory.position());
        }
        if let Some(key) = key {
            let given = GivenNumbers {
                token: done.record.as_ref().map(|record| record.id),
                bulk: done.bulk.as_ref().map(|bulk| bulk.id),
                project: done.project,
                event: self.memory.head.sequence,
            };
            let made = makes.and_then(|makes| makes.made(given));
            self.record_key(key, cause.at, made.as_ref())?;
        }
        Ok(Ok(done))
    }

    /// Returns the first guard that does not hold.
    fn broken(
        &mut self,
        guards: Vec<Guard>,
        effects: &[Effect],
    ) -> std::result::Result<Option<Guard>, Failure> {
        let recorded = effects.iter().find_map(|effect| match effect {
            Effect::Record(new) => Some(&new.token),
            _ => None,
        });
        for guard in guards {
            if !self.holds(&guard, recorded)? {
                return Ok(Some(guard));
            }
        }
        Ok(None)
    }

    fn apply(&mut self, effect: Effect, cause: &Cause, done: &mut Done) -> std::result::Result<(), Failure> {
        match effect {
            Effect::Record(new) => done.record = Some(self.record(*new, cause)?),
            Effect::Describe(described) => self.describe(described.token, described.after)?,
            Effect::Revoke(token, effective_at, reason) => {
                self.revoke_token(token, effective_at, reason, cause)?;
            }
            Effect::CutOff(cut_off) => {
                let reason = cause.reason.as_deref();
                self.cut_off(cut_off, &cause.by, reason, cause.at, OrderedFrom::from(cause))?;
            }
            Effect::RevokeMany(order) => done.bulk = Some(bulk::take_down(self, *order)?),
            Effect::SetCount(owner, count) => {
                let owner = self.owner(&owner)?;
                self.set_count(owner, &count)?;
            }
            Effect::DeleteCounts(organization) => self.delete_counts(organization)?,
            Effect::AdvanceBulk(bulk) => bulk::advance(self, &bulk)?,
            Effect::CreateOrganization(new) => self.create_organization(&new)?,
            Effect::ChangeOrganization(edit) => self.change_organization(&edit.after, cause)?,
            Effect::RemoveOrganization(removed) => self.remove_organization(removed.id, cause)?,
            Effect::SetRole(organization, user, role, existing, _) => {
                self.set_role(organization, &user, role, existing)?;
            }
            Effect::RemoveMember(organization, user, _) => self.remove_member(organization, &user)?,
            Effect::Invite(organization, team, email, role, consent, existing) => {
                let to = self.invited_to(organization, team.as_ref())?;
                self.invite(to, &email, role, consent, existing, cause)?;
            }
            Effect::Uninvite(organization, team, email) => {
                self.uninvite(organization, team.as_ref(), &email)?;
            }
            Effect::AcceptInvitations(organization, user) => self.accept_invitations(organization, &user)?,
            Effect::CreateTeam(team) => self.create_team(&team)?,
            Effect::ChangeTeam(edit) => self.change_team(&edit.after)?,
            Effect::RemoveTeam(team) => self.remove_team(&team.id, cause.at)?,
            Effect::SetTeamRole(_, team, user, role, existing) => {
                self.set_team_role(&team, &user, role, existing)?;
            }
            Effect::RemoveTeamMember(_, team, user, _) => self.remove_team_member(&team, &user)?,
            Effect::CreateProject(organization, name) => {
                done.project = Some(self.create_project(organization, &name, cause.at)?);
            }
            Effect::RemoveProject(project) => self.remove_project(project.id)?,
            Effect::CreatePerson(new) => self.create_person(&new, cause)?,
            Effect::ChangePerson(edit, password_hash) => self.change_person(&edit.after, password_hash)?,
            Effect::RemovePerson(person) => self.remove_person(&person.id, cause)?,
            Effect::NoteUse(uses) => self.note_use(&uses)?,
            Effect::NoteReports(audiences) => self.note_reports(&audiences, cause.at)?,
            Effect::NoteRefusals(refused) => self.note_refusals(&refused)?,
            Effect::Purge(purge) => self.purge(&purge, cause.at)?,
            Effect::PublishKey(row) => self.publish_key(&row)?,
            Effect::SetKeyState(kid, edit) => self.set_key_state(&kid, edit.after, cause.at)?,
            Effect::NeedKey(kid, until) => {
                let numbers = &mut self.memory.numbers;
                numbers.needed_key(self.connection, &kid, Some(until))?;
            }
            Effect::PromiseJwks(edit) => self.promise_jwks(edit.after)?,
            Effect::SettleTime(instant) => self.settle_time(instant)?,
            // They leave an action only.
            Effect::SetSetting(..) | Effect::NoteFailures(_) => {}
        }
        Ok(())
    }
}
