//! Who belongs to an organization or a team. Needs a session.

use crate::authority::policy::{self, Rank};
use crate::authority::{Authority, Caller, Error, Result};
use crate::directory::{Email, Member, OrganizationReference, Role, TeamReference};
use crate::store::{Judged, MemberChange, Slice};

impl Authority {
    /// Who belongs to an organization.
    pub async fn members(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        slice: Slice,
    ) -> Result<Vec<Member>> {
        let (organization, _) = self.view().visible(caller, reference).await?;
        Ok(self.store.members(organization.id, slice).await?)
    }

    /// Gives somebody a role in an organization.
    pub async fn put_member(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        email: &Email,
        role: Role,
    ) -> Result<()> {
        policy::logged_in(caller)?;
        self.judged(move || {
            Box::pin(async move {
                let view = self.view();
                let (organization, rank) = view.visible(caller, reference).await?;
                policy::manage_organization(&rank)?;
                changed(
                    self.store
                        .put_member(organization.id, email.clone(), role, view.generation())
                        .await?,
                )
            })
        })
        .await
    }

    /// Takes somebody out of an organization and its teams; their tokens of it end.
    pub async fn remove_member(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        email: &Email,
    ) -> Result<()> {
        policy::logged_in(caller)?;
        self.judged(move || {
            Box::pin(async move {
                let view = self.view();
                let (organization, rank) = view.visible(caller, reference).await?;
                policy::manage_organization(&rank)?;
                let removal = self.removal(caller);
                changed(
                    self.store
                        .remove_member(organization.id, email.clone(), removal, view.generation())
                        .await?,
                )
            })
        })
        .await
    }

    /// Who belongs to a team.
    pub async fn team_members(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        team: &TeamReference,
        slice: Slice,
    ) -> Result<Vec<Member>> {
        let team = self.team(caller, organization, team).await?;
        Ok(self.store.team_members(team.id, slice).await?)
    }

    /// Gives somebody a role in a team. Only an admin of the organization can bring in people from
    /// outside of it, who then become its members too.
    pub async fn put_team_member(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        team: &TeamReference,
        email: &Email,
        role: Role,
    ) -> Result<()> {
        policy::logged_in(caller)?;
        self.judged(move || {
            Box::pin(async move {
                let view = self.view();
                let (organization, rank) = view.visible(caller, organization).await?;
                let team = view.team(organization.id, team).await?;
                policy::manage_team(&rank, &team.id)?;
                let belongs = match self.store.person(email.clone().into()).await? {
                    Some(person) => self
                        .store
                        .standing(person.id, organization.id)
                        .await?
                        .role
                        .is_some(),
                    None => false,
                };
                if !belongs {
                    policy::invite_to_team(&rank)?;
                }
                changed(
                    self.store
                        .put_team_member(team.id.clone(), email.clone(), role, view.generation())
                        .await?,
                )
            })
        })
        .await
    }

    /// Takes somebody out of a team.
    pub async fn remove_team_member(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        team: &TeamReference,
        email: &Email,
    ) -> Result<()> {
        policy::logged_in(caller)?;
        self.judged(move || {
            Box::pin(async move {
                let view = self.view();
                let (organization, rank): (_, Rank) = view.visible(caller, organization).await?;
                let team = view.team(organization.id, team).await?;
                policy::manage_team(&rank, &team.id)?;
                changed(
                    self.store
                        .remove_team_member(team.id.clone(), email.clone(), view.generation())
                        .await?,
                )
            })
        })
        .await
    }
}

fn changed(outcome: Judged<MemberChange>) -> Result<Judged<()>> {
    match outcome {
        Judged::Done(MemberChange::Done) => Ok(Judged::Done(())),
        Judged::Done(MemberChange::LastAdmin) => Err(Error::LastAdmin),
        Judged::Done(MemberChange::Absent) => Err(Error::Absent),
        Judged::Stale => Ok(Judged::Stale),
    }
}
