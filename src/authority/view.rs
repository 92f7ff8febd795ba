//! What the directory says at one generation, from memory where it can.
//!
//! A view is what an operation judges by. The store then refuses the operation's order if the
//! directory is no longer of the view's generation, so nothing here can be stale and do harm; and an
//! operation that is repeated for another generation reads everything anew.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::authority::policy::Rank;
use crate::authority::{Authority, Caller, Error, Result, policy};
use jeton_core::directory::{
    Organization, OrganizationId, OrganizationReference, Role, Team, TeamReference, UserId,
};
use jeton_core::token::Owner;
use jeton_store::{Generation, SharedStore, Standing};

/// What was read, by what was asked. Bounded: strangers choose the questions.
#[derive(Debug)]
pub(super) struct Views {
    organizations: Cache<OrganizationReference, (Generation, Arc<Organization>)>,
    teams: Cache<(OrganizationId, TeamReference), (Generation, Arc<Team>)>,
    standings: Cache<(UserId, OrganizationId), (Generation, Arc<Standing>)>,
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

/// The directory at one generation.
pub(super) struct View<'a> {
    store: &'a SharedStore,
    views: &'a Views,
    generation: Generation,
}

impl Authority {
    /// The directory as it is now.
    pub(super) fn view(&self) -> View<'_> {
        View {
            store: &self.store,
            views: &self.views,
            generation: self.index.generation(),
        }
    }
}

impl View<'_> {
    /// What the store is to compare.
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// An organization, whoever may see it.
    pub(super) async fn organization(
        &self,
        reference: &OrganizationReference,
    ) -> Result<Option<Arc<Organization>>> {
        if let Some(known) = self.current(self.views.organizations.get(reference)) {
            return Ok(Some(known));
        }
        let found = self.store.organization(reference.clone()).await?.map(Arc::new);
        if let Some(organization) = &found {
            self.views
                .organizations
                .insert(reference.clone(), (self.generation, Arc::clone(organization)));
        }
        Ok(found)
    }

    /// An organization and what the caller is in it; absent if they are nothing there.
    pub(super) async fn visible(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
    ) -> Result<(Arc<Organization>, Rank)> {
        let organization = self.organization(reference).await?.ok_or(Error::Absent)?;
        let rank = self.rank(caller, organization.id).await?;
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

    /// A team of an organization.
    pub(super) async fn team(
        &self,
        organization: OrganizationId,
        reference: &TeamReference,
    ) -> Result<Arc<Team>> {
        let question = (organization, reference.clone());
        if let Some(known) = self.current(self.views.teams.get(&question)) {
            return Ok(known);
        }
        let team = Arc::new(
            self.store
                .team(organization, reference.clone())
                .await?
                .ok_or(Error::Absent)?,
        );
        self.views
            .teams
            .insert(question, (self.generation, Arc::clone(&team)));
        Ok(team)
    }

    /// What a person is in an organization.
    pub(super) async fn standing(
        &self,
        user: &UserId,
        organization: OrganizationId,
    ) -> Result<Arc<Standing>> {
        let question = (user.clone(), organization);
        if let Some(known) = self.current(self.views.standings.get(&question)) {
            return Ok(known);
        }
        let standing = Arc::new(self.store.standing(user.clone(), organization).await?);
        self.views
            .standings
            .insert(question, (self.generation, Arc::clone(&standing)));
        Ok(standing)
    }

    fn current<T>(&self, known: Option<(Generation, T)>) -> Option<T> {
        known
            .filter(|(generation, _)| *generation == self.generation)
            .map(|(_, value)| value)
    }
}
