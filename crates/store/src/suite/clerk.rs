//! Helpers that build and commit orders without permission checks, for the test cases of the contract.

use crate::rules::keys::NotWithdrawn;
use crate::rules::members::{Addressee, Outsider};
use crate::rules::retention::{Ended, Purged};
use crate::rules::tokens::{Demands, Former, IsLast, Leaves, Limit, NameTaken, Naming, Replaces};
use crate::rules::usage::{UseReport, UseReported};
use crate::rules::{bulk, keys, members, organizations, people, projects, retention, teams, tokens, usage};
use crate::{
    BulkId, BulkOrder, BulkRevocation, Cause, Committed, Deleted, Description, Effect, Generation, Guard,
    KeyRow, KeyStep, LastToken, NewKey, NewPerson, Order, PersonReference, Realm, Recorded, Refused,
    ReservedIndex, Result, SharedStore, Versions, renew_counts,
};
use async_trait::async_trait;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{
    Consent, Email, Name, Organization, OrganizationId, Person, Project, Role, Team, TeamId, UserId,
};
use jeton_core::token::{
    Actor, CutOff, NewToken, Owner, Record, Refusals, Revocation, RevocationNote, TokenId, TokenReference,
    Use,
};

/// The outcome of an order that was evaluated at an edit of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt<T> {
    Done(T),
    /// The data it relied on has changed since.
    Stale,
}

/// The outcome of creating or renaming something with a unique name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created<T> {
    Made(T),
    NameTaken,
    /// Its parent, or the thing to rename, does not exist.
    Absent,
}

/// The outcome of changing a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed<T> {
    Done(T),
    Absent,
    LastAdministrator,
}

/// The outcome of changing a membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    Done,
    LastAdmin,
    Absent,
}

/// When and by whom something is deleted or changed.
#[derive(Debug, Clone)]
pub struct Removal {
    pub at: Timestamp,
    pub by: Actor,
}

/// An organization to create.
#[derive(Debug, Clone)]
pub struct NewOrganization {
    pub organization: Organization,
    pub creator: Option<UserId>,
}

/// A team to create.
#[derive(Debug, Clone)]
pub struct NewTeam {
    pub team: Team,
}

/// Changes to a user; `None` keeps a field.
#[derive(Debug, Clone)]
pub struct PersonChanges {
    pub first_name: Option<Option<String>>,
    pub last_name: Option<Option<String>>,
    pub username: Option<Option<String>>,
    pub site_admin: Option<bool>,
    pub disabled: Option<bool>,
    pub password_hash: Option<String>,
    pub change: Removal,
}

/// A token to record, and the conditions for it.
#[derive(Debug, Clone)]
pub struct RecordOrder {
    pub token: NewToken,
    pub versions: Generation,
    pub limits: Vec<Limit>,
    pub unique_name: bool,
    pub rotation: Option<Rotation>,
}

/// The token that a new one replaces, and its revocation.
#[derive(Debug, Clone)]
pub struct Rotation {
    pub token: TokenId,
    pub revocation: Revocation,
}

/// The outcome of recording a token.
#[derive(Debug)]
pub enum RecordOutcome {
    Recorded(Recorded),
    Stale,
    LimitReached {
        most: u32,
    },
    NameTaken,
    NotActive,
    /// A cut-off covers the second of issue.
    CutOff,
    /// The slot holds another token by now, or its token has ended.
    SlotTaken,
    /// The owner's count was too high and has been renewed.
    Recounted,
}

/// A request to revoke one token.
#[derive(Debug, Clone)]
pub struct RevokeOrder {
    pub token: TokenId,
    pub revocation: Revocation,
    pub last_token: LastToken,
}

/// The outcome of revoking one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RevokeOutcome {
    Revoked(RevocationNote),
    AlreadyRevoked(RevocationNote),
    Last,
    Unknown,
}

fn cause(at: Timestamp, by: Actor) -> Cause {
    Cause {
        by,
        ..Cause::operator(at)
    }
}

fn noon() -> Cause {
    Cause::operator(super::at(0))
}

/// Returns a guard for a realm as of an edit: with an older generation if the realm has changed since.
fn relied_on(realm: Realm, generation: Generation, versions: Generation) -> Guard {
    Guard::Unchanged(realm, generation.min(versions))
}

/// All writes that one order makes.
#[async_trait]
pub trait Clerk {
    async fn found(&self, administrator: NewPerson, organization: NewOrganization) -> Result<bool>;
    async fn create_organization(
        &self,
        new: NewOrganization,
        at: Generation,
    ) -> Result<Attempt<Created<Organization>>>;
    async fn change_organization(
        &self,
        id: OrganizationId,
        change: impl for<'a> FnOnce(&'a mut Organization) + Send,
        ending: Option<BulkOrder>,
        at: Generation,
    ) -> Result<Attempt<Created<(Organization, Option<BulkRevocation>)>>>;
    async fn remove_organization(
        &self,
        id: OrganizationId,
        removal: Removal,
        at: Generation,
    ) -> Result<Attempt<()>>;
    async fn put_member(
        &self,
        id: OrganizationId,
        email: Email,
        role: Role,
        at: Generation,
    ) -> Result<Attempt<MemberChange>>;
    async fn add_members(
        &self,
        id: OrganizationId,
        teams: Vec<TeamId>,
        people: Vec<Email>,
        at: Generation,
    ) -> Result<Attempt<MemberChange>>;
    async fn remove_member(
        &self,
        id: OrganizationId,
        email: Email,
        removal: Removal,
        at: Generation,
    ) -> Result<Attempt<MemberChange>>;
    async fn create_team(&self, new: NewTeam, at: Generation) -> Result<Attempt<Created<Team>>>;
    async fn rename_team(&self, id: TeamId, name: Name, at: Generation) -> Result<Attempt<Created<Team>>>;
    async fn remove_team(&self, id: TeamId, removal: Removal, at: Generation) -> Result<Attempt<()>>;
    async fn put_team_member(
        &self,
        id: TeamId,
        email: Email,
        role: Role,
        at: Generation,
    ) -> Result<Attempt<MemberChange>>;
    async fn remove_team_member(
        &self,
        id: TeamId,
        email: Email,
        at: Generation,
    ) -> Result<Attempt<MemberChange>>;
    /// Gives a role as somebody who must ask: in an organization, or in a team of it.
    async fn offer(
        &self,
        to: (OrganizationId, Option<TeamId>),
        email: Email,
        role: Role,
        at: Generation,
    ) -> Result<Attempt<MemberChange>>;
    async fn accept(
        &self,
        organization: OrganizationId,
        user: UserId,
        at: Generation,
    ) -> Result<Attempt<MemberChange>>;
    async fn decline(
        &self,
        organization: OrganizationId,
        email: Email,
        at: Generation,
    ) -> Result<Attempt<MemberChange>>;
    async fn create_project(
        &self,
        organization: OrganizationId,
        name: Name,
        now: Timestamp,
        at: Generation,
    ) -> Result<Attempt<Created<Project>>>;
    async fn remove_project(
        &self,
        organization: OrganizationId,
        id: u32,
        at: Generation,
    ) -> Result<Attempt<bool>>;
    async fn create_person(&self, new: NewPerson, at: Generation) -> Result<Attempt<Created<Person>>>;
    async fn change_person(
        &self,
        id: UserId,
        changes: PersonChanges,
        at: Generation,
    ) -> Result<Attempt<Changed<Person>>>;
    async fn remove_person(
        &self,
        id: UserId,
        removal: Removal,
        at: Generation,
    ) -> Result<Attempt<Changed<()>>>;
    async fn record(&self, order: RecordOrder, list_index: ReservedIndex) -> Result<RecordOutcome>;
    async fn describe(
        &self,
        id: TokenId,
        description: Description,
        at: Generation,
    ) -> Result<Attempt<Option<Record>>>;
    async fn revoke(&self, order: RevokeOrder) -> Result<RevokeOutcome>;
    async fn cut_off(
        &self,
        cut_off: CutOff,
        by: Actor,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<u64>;
    async fn revoke_many(&self, order: BulkOrder, at: Generation) -> Result<Attempt<BulkRevocation>>;
    async fn continue_bulk_revocation(&self, id: BulkId, now: Timestamp) -> Result<Option<BulkRevocation>>;
    async fn note_use(&self, uses: Vec<Use>) -> Result<()>;
    async fn note_refusals(&self, refused: Vec<(TokenId, Refusals)>) -> Result<()>;
    async fn report_use(&self, report: UseReport, now: Timestamp) -> Result<UseReported>;
    async fn purge(&self, after: Option<TokenId>, ended_by: Timestamp, now: Timestamp) -> Result<Purged>;
    async fn promise_jwks(&self, max_age: u32, now: Timestamp) -> Result<()>;
    async fn publish_key(&self, key: NewKey, now: Timestamp) -> Result<KeyRow>;
    /// Returns whether the step was due.
    async fn advance_key(&self, kid: &str, step: KeyStep, now: Timestamp) -> Result<bool>;
    async fn withdraw_key(
        &self,
        kid: &str,
        successor: Option<NewKey>,
        now: Timestamp,
    ) -> Result<std::result::Result<(), NotWithdrawn>>;
    /// Returns whether the key signs.
    async fn need_key(&self, kid: &str, until: Timestamp) -> Result<bool>;
}

/// Returns an organization and the guard that it is unchanged, if it exists.
async fn organization(
    store: &SharedStore,
    id: OrganizationId,
    at: Generation,
) -> Result<Option<(Organization, Guard)>> {
    let found = store.organization(id.into()).await?;
    Ok(found.map(|found| {
        let guard = relied_on(Realm::Organization(id), found.generation, at);
        (found.value, guard)
    }))
}

async fn person(store: &SharedStore, id: UserId, at: Generation) -> Result<Option<(Person, Guard)>> {
    let found = store.person(PersonReference::Id(id)).await?;
    Ok(found.map(|found| {
        let guard = relied_on(Realm::Person(found.value.id.clone()), found.generation, at);
        (found.value, guard)
    }))
}

async fn addressee(store: &SharedStore, organization: OrganizationId, email: &Email) -> Result<Addressee> {
    let found = store.person(email.clone().into()).await?;
    let user = found.map(|found| found.value.id);
    if let Some(user) = &user
        && let Some(role) = store.standing(user.clone(), organization).await?.role
    {
        let user = user.clone();
        return Ok(Addressee::Member { user, role });
    }
    Ok(Addressee::Outsider(Outsider {
        email: email.clone(),
        user,
        invited: store.invited(email.clone(), organization).await?,
    }))
}

async fn former(store: &SharedStore, record: Record, now: Timestamp) -> Result<Former> {
    Ok(Former {
        before: match record.lineage.rotated_from {
            Some(before) => store.token(TokenReference::Id(before)).await?,
            None => None,
        },
        counts: store.is_standing(record.id, now).await?,
        record,
    })
}

async fn member_change(store: &SharedStore, order: Order) -> Result<Attempt<MemberChange>> {
    Ok(match store.commit(order).await? {
        Ok(_) => Attempt::Done(MemberChange::Done),
        Err(Refused(Guard::AnotherAdmin(..))) => Attempt::Done(MemberChange::LastAdmin),
        Err(Refused(_)) => Attempt::Stale,
    })
}

async fn creating<T: Send>(
    store: &SharedStore,
    order: Order,
    made: impl FnOnce(Committed) -> T + Send,
) -> Result<Attempt<Created<T>>> {
    Ok(match store.commit(order).await? {
        Ok(committed) => Attempt::Done(Created::Made(made(committed))),
        Err(Refused(
            Guard::OrganizationNameFree(..)
            | Guard::TeamNameFree(..)
            | Guard::ProjectNameFree(..)
            | Guard::EmailFree(_),
        )) => Attempt::Done(Created::NameTaken),
        Err(Refused(_)) => Attempt::Stale,
    })
}

async fn changing<T: Send>(store: &SharedStore, order: Order, changed: T) -> Result<Attempt<Changed<T>>> {
    Ok(match store.commit(order).await? {
        Ok(_) => Attempt::Done(Changed::Done(changed)),
        Err(Refused(Guard::AnotherSiteAdministrator(_))) => Attempt::Done(Changed::LastAdministrator),
        Err(Refused(_)) => Attempt::Stale,
    })
}

#[async_trait]
impl Clerk for SharedStore {
    async fn found(&self, administrator: NewPerson, new: NewOrganization) -> Result<bool> {
        let order = organizations::found(noon(), administrator, new.organization);
        Ok(self.commit(order).await?.is_ok())
    }

    async fn create_organization(
        &self,
        new: NewOrganization,
        at: Generation,
    ) -> Result<Attempt<Created<Organization>>> {
        let cause = Cause::operator(new.organization.created_at);
        let mut order = organizations::create(
            cause,
            new.organization.clone(),
            new.creator.clone(),
            new.organization.created_at,
        );
        if let Some(creator) = new.creator {
            match person(self, creator, at).await? {
                Some((_, guard)) => order = order.guard(guard),
                None => return Ok(Attempt::Done(Created::Absent)),
            }
        }
        creating(self, order, |_| new.organization).await
    }

    async fn change_organization(
        &self,
        id: OrganizationId,
        change: impl for<'a> FnOnce(&'a mut Organization) + Send,
        ending: Option<BulkOrder>,
        at: Generation,
    ) -> Result<Attempt<Created<(Organization, Option<BulkRevocation>)>>> {
        let Some((before, guard)) = organization(self, id, at).await? else {
            return Ok(Attempt::Done(Created::Absent));
        };
        let mut changed = before.clone();
        change(&mut changed);
        let order = organizations::change(noon(), &before, changed.clone(), ending, noon().at).guard(guard);
        creating(self, order, |committed| (changed, committed.bulk)).await
    }

    async fn remove_organization(
        &self,
        id: OrganizationId,
        removal: Removal,
        at: Generation,
    ) -> Result<Attempt<()>> {
        let Some((removed, guard)) = organization(self, id, at).await? else {
            return Ok(Attempt::Done(()));
        };
        let order = organizations::remove(cause(removal.at, removal.by), removed).guard(guard);
        Ok(match self.commit(order).await? {
            Ok(_) => Attempt::Done(()),
            Err(_) => Attempt::Stale,
        })
    }

    async fn put_member(
        &self,
        id: OrganizationId,
        email: Email,
        role: Role,
        at: Generation,
    ) -> Result<Attempt<MemberChange>> {
        let Some((_, guard)) = organization(self, id, at).await? else {
            return Ok(Attempt::Done(MemberChange::Absent));
        };
        let to = addressee(self, id, &email).await?;
        let order = members::put(noon(), id, &to, role, Consent::Waived);
        member_change(self, order.guard(guard)).await
    }

    async fn add_members(
        &self,
        id: OrganizationId,
        teams: Vec<TeamId>,
        people: Vec<Email>,
        at: Generation,
    ) -> Result<Attempt<MemberChange>> {
        let Some((_, guard)) = organization(self, id, at).await? else {
            return Ok(Attempt::Done(MemberChange::Absent));
        };
        for team in &teams {
            let team = self.team_with_id(team.clone()).await?;
            if team.is_none_or(|team| team.organization != id) {
                return Ok(Attempt::Done(MemberChange::Absent));
            }
        }
        let mut addressees = Vec::new();
        for email in &people {
            addressees.push(addressee(self, id, email).await?);
        }
        let order = members::add(noon(), id, &teams, &addressees, Consent::Waived);
        member_change(self, order.guard(guard)).await
    }

    async fn remove_member(
        &self,
        id: OrganizationId,
        email: Email,
        removal: Removal,
        at: Generation,
    ) -> Result<Attempt<MemberChange>> {
        let Some((_, guard)) = organization(self, id, at).await? else {
            return Ok(Attempt::Done(MemberChange::Absent));
        };
        let who = addressee(self, id, &email).await?;
        let order = members::remove(cause(removal.at, removal.by), id, &who);
        member_change(self, order.guard(guard)).await
    }

    async fn create_team(&self, new: NewTeam, at: Generation) -> Result<Attempt<Created<Team>>> {
        let Some((_, guard)) = organization(self, new.team.organization, at).await? else {
            return Ok(Attempt::Done(Created::Absent));
        };
        let order = teams::create(noon(), new.team.clone()).guard(guard);
        creating(self, order, |_| new.team).await
    }

    async fn rename_team(&self, id: TeamId, name: Name, at: Generation) -> Result<Attempt<Created<Team>>> {
        let Some(team) = self.team_with_id(id).await? else {
            return Ok(Attempt::Done(Created::Absent));
        };
        let Some((_, guard)) = organization(self, team.organization, at).await? else {
            return Ok(Attempt::Done(Created::Absent));
        };
        let renamed = Team { name, ..team.clone() };
        let order = teams::rename(noon(), team, renamed.clone()).guard(guard);
        creating(self, order, |_| renamed).await
    }

    async fn remove_team(&self, id: TeamId, removal: Removal, at: Generation) -> Result<Attempt<()>> {
        let Some(team) = self.team_with_id(id).await? else {
            return Ok(Attempt::Done(()));
        };
        let Some((_, guard)) = organization(self, team.organization, at).await? else {
            return Ok(Attempt::Done(()));
        };
        let order = teams::remove(cause(removal.at, removal.by), &team).guard(guard);
        Ok(match self.commit(order).await? {
            Ok(_) => Attempt::Done(()),
            Err(_) => Attempt::Stale,
        })
    }

    async fn put_team_member(
        &self,
        id: TeamId,
        email: Email,
        role: Role,
        at: Generation,
    ) -> Result<Attempt<MemberChange>> {
        let Some(team) = self.team_with_id(id).await? else {
            return Ok(Attempt::Done(MemberChange::Absent));
        };
        let Some((_, guard)) = organization(self, team.organization, at).await? else {
            return Ok(Attempt::Done(MemberChange::Absent));
        };
        let to = addressee(self, team.organization, &email).await?;
        let order = members::put_into_team(noon(), team.organization, &team.id, &to, role, Consent::Waived);
        member_change(self, order.guard(guard)).await
    }

    async fn remove_team_member(
        &self,
        id: TeamId,
        email: Email,
        at: Generation,
    ) -> Result<Attempt<MemberChange>> {
        let Some(team) = self.team_with_id(id).await? else {
            return Ok(Attempt::Done(MemberChange::Absent));
        };
        let Some((_, guard)) = organization(self, team.organization, at).await? else {
            return Ok(Attempt::Done(MemberChange::Absent));
        };
        let who = addressee(self, team.organization, &email).await?;
        let order = match who {
            Addressee::Member { user, .. } => {
                let standing = self.standing(user.clone(), team.organization).await?;
                let Some((_, role)) = standing.teams.iter().find(|(of, _)| *of == team.id) else {
                    return Ok(Attempt::Done(MemberChange::Done));
                };
                members::remove_from_team(noon(), team.organization, team.id, user, *role)
            }
            Addressee::Outsider(outsider) => {
                members::uninvite_from_team(noon(), team.organization, team.id, &outsider)
            }
        };
        member_change(self, order.guard(guard)).await
    }

    async fn offer(
        &self,
        (id, team): (OrganizationId, Option<TeamId>),
        email: Email,
        role: Role,
        at: Generation,
    ) -> Result<Attempt<MemberChange>> {
        let Some((_, guard)) = organization(self, id, at).await? else {
            return Ok(Attempt::Done(MemberChange::Absent));
        };
        let to = addressee(self, id, &email).await?;
        let order = match team {
            None => members::put(noon(), id, &to, role, Consent::Required),
            Some(team) if self.team_with_id(team.clone()).await?.is_none() => {
                return Ok(Attempt::Done(MemberChange::Done));
            }
            Some(team) => members::put_into_team(noon(), id, &team, &to, role, Consent::Required),
        };
        member_change(self, order.guard(guard)).await
    }

    async fn accept(
        &self,
        id: OrganizationId,
        user: UserId,
        at: Generation,
    ) -> Result<Attempt<MemberChange>> {
        let (Some((_, unchanged)), Some((person, same))) =
            (organization(self, id, at).await?, person(self, user, at).await?)
        else {
            return Ok(Attempt::Done(MemberChange::Absent));
        };
        if self.invited(person.email, id).await?.is_none() {
            return Ok(Attempt::Done(MemberChange::Absent));
        }
        let order = members::accept(noon(), id, person.id)
            .guard(unchanged)
            .guard(same);
        member_change(self, order).await
    }

    async fn decline(
        &self,
        id: OrganizationId,
        email: Email,
        at: Generation,
    ) -> Result<Attempt<MemberChange>> {
        let Some((_, guard)) = organization(self, id, at).await? else {
            return Ok(Attempt::Done(MemberChange::Absent));
        };
        if self.invited(email.clone(), id).await?.is_none() {
            return Ok(Attempt::Done(MemberChange::Absent));
        }
        member_change(self, members::decline(noon(), id, email).guard(guard)).await
    }

    async fn create_project(
        &self,
        id: OrganizationId,
        name: Name,
        now: Timestamp,
        at: Generation,
    ) -> Result<Attempt<Created<Project>>> {
        let Some((_, guard)) = organization(self, id, at).await? else {
            return Ok(Attempt::Done(Created::Absent));
        };
        let order = projects::create(Cause::operator(now), id, name.clone()).guard(guard);
        creating(self, order, |committed| Project {
            id: committed.project.unwrap(),
            name,
            organization: id,
            created_at: now,
        })
        .await
    }

    async fn remove_project(&self, id: OrganizationId, number: u32, at: Generation) -> Result<Attempt<bool>> {
        let Some((_, guard)) = organization(self, id, at).await? else {
            return Ok(Attempt::Done(false));
        };
        let mut found = self.existing_projects(id, vec![number]).await?;
        let Some(project) = found.pop() else {
            return Ok(Attempt::Done(false));
        };
        let order = projects::remove(noon(), project).guard(guard);
        Ok(match self.commit(order).await? {
            Ok(_) => Attempt::Done(true),
            Err(_) => Attempt::Stale,
        })
    }

    async fn create_person(&self, new: NewPerson, _: Generation) -> Result<Attempt<Created<Person>>> {
        let order = people::create(noon(), new.clone());
        creating(self, order, |_| new.person).await
    }

    async fn change_person(
        &self,
        id: UserId,
        changes: PersonChanges,
        at: Generation,
    ) -> Result<Attempt<Changed<Person>>> {
        let Some((before, guard)) = person(self, id, at).await? else {
            return Ok(Attempt::Done(Changed::Absent));
        };
        let now = changes.change.at;
        let changed = Person {
            first_name: changes.first_name.unwrap_or(before.first_name.clone()),
            last_name: changes.last_name.unwrap_or(before.last_name.clone()),
            username: changes.username.unwrap_or(before.username.clone()),
            site_admin: changes.site_admin.unwrap_or(before.site_admin),
            disabled_at: match changes.disabled {
                Some(true) => before.disabled_at.or(Some(now)),
                Some(false) => None,
                None => before.disabled_at,
            },
            ..before.clone()
        };
        let cause = cause(now, changes.change.by);
        let order = people::change(cause, &before, changed.clone(), changes.password_hash).guard(guard);
        changing(self, order, changed).await
    }

    async fn remove_person(
        &self,
        id: UserId,
        removal: Removal,
        at: Generation,
    ) -> Result<Attempt<Changed<()>>> {
        let Some((person, guard)) = person(self, id, at).await? else {
            return Ok(Attempt::Done(Changed::Absent));
        };
        let order = people::remove(cause(removal.at, removal.by), &person).guard(guard);
        changing(self, order, ()).await
    }

    async fn record(&self, order: RecordOrder, list_index: ReservedIndex) -> Result<RecordOutcome> {
        let RecordOrder {
            token,
            versions,
            limits,
            unique_name,
            rotation,
        } = order;
        let now = token.created_at;
        let owner: Owner = token.owner.clone();
        let naming = if unique_name {
            Naming::Unique(self.name_use(owner.clone(), token.name.clone(), now).await?)
        } else {
            Naming::Free
        };
        let replaces = match (rotation, &token.slot) {
            (Some(rotation), _) => match self.token(TokenReference::Id(rotation.token)).await? {
                Some(record) => {
                    let former = former(self, record, now).await?;
                    Replaces::Rotated(former, rotation.revocation.effective_at)
                }
                None => return Ok(RecordOutcome::NotActive),
            },
            (None, Some(slot)) => {
                let held = self.token_in_slot(owner.clone(), slot.clone()).await?;
                Replaces::InSlot(match held {
                    Some(record) => Some(former(self, record, now).await?),
                    None => None,
                })
            }
            (None, None) => Replaces::Nothing,
        };
        let demands = Demands {
            limits,
            naming,
            replaces,
        };
        let is_rotation = matches!(demands.replaces, Replaces::Rotated(..));
        let cause = cause(now, token.created_by.clone());
        let order = match tokens::record(cause.clone(), token, list_index, demands) {
            Ok(order) => order,
            Err(NameTaken(_)) => return Ok(RecordOutcome::NameTaken),
        };
        let mut relied_on = Versions::default();
        if let Some(id) = owner.organization() {
            match organization(self, id, versions).await? {
                Some((_, Guard::Unchanged(realm, generation))) => relied_on.0.push((realm, generation)),
                _ => return Ok(RecordOutcome::Stale),
            }
        }
        if let Some(user) = owner.user() {
            match person(self, user.clone(), versions).await? {
                Some((_, Guard::Unchanged(realm, generation))) => relied_on.0.push((realm, generation)),
                _ => return Ok(RecordOutcome::Stale),
            }
        }
        Ok(match self.commit(order.versions(relied_on.clone())).await? {
            Ok(committed) => RecordOutcome::Recorded(committed.recorded.unwrap()),
            Err(Refused(guard)) => match guard {
                Guard::AfterCutOffs => RecordOutcome::CutOff,
                Guard::UnderLimit { owners, most, ended } => {
                    match renew_counts(&**self, &cause, &owners, &relied_on).await? {
                        Ok(active) if active >= u64::from(most) + u64::from(ended) => {
                            RecordOutcome::LimitReached { most }
                        }
                        Ok(_) | Err(Refused(Guard::CountUnmoved(..))) => RecordOutcome::Recounted,
                        Err(_) => RecordOutcome::Stale,
                    }
                }
                Guard::NameUnusedSince { .. } => RecordOutcome::NameTaken,
                Guard::Standing(..) if is_rotation => RecordOutcome::NotActive,
                Guard::Standing(..) => RecordOutcome::SlotTaken,
                Guard::SlotHolds { .. } => RecordOutcome::SlotTaken,
                _ => RecordOutcome::Stale,
            },
        })
    }

    async fn describe(
        &self,
        id: TokenId,
        description: Description,
        at: Generation,
    ) -> Result<Attempt<Option<Record>>> {
        let Some(record) = self.token(TokenReference::Id(id)).await? else {
            return Ok(Attempt::Done(None));
        };
        let mut order = tokens::describe(noon(), &record, description);
        if let Some(id) = record.token.owner.organization() {
            match organization(self, id, at).await? {
                Some((_, guard)) => order = order.guard(guard),
                None => return Ok(Attempt::Stale),
            }
        }
        Ok(match self.commit(order).await? {
            Ok(_) => Attempt::Done(self.token(TokenReference::Id(id)).await?),
            Err(_) => Attempt::Stale,
        })
    }

    async fn revoke(&self, order: RevokeOrder) -> Result<RevokeOutcome> {
        let RevokeOrder {
            token,
            revocation,
            last_token,
        } = order;
        // Sessions can be revoked too, but have no record to look up.
        let record = self.token(TokenReference::Id(token)).await?;
        let at = revocation.revoked_at;
        let owner = record.map(|record| record.token.owner);
        let kept = match owner.as_ref().and_then(Owner::organization) {
            Some(id) => {
                let found = self.organization(id.into()).await?;
                let keeps = found.is_some_and(|found| found.value.policy.keep_last_token);
                owner.filter(|_| keeps)
            }
            None => None,
        };
        let cause = cause(at, revocation.revoked_by.clone()).because(revocation.reason.clone());
        loop {
            let leaves = match (last_token, &kept) {
                (LastToken::Stays, Some(owner)) => match self.other_active(owner.clone(), token, at).await? {
                    None if !self.is_standing(token, at).await? => Leaves::Nothing,
                    other => Leaves::Another(other),
                },
                (LastToken::Stays, None) | (LastToken::MayGo, _) => Leaves::Nothing,
            };
            let order = match tokens::revoke(cause.clone(), token, revocation.effective_at, leaves) {
                Ok(order) => order,
                Err(IsLast(_)) => return Ok(RevokeOutcome::Last),
            };
            return Ok(match self.commit(order).await? {
                Ok(_) => RevokeOutcome::Revoked(revocation.into()),
                Err(Refused(Guard::Standing(..))) => continue,
                Err(Refused(_)) => {
                    let record = self.token(TokenReference::Id(token)).await?;
                    match record.and_then(|record| record.revocation) {
                        Some(note) => RevokeOutcome::AlreadyRevoked(note),
                        None => RevokeOutcome::Unknown,
                    }
                }
            });
        }
    }

    async fn cut_off(
        &self,
        cut_off: CutOff,
        by: Actor,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<u64> {
        let order = Order::new(cause(now, by).because(reason)).effect(Effect::CutOff(cut_off));
        Ok(self.commit(order).await?.unwrap().position.unwrap().sequence)
    }

    async fn revoke_many(&self, order: BulkOrder, at: Generation) -> Result<Attempt<BulkRevocation>> {
        let mut wanted = Order::new(noon()).effect(Effect::RevokeMany(Box::new(order.clone())));
        if let Some(id) = order.filter.organization {
            match organization(self, id, at).await? {
                Some((_, guard)) => wanted = wanted.guard(guard),
                None => return Ok(Attempt::Stale),
            }
        }
        Ok(match self.commit(wanted).await? {
            Ok(committed) => Attempt::Done(committed.bulk.unwrap()),
            Err(_) => Attempt::Stale,
        })
    }

    async fn continue_bulk_revocation(&self, id: BulkId, now: Timestamp) -> Result<Option<BulkRevocation>> {
        loop {
            let Some(portion) = self.bulk_portion(id, 500, now).await? else {
                return Ok(None);
            };
            if portion.bulk.finished_at.is_some() {
                return Ok(Some(portion.bulk));
            }
            let (order, bulk) = bulk::advance(portion, now);
            if self.commit(order).await?.is_ok() {
                return Ok(Some(bulk));
            }
        }
    }

    async fn note_use(&self, uses: Vec<Use>) -> Result<()> {
        let order = Order::new(noon()).effect(Effect::NoteUse(uses));
        self.commit(order).await?.unwrap();
        Ok(())
    }

    async fn note_refusals(&self, refused: Vec<(TokenId, Refusals)>) -> Result<()> {
        let order = Order::new(noon()).effect(Effect::NoteRefusals(refused));
        self.commit(order).await?.unwrap();
        Ok(())
    }

    async fn report_use(&self, report: UseReport, now: Timestamp) -> Result<UseReported> {
        let jtis = report.uses.iter().map(|reported| reported.jti);
        let known = self.known_tokens(jtis.collect()).await?;
        let (order, reported) = usage::report(Cause::server(now), report, &known);
        self.commit(order).await?.unwrap();
        Ok(reported)
    }

    async fn purge(&self, after: Option<TokenId>, ended_by: Timestamp, now: Timestamp) -> Result<Purged> {
        // Only what the audit has sealed is deleted.
        while self.seal().await?.has_more {}
        let aged = self.aged(after).await?;
        let ended = Ended {
            by: ended_by,
            idempotency_keys_by: ended_by,
        };
        let (order, purged) = retention::purge(Cause::server(now), aged, ended, Deleted::default());
        if let Some(order) = order {
            self.commit(order).await?.unwrap();
        }
        Ok(purged)
    }

    async fn promise_jwks(&self, max_age: u32, now: Timestamp) -> Result<()> {
        loop {
            let Some(order) = keys::promise(Cause::server(now), &self.keys().await?, max_age) else {
                return Ok(());
            };
            if self.commit(order).await?.is_ok() {
                return Ok(());
            }
        }
    }

    async fn publish_key(&self, key: NewKey, now: Timestamp) -> Result<KeyRow> {
        loop {
            let (order, row) = keys::publish(Cause::server(now), &self.keys().await?, key.clone());
            if self.commit(order).await?.is_ok() {
                return Ok(row);
            }
        }
    }

    async fn advance_key(&self, kid: &str, step: KeyStep, now: Timestamp) -> Result<bool> {
        loop {
            let Some(order) = keys::advance(Cause::server(now), &self.keys().await?, kid, step) else {
                return Ok(false);
            };
            if self.commit(order).await?.is_ok() {
                return Ok(true);
            }
        }
    }

    async fn withdraw_key(
        &self,
        kid: &str,
        successor: Option<NewKey>,
        now: Timestamp,
    ) -> Result<std::result::Result<(), NotWithdrawn>> {
        let successor = || match &successor {
            Some(key) => keys::Successor::New(key.clone()),
            None => keys::Successor::Undecided,
        };
        loop {
            let cause = Cause::operator(now).because(Some("leaked".to_owned()));
            let order = match keys::withdraw(cause, &self.keys().await?, kid, successor()) {
                Ok(order) => order,
                Err(not) => return Ok(Err(not)),
            };
            if self.commit(order).await?.is_ok() {
                return Ok(Ok(()));
            }
        }
    }

    async fn need_key(&self, kid: &str, until: Timestamp) -> Result<bool> {
        let order = keys::need(Cause::server(until), kid, until);
        Ok(self.commit(order).await?.is_ok())
    }
}
