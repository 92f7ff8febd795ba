//! Teams of an organization.

use crate::authority::policy;
use crate::authority::retry::Attempt;
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::directory::{Name, OrganizationReference, Role, Team, TeamId, TeamReference};
use jeton_store::rules::teams;
use jeton_store::{Found, Order, Search, Slice};

impl Authority {
    /// Creates a team.
    pub async fn create_team(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        name: &Name,
    ) -> Result<Team> {
        let id = &TeamId::random(&*self.entropy);
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank) = view.visible(caller, reference).await?;
                policy::manage_organization(&rank)?;
                self.allow_team(organization.value.id).await?;
                let team = Team {
                    id: id.clone(),
                    name: name.clone(),
                    organization: organization.value.id,
                    created_at: self.clock.now(),
                };
                let order = teams::create(caller.cause(team.created_at), team.clone());
                Ok(self.commit(&view, order).await?.map(|_| team))
            })
        })
        .await
        .inspect(|team| tracing::info!(by = caller.actor().name, organization = %team.organization, team = %team.id, name = %team.name, "team created"))
    }

    /// Returns the teams of an organization.
    pub async fn teams(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        slice: Slice,
    ) -> Result<Vec<Team>> {
        let (organization, _) = self.view().visible(caller, reference).await?;
        Ok(self.store.teams(organization.value.id, slice).await?)
    }

    /// Returns a page of the teams of an organization.
    pub async fn find_teams(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        search: Search,
    ) -> Result<Found<Team>> {
        let (organization, _) = self.view().visible(caller, reference).await?;
        Ok(self.store.find_teams(organization.value.id, search).await?)
    }

    /// Returns the teams of an organization that the caller belongs to, with the caller's role in each.
    pub async fn own_teams(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
    ) -> Result<Vec<(Team, Role)>> {
        let view = self.view();
        let (organization, _) = view.visible(caller, reference).await?;
        let Some(user) = caller.user() else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for (id, role) in &view.standing(user, organization.value.id).await?.teams {
            let team = view
                .team(organization.value.id, &TeamReference::Id(id.clone()))
                .await?;
            found.push((Team::clone(&team), *role));
        }
        Ok(found)
    }

    /// Returns a team.
    pub async fn team(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        team: &TeamReference,
    ) -> Result<Team> {
        let view = self.view();
        let (organization, _) = view.visible(caller, organization).await?;
        Ok(Team::clone(&*view.team(organization.value.id, team).await?))
    }

    /// Returns the team with an id, in any organization that the caller may see.
    pub async fn team_with_id(&self, caller: &Caller, id: &TeamId) -> Result<Team> {
        let team = self.store.team_with_id(id.clone()).await?.ok_or(Error::Absent)?;
        self.view().visible(caller, &team.organization.into()).await?;
        Ok(team)
    }

    /// Updates a team: renames it if `name` is given. Its tokens stay valid, since their claims contain its
    /// id, not its name.
    pub async fn change_team(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        team: &TeamReference,
        name: Option<&Name>,
    ) -> Result<Team> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank) = view.visible(caller, organization).await?;
                let team = view.team(organization.value.id, team).await?;
                policy::manage_organization(&rank)?;
                let Some(name) = name else {
                    return Ok(Attempt::Done(Team::clone(&team)));
                };
                let renamed = Team {
                    name: name.clone(),
                    ..Team::clone(&team)
                };
                let order = teams::rename(caller.cause(self.clock.now()), Team::clone(&team), renamed.clone());
                Ok(self.commit(&view, order).await?.map(|_| renamed))
            })
        })
        .await
        .inspect(|team| tracing::info!(by = caller.actor().name, organization = %team.organization, team = %team.id, name = %team.name, "team updated"))
    }

    /// Deletes a team and revokes its tokens.
    pub async fn remove_team(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        team: &TeamReference,
    ) -> Result<()> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let order = self.removal_of_team(&view, &caller, organization, team).await?;
                Ok(self.commit(&view, order).await?.map(drop))
            })
        })
        .await
        .inspect(|()| {
            tracing::info!(
                by = caller.actor().name,
                %organization,
                %team,
                "team deleted"
            )
        })
    }

    /// Returns the order of [`Authority::remove_team`].
    pub(super) async fn removal_of_team(
        &self,
        view: &View<'_>,
        caller: &Caller,
        organization: &OrganizationReference,
        team: &TeamReference,
    ) -> Result<Order> {
        let (organization, rank) = view.visible(caller, organization).await?;
        let team = view.team(organization.value.id, team).await?;
        policy::manage_organization(&rank)?;
        Ok(teams::remove(caller.cause(self.clock.now()), &team))
    }
}
