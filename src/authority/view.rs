//! What the directory says, from memory where it can.
//!
//! A view is what an operation judges by. It remembers the version of every realm whose facts it was asked
//! for, and the order carries them: the store refuses it if one of them has changed since. So nothing here
//! can be stale and do harm, and nobody has to remember what was relied on.

use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::Cache;

use crate::authority::policy::Rank;
use crate::authority::{Authority, Caller, Error, Result, policy};
use crate::revocation::Realms;
use jeton_core::directory::{
    Email, Organization, OrganizationId, OrganizationReference, Person, Role, Team, TeamReference, UserId,
};
use jeton_core::token::Owner;
use jeton_store::rules::members::Addressee;
use jeton_store::{
    Credentials, Generation, JudgedAt, PersonReference, Realm, SharedStore, Standing, Versioned,
};

/// Something that was read, and the last edit of the directory that was known before.
type Read<T> = (Generation, Arc<T>);

/// What was read, by what was asked. Bounded: strangers choose the questions.
#[derive(Debug)]
pub(super) struct Views {
    organizations: Cache<OrganizationReference, Read<Versioned<Organization>>>,
    teams: Cache<(OrganizationId, TeamReference), Read<Team>>,
    standings: Cache<(UserId, OrganizationId), Read<Standing>>,
}

impl Default for Views {
    fn default() -> Self {
        Self {
            organizations: Cache::new(4096),
            teams: Cache::new(4096),
            standings: Cache::new(16_384),
        }
    }
}

/// The directory, and what was relied on of it.
pub(super) struct View<'a> {
    store: &'a SharedStore,
    views: &'a Views,
    realms: &'a Realms,
    /// The last edit that was known when the view was taken: what is read is at least as new.
    as_of: Generation,
    judged_at: Mutex<JudgedAt>,
}

impl Authority {
    /// The directory as it is now, for an operation in nobody's name.
    pub(super) fn view(&self) -> View<'_> {
        View {
            store: &self.store,
            views: &self.views,
            realms: self.index.realms(),
            as_of: self.index.realms().as_of(),
            judged_at: Mutex::default(),
        }
    }

    /// The same for a caller, whose own rights are relied on.
    pub(super) fn view_of(&self, caller: &Caller) -> View<'_> {
        View {
            judged_at: Mutex::new(caller.active().judged_at()),
            ..self.view()
        }
    }
}

impl View<'_> {
    /// The versions of everything that was relied on.
    pub(super) fn judged_at(&self) -> JudgedAt {
        self.judged_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn relies_on(&self, realm: Realm, generation: Generation) {
        let mut judged_at = self.judged_at.lock().unwrap_or_else(PoisonError::into_inner);
        // The first counts: facts of it were read since. Another version has the order refused.
        if !judged_at.0.iter().any(|(known, _)| *known == realm) {
            judged_at.0.push((realm, generation));
        }
    }

    /// An organization, whoever may see it.
    pub(super) async fn organization(
        &self,
        reference: &OrganizationReference,
    ) -> Result<Option<Arc<Versioned<Organization>>>> {
        let known = self.views.organizations.get(reference);
        let current = known.filter(|(as_of, organization)| {
            self.realms
                .is_current(&Realm::Organization(organization.value.id), *as_of)
        });
        let found = match current {
            Some((_, organization)) => Some(organization),
            None => self.store.organization(reference.clone()).await?.map(|found| {
                let found = Arc::new(found);
                let realm = Realm::Organization(found.value.id);
                self.realms.changed(&realm, found.generation);
                let read = (self.as_of, Arc::clone(&found));
                self.views.organizations.insert(reference.clone(), read);
                found
            }),
        };
        if let Some(organization) = &found {
            self.relies_on(
                Realm::Organization(organization.value.id),
                organization.generation,
            );
        }
        Ok(found)
    }

    /// A person, and that they are who they are.
    pub(super) async fn person(&self, reference: &PersonReference) -> Result<Option<Person>> {
        let Some(Versioned { value, generation }) = self.store.person(reference.clone()).await? else {
            return Ok(None);
        };
        let realm = Realm::Person(value.id.clone());
        self.realms.changed(&realm, generation);
        self.relies_on(realm, generation);
        Ok(Some(value))
    }

    /// A person and the hash of their password.
    pub(super) async fn credentials(&self, email: &Email) -> Result<Option<Credentials>> {
        let found = self.store.credentials(email.clone()).await?;
        if let Some(credentials) = &found {
            let realm = Realm::Person(credentials.person.id.clone());
            self.realms.changed(&realm, credentials.generation);
            self.relies_on(realm, credentials.generation);
        }
        Ok(found)
    }

    /// Whom a membership of an organization is about who is named so; `None` if an id names nobody.
    pub(super) async fn addressee(
        &self,
        organization: OrganizationId,
        reference: &PersonReference,
    ) -> Result<Option<Addressee>> {
        Ok(match (self.person(reference).await?, reference) {
            (Some(person), _) => Some(Addressee::Person {
                role: self.standing(&person.id, organization).await?.role,
                user: person.id,
            }),
            (None, PersonReference::Email(email)) => Some(Addressee::Nobody(email.clone())),
            (None, PersonReference::Id(_)) => None,
        })
    }

    /// An organization and what the caller is in it; absent if they are nothing there.
    pub(super) async fn visible(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
    ) -> Result<(Arc<Versioned<Organization>>, Rank)> {
        let organization = self.organization(reference).await?.ok_or(Error::Absent)?;
        let rank = self.rank(caller, organization.value.id).await?;
        policy::see_organization(&rank)?;
        Ok((organization, rank))
    }

    /// What the caller is in an organization.
    pub(super) async fn rank(&self, caller: &Caller, organization: OrganizationId) -> Result<Rank> {
        let standing = match caller.user() {
            Some(user) => self.standing(user, organization).await?,
            None => Arc::default(),
        };
        Ok(policy::rank(caller, organization, &standing))
    }

    /// What the caller is wherever the tokens of an owner are good. One that is good in all of a person's
    /// organizations is good where they are a viewer too, who makes none.
    pub(super) async fn rank_of(&self, caller: &Caller, owner: &Owner) -> Result<Rank> {
        if let Some(organization) = owner.organization() {
            return self.rank(caller, organization).await;
        }
        let rank = policy::rank_everywhere(caller);
        let (Rank::Member { .. }, Some(user)) = (&rank, owner.user()) else {
            return Ok(rank);
        };
        let memberships = self.store.memberships(user.clone()).await?;
        let mut roles = memberships.iter().map(|membership| membership.role);
        Ok(if roles.any(|role| role == Role::Viewer) {
            Rank::Viewer
        } else {
            rank
        })
    }

    /// A team of an organization that was asked for before, whose version it is of.
    pub(super) async fn team(
        &self,
        organization: OrganizationId,
        reference: &TeamReference,
    ) -> Result<Arc<Team>> {
        let question = (organization, reference.clone());
        let realm = Realm::Organization(organization);
        let known = self.views.teams.get(&question);
        if let Some((_, team)) = known.filter(|(as_of, _)| self.realms.is_current(&realm, *as_of)) {
            return Ok(team);
        }
        let team = Arc::new(
            self.store
                .team(organization, reference.clone())
                .await?
                .ok_or(Error::Absent)?,
        );
        let read = (self.as_of, Arc::clone(&team));
        self.views.teams.insert(question, read);
        Ok(team)
    }

    /// What a person is in an organization that was asked for before, whose version it is of.
    pub(super) async fn standing(
        &self,
        user: &UserId,
        organization: OrganizationId,
    ) -> Result<Arc<Standing>> {
        let question = (user.clone(), organization);
        let realms = [Realm::Organization(organization), Realm::Person(user.clone())];
        let known = self.views.standings.get(&question);
        let is_current = |as_of| realms.iter().all(|realm| self.realms.is_current(realm, as_of));
        if let Some((_, standing)) = known.filter(|(as_of, _)| is_current(*as_of)) {
            return Ok(standing);
        }
        let standing = Arc::new(self.store.standing(user.clone(), organization).await?);
        let read = (self.as_of, Arc::clone(&standing));
        self.views.standings.insert(question, read);
        Ok(standing)
    }
}
