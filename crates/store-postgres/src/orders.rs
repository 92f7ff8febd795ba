//! Orders: comparing guards and applying effects, in one job of the writer.

use async_trait::async_trait;
use jeton_verifier::event::Position;

use crate::PostgresStore;
use crate::bulk;
use crate::failure::Failure;
use crate::issuing::Issuing;
use crate::revoking::is_revocation;
use crate::writer::{Batch, Work};
use jeton_core::token::Record;
use jeton_store::rules::audit;
use jeton_store::{
    BulkRevocation, Cause, Committed, Effect, GivenNumbers, Guard, Makes, Order, Realm, Recorded, Refused,
    Result, Writes,
};

#[async_trait]
impl Writes for PostgresStore {
    async fn commit(&self, order: Order) -> Result<std::result::Result<Committed, Refused>> {
        self.prune_journal(&order).await?;
        let done = match Issuing::takes(&order) {
            true => self.issuing.commit(order).await?,
            false if is_revocation(&order) => self.writer.revoke(order).await?,
            false => {
                let retiring = self.retiring(&order);
                self.writer.run(CarryOut { order, retiring }).await?
            }
        };
        if let Ok(Done {
            record: Some(record), ..
        }) = &done
        {
            self.history.note(record);
        }
        Ok(done.map(|done| Committed {
            position: done.position,
            recorded: done.record.map(Recorded::after_commit),
            project: done.project,
            bulk: done.bulk,
        }))
    }
}

/// An order for the writer, and what drops the reserved indexes of the status lists that it retires.
struct CarryOut<R> {
    order: Order,
    retiring: R,
}

#[async_trait]
impl<R: FnOnce() + Send + 'static> Work for CarryOut<R> {
    type Output = Outcome;

    async fn run(self, batch: &mut Batch<'_>) -> std::result::Result<Self::Output, Failure> {
        (self.retiring)();
        batch.carry_out(self.order).await
    }
}

/// An order of a lane that is tried alone.
#[async_trait]
impl Work for Order {
    type Output = Outcome;

    async fn run(self, batch: &mut Batch<'_>) -> std::result::Result<Self::Output, Failure> {
        batch.carry_out(self).await
    }
}

/// The results of an order before its commit; [`Committed`] is made of them after it.
#[derive(Default)]
pub(super) struct Done {
    position: Option<Position>,
    record: Option<Box<Record>>,
    project: Option<u32>,
    bulk: Option<BulkRevocation>,
}

/// The answer to an order.
pub(super) type Outcome = std::result::Result<Done, Refused>;

impl Done {
    /// Returns the results of an order that only added an event.
    pub(super) fn at(position: Position) -> Self {
        Self {
            position: Some(position),
            ..Self::default()
        }
    }

    /// Returns the results of an order that only recorded a token.
    pub(super) fn recorded(record: Record) -> Self {
        Self {
            record: Some(Box::new(record)),
            ..Self::default()
        }
    }
}

impl Batch<'_> {
    pub(super) async fn carry_out(
        &mut self,
        order: Order,
    ) -> std::result::Result<std::result::Result<Done, Refused>, Failure> {
        let Order {
            guards,
            effects,
            cause,
        } = order;
        if let Some(guard) = self.broken(guards, &effects).await? {
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
            self.apply(effect, &cause, &mut done).await?;
            if let Some(action) = action {
                let bulk = done.bulk.as_ref().map(|bulk| bulk.id);
                self.note_action(&action.numbered(done.project, bulk), &cause)
                    .await?;
            }
        }
        self.changed(realms).await?;
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
            self.record_key(key, cause.at, made.as_ref()).await?;
        }
        Ok(Ok(done))
    }

    /// Returns the first guard that does not hold.
    async fn broken(
        &mut self,
        guards: Vec<Guard>,
        effects: &[Effect],
    ) -> std::result::Result<Option<Guard>, Failure> {
        let recorded = effects.iter().find_map(|effect| match effect {
            Effect::Record(new) => Some(&new.token),
            _ => None,
        });
        for guard in guards {
            if !self.holds(&guard, recorded).await? {
                return Ok(Some(guard));
            }
        }
        Ok(None)
    }

    async fn apply(
        &mut self,
        effect: Effect,
        cause: &Cause,
        done: &mut Done,
    ) -> std::result::Result<(), Failure> {
        match effect {
            Effect::Record(new) => done.record = Some(self.record(*new, cause).await?),
            Effect::Describe(described) => self.describe(described.token, described.after).await?,
            Effect::Revoke(token, effective_at, reason) => {
                self.revoke_token(token, effective_at, reason, cause).await?;
            }
            Effect::CutOff(cut_off) => {
                self.cut_off(cut_off, cause).await?;
            }
            Effect::RevokeMany(order) => done.bulk = Some(bulk::take_down(self, *order).await?),
            Effect::SetCount(owner, count) => {
                let owner = self.owner(&owner).await?;
                self.set_count(owner, &count).await?;
            }
            Effect::DeleteCounts(organization) => self.delete_counts(organization).await?,
            Effect::AdvanceBulk(bulk) => bulk::advance(self, &bulk).await?,
            Effect::CreateOrganization(new) => self.create_organization(&new).await?,
            Effect::ChangeOrganization(edit) => self.change_organization(&edit.after, cause).await?,
            Effect::RemoveOrganization(removed) => self.remove_organization(removed.id, cause).await?,
            Effect::SetRole(organization, user, role, existing, _) => {
                self.set_role(organization, &user, role, existing).await?;
            }
            Effect::RemoveMember(organization, user, _) => self.remove_member(organization, &user).await?,
            Effect::Invite(organization, team, email, role, consent, existing) => {
                let to = self.invited_to(organization, team.as_ref()).await?;
                self.invite(to, &email, role, consent, existing, cause).await?;
            }
            Effect::Uninvite(organization, team, email) => {
                self.uninvite(organization, team.as_ref(), &email).await?;
            }
            Effect::AcceptInvitations(organization, user) => {
                self.accept_invitations(organization, &user).await?
            }
            Effect::CreateTeam(team) => self.create_team(&team).await?,
            Effect::ChangeTeam(edit) => self.change_team(&edit.after).await?,
            Effect::RemoveTeam(team) => self.remove_team(&team.id, cause.at).await?,
            Effect::SetTeamRole(_, team, user, role, existing) => {
                self.set_team_role(&team, &user, role, existing).await?;
            }
            Effect::RemoveTeamMember(_, team, user, _) => self.remove_team_member(&team, &user).await?,
            Effect::CreateProject(organization, name) => {
                done.project = Some(self.create_project(organization, &name, cause.at).await?);
            }
            Effect::RemoveProject(project) => self.remove_project(project.id).await?,
            Effect::CreatePerson(new) => self.create_person(&new, cause).await?,
            Effect::ChangePerson(edit, password_hash) => {
                self.change_person(&edit.after, password_hash).await?
            }
            Effect::RemovePerson(person) => self.remove_person(&person.id, cause).await?,
            Effect::NoteUse(uses) => self.note_use(&uses).await?,
            Effect::NoteReports(audiences) => self.note_reports(&audiences, cause.at).await?,
            Effect::NoteRefusals(refused) => self.note_refusals(&refused).await?,
            Effect::Purge(purge) => self.purge(&purge, cause.at).await?,
            Effect::PublishKey(row) => self.publish_key(&row).await?,
            Effect::SetKeyState(kid, edit) => self.set_key_state(&kid, edit.after, cause.at).await?,
            Effect::NeedKey(kid, until) => {
                self.needed_key(&kid, Some(until)).await?;
            }
            Effect::PromiseJwks(edit) => self.promise_jwks(edit.after).await?,
            Effect::SettleTime(instant) => self.settle_time(instant).await?,
            Effect::SetSetting(name, edit) => {
                self.set_setting(&name, edit.after.as_deref(), cause.at).await?
            }
            // Leaves an action only.
            Effect::NoteFailures(_) => {}
        }
        Ok(())
    }
}
