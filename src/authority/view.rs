//! The directory as an operation reads it: from a cache if that is current, else from the store.
//!
//! A view records the generation of each realm that the operation reads, and the order carries them. The store
//! refuses the order if one of them has changed since, so stale data cannot be acted on.

use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::Cache;

use crate::authority::policy::Rank;
use crate::authority::{Authority, Caller, Error, Result, policy};
use crate::revocation::Realms;
use jeton_core::directory::{
    Email, Invited, Organization, OrganizationId, OrganizationReference, Person, Role, Team, TeamReference,
    UserId,
};
use jeton_core::token::{Owner, TokenId};
use jeton_store::rules::members::{Addressee, Outsider};
use jeton_store::{
    Credentials, Generation, Guard, Order, PersonReference, Realm, SharedStore, Standing, Versioned, Versions,
};

/// A value, and the latest edit of the directory known before it was read.
type Read<T> = (Generation, Arc<T>);

/// Cached values by request. Bounded: unauthenticated clients choose the keys.
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

/// The directory, and the generations of the realms read from it.
pub(super) struct View<'a> {
    store: &'a SharedStore,
    views: &'a Views,
    realms: &'a Realms,
    /// The latest edit known when the view was created: data read from the store is at least as new.
    as_of: Generation,
    versions: Mutex<Versions>,
    /// The token of the caller, if there is one.
    credential: Option<TokenId>,
}

impl Authority {
    /// Returns the current directory, for an operation without a caller.
    pub(super) fn view(&self) -> View<'_> {
        View {
            store: &self.store,
            views: &self.views,
            realms: self.index.realms(),
            as_of: self.index.realms().as_of(),
            versions: Mutex::default(),
            credential: None,
        }
    }

    /// Returns the current directory for a caller, with the generations that the caller's rights rely on.
    pub(super) fn view_of(&self, caller: &Caller) -> View<'_> {
        View {
            versions: Mutex::new(caller.active().versions()),
            credential: Some(caller.token().id()),
            ..self.view()
        }
    }
}

impl View<'_> {
    /// Returns the generations of all realms read.
    pub(super) fn versions(&self) -> Versions {
        self.versions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Adds guards to an order: all realms read are unchanged, and the caller's token is still active.
    pub(super) fn guard(&self, order: Order) -> Order {
        let at = order.cause.at;
        let order = order.versions(self.versions());
        match self.credential {
            Some(token) => order.guard(Guard::Active(token, at)),
            None => order,
        }
    }

    fn relies_on(&self, realm: Realm, generation: Generation) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        // Data was read at the first generation: if a later one differs, the store must refuse the order.
        if !versions.0.iter().any(|(known, _)| *known == realm) {
            versions.0.push((realm, generation));
        }
    }

    /// Returns an organization, without a permission check.
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

    /// Returns a user, and relies on their generation.
    pub(super) async fn person(&self, reference: &PersonReference) -> Result<Option<Person>> {
        let Some(Versioned { value, generation }) = self.store.person(reference.clone()).await? else {
            return Ok(None);
        };
        let realm = Realm::Person(value.id.clone());
        self.realms.changed(&realm, generation);
        self.relies_on(realm, generation);
        Ok(Some(value))
    }

    /// Returns a user and the hash of their password.
    pub(super) async fn credentials(&self, email: &Email) -> Result<Option<Credentials>> {
        let found = self.store.credentials(email.clone()).await?;
        if let Some(credentials) = &found {
            let realm = Realm::Person(credentials.person.id.clone());
            self.realms.changed(&realm, credentials.generation);
            self.relies_on(realm, credentials.generation);
        }
        Ok(found)
    }

    /// Returns the addressee of a membership. An id finds members only: a caller must not find out which ids exist
    /// outside of the organization.
    pub(super) async fn addressee(
        &self,
        organization: OrganizationId,
        reference: &PersonReference,
    ) -> Result<Option<Addressee>> {
        let person = self.person(reference).await?;
        let user = person.map(|person| person.id);
        if let Some(user) = &user
            && let Some(role) = self.standing(user, organization).await?.role
        {
            let user = user.clone();
            return Ok(Some(Addressee::Member { user, role }));
        }
        match reference {
            PersonReference::Id(_) => Ok(None),
            PersonReference::Email(email) => Ok(Some(Addressee::Outsider(Outsider {
                email: email.clone(),
                user,
                invited: self.invited(email, organization).await?,
            }))),
        }
    }

    /// Returns what an address is invited to in an organization that was read before, on whose generation the result
    /// relies.
    pub(super) async fn invited(
        &self,
        email: &Email,
        organization: OrganizationId,
    ) -> Result<Option<Invited>> {
        Ok(self.store.invited(email.clone(), organization).await?)
    }

    /// Returns an organization and the caller's rank in it; [`Error::Absent`] if the caller may not see it.
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

    /// Returns the caller's rank in an organization.
    pub(super) async fn rank(&self, caller: &Caller, organization: OrganizationId) -> Result<Rank> {
        let standing = match caller.user() {
            Some(user) => self.standing(user, organization).await?,
            None => Arc::default(),
        };
        Ok(policy::rank(caller, organization, &standing))
    }

    /// Returns the caller's rank wherever an owner's tokens are valid. If a user's token is valid in all of
    /// their organizations, being a viewer in one of them makes them a viewer.
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

    /// Returns a team of an organization that was read before, on whose generation the result relies.
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

    /// Returns a user's roles in an organization that was read before, on whose generation the result relies.
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
