//! Who belongs to an organization or a team. Needs a session.

use std::sync::Arc;

use crate::authority::policy::{self, Rank};
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::directory::{Belonging, Email, OrganizationId, OrganizationReference, Role, TeamReference};
use jeton_store::{Judged, MemberChange, PersonReference, Slice, Standing};

/// Whom a role is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Whoever it is.
    Anybody,
    /// Only somebody who does not belong there yet.
    Newcomer,
    /// Only somebody who belongs there already.
    Member,
}

impl Whom {
    fn is_meant(self, has: Option<Role>) -> bool {
        match self {
            Self::Anybody => true,
            Self::Newcomer => has.is_none(),
            Self::Member => has.is_some(),
        }
    }
}

/// What became of giving somebody a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleGiven {
    /// They have it.
    Given,
    /// They are not whom it was for.
    NotMeant,
}

impl Authority {
    /// Who belongs to an organization, and who is invited to it.
    pub async fn members(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        slice: Slice,
    ) -> Result<Vec<Belonging>> {
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
        whom: Whom,
    ) -> Result<RoleGiven> {
        policy::logged_in(caller)?;
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank) = view.visible(caller, reference).await?;
                policy::manage_organization(&rank)?;
                let standing = self.standing_of(&view, email, organization.id).await?;
                if !whom.is_meant(standing.role) {
                    return Ok(Judged::Done(RoleGiven::NotMeant));
                }
                given(
                    self.store
                        .put_member(organization.id, email.clone(), role, view.generation())
                        .await?,
                )
            })
        })
        .await
        .inspect(|outcome| {
            if *outcome == RoleGiven::Given {
                tracing::info!(by = caller.actor().name, organization = ?reference, person = %email, role = role.as_str(), "a role in an organization was given");
            }
        })
    }

    /// Takes somebody out of an organization and its teams; their tokens of it end.
    pub async fn remove_member(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        email: &Email,
    ) -> Result<()> {
        policy::logged_in(caller)?;
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
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
        .inspect(|()| tracing::info!(by = caller.actor().name, organization = ?reference, person = %email, "somebody is in an organization no more"))
    }

    /// Who belongs to a team, and who is invited to it.
    pub async fn team_members(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        team: &TeamReference,
        slice: Slice,
    ) -> Result<Vec<Belonging>> {
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
        whom: Whom,
    ) -> Result<RoleGiven> {
        policy::logged_in(caller)?;
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank) = view.visible(caller, organization).await?;
                let team = view.team(organization.id, team).await?;
                policy::manage_team(&rank, &team.id)?;
                let standing = self.standing_of(&view, email, organization.id).await?;
                let in_team = standing.teams.iter().find(|(id, _)| *id == team.id);
                if !whom.is_meant(in_team.map(|(_, role)| *role)) {
                    return Ok(Judged::Done(RoleGiven::NotMeant));
                }
                if standing.role.is_none() {
                    policy::invite_to_team(&rank)?;
                }
                given(
                    self.store
                        .put_team_member(team.id.clone(), email.clone(), role, view.generation())
                        .await?,
                )
            })
        })
        .await
        .inspect(|outcome| {
            if *outcome == RoleGiven::Given {
                tracing::info!(by = caller.actor().name, ?organization, ?team, person = %email, role = role.as_str(), "a role in a team was given");
            }
        })
    }

    /// Brings people into an organization, or into teams of it, as members; who has a role there keeps
    /// it. Only an admin of the organization can bring in people from outside of it, whom an id that is
    /// known elsewhere does not name.
    pub async fn add_members(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        teams: &[TeamReference],
        people: &[PersonReference],
    ) -> Result<()> {
        policy::logged_in(caller)?;
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank) = view.visible(caller, organization).await?;
                let mut ids = Vec::new();
                for team in teams {
                    let team = view.team(organization.id, team).await?;
                    policy::manage_team(&rank, &team.id)?;
                    ids.push(team.id.clone());
                }
                if teams.is_empty() {
                    policy::manage_organization(&rank)?;
                }
                let mut emails = Vec::new();
                for person in people {
                    emails.push(match (self.member(organization.id, person).await?, person) {
                        (Some(email), _) => email,
                        (None, PersonReference::Email(email)) => {
                            policy::invite_to_team(&rank)?;
                            email.clone()
                        }
                        (None, PersonReference::Id(_)) => return Err(Error::Absent),
                    });
                }
                changed(
                    self.store
                        .add_members(organization.id, ids, emails, view.generation())
                        .await?,
                )
            })
        })
        .await
        .inspect(|()| {
            tracing::info!(
                by = caller.actor().name,
                ?organization,
                ?teams,
                ?people,
                "people are members of an organization from now on"
            )
        })
    }

    /// Takes somebody out of a team.
    pub async fn remove_team_member(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        team: &TeamReference,
        person: &PersonReference,
    ) -> Result<()> {
        policy::logged_in(caller)?;
        self.judged_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank): (_, Rank) = view.visible(caller, organization).await?;
                let team = view.team(organization.id, team).await?;
                policy::manage_team(&rank, &team.id)?;
                let email = match person {
                    PersonReference::Email(email) => email.clone(),
                    PersonReference::Id(_) => {
                        let member = self.member(organization.id, person).await?;
                        member.ok_or(Error::Absent)?
                    }
                };
                changed(
                    self.store
                        .remove_team_member(team.id.clone(), email, view.generation())
                        .await?,
                )
            })
        })
        .await
        .inspect(|()| {
            tracing::info!(
                by = caller.actor().name,
                ?organization,
                ?team,
                ?person,
                "somebody is in a team no more"
            )
        })
    }

    /// The address of a person who belongs to an organization.
    async fn member(
        &self,
        organization: OrganizationId,
        reference: &PersonReference,
    ) -> Result<Option<Email>> {
        let Some(person) = self.store.person(reference.clone()).await? else {
            return Ok(None);
        };
        let standing = self.store.standing(person.id, organization).await?;
        Ok(standing.role.map(|_| person.email))
    }
}

impl Authority {
    /// What whoever has this address is in an organization: nothing, where nobody has it.
    async fn standing_of(
        &self,
        view: &View<'_>,
        email: &Email,
        organization: OrganizationId,
    ) -> Result<Arc<Standing>> {
        match self.store.person(email.clone().into()).await? {
            Some(person) => view.standing(&person.id, organization).await,
            None => Ok(Arc::default()),
        }
    }
}

fn given(outcome: Judged<MemberChange>) -> Result<Judged<RoleGiven>> {
    Ok(match changed(outcome)? {
        Judged::Done(()) => Judged::Done(RoleGiven::Given),
        Judged::Stale => Judged::Stale,
    })
}

fn changed(outcome: Judged<MemberChange>) -> Result<Judged<()>> {
    match outcome {
        Judged::Done(MemberChange::Done) => Ok(Judged::Done(())),
        Judged::Done(MemberChange::LastAdmin) => Err(Error::LastAdmin),
        Judged::Done(MemberChange::Absent) => Err(Error::Absent),
        Judged::Stale => Ok(Judged::Stale),
    }
}
