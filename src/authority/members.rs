//! Members of organizations and teams. Changes need a session.
//!
//! A role for somebody who does not belong to the organization is an invitation of their address unless
//! [`policy::consent`] waives it. No answer depends on whether a user has the address.

use crate::authority::policy::{self, Rank};
use crate::authority::retry::Attempt;
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::directory::{
    Belonging, Email, MemberStatus, OrganizationId, OrganizationReference, Role, TeamReference,
};
use jeton_store::rules::members::{self, Addressee};
use jeton_store::{Found, Order, PersonReference, Search, Slice};

/// The users to whom a role may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Any user.
    Anybody,
    /// Only a user who is not a member yet.
    Newcomer,
    /// Only an existing member.
    Member,
}

impl Whom {
    fn includes(self, has: Option<Role>) -> bool {
        match self {
            Self::Anybody => true,
            Self::Newcomer => has.is_none(),
            Self::Member => has.is_some(),
        }
    }
}

/// The outcome of giving a user a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleGiven {
    /// The user has the role, or is invited to it.
    Given,
    /// [`Whom`] excludes the user; nothing changed.
    NotMeant,
}

impl Authority {
    /// Returns the members of an organization and the invited addresses.
    pub async fn members(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        slice: Slice,
    ) -> Result<Vec<Belonging>> {
        let (organization, _) = self.view().visible(caller, reference).await?;
        Ok(self.store.members(organization.value.id, slice).await?)
    }

    /// Returns a page of the members of an organization and of the invited addresses, or of one of both.
    pub async fn find_members(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        status: Option<MemberStatus>,
        search: Search,
    ) -> Result<Found<Belonging>> {
        let (organization, _) = self.view().visible(caller, reference).await?;
        let found = self.store.find_members(organization.value.id, status, search);
        Ok(found.await?)
    }

    /// Adds or invites a user to an organization, or changes their role.
    pub async fn put_member(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        email: &Email,
        role: Role,
        whom: Whom,
    ) -> Result<RoleGiven> {
        policy::logged_in(caller)?;
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank) = view.visible(caller, reference).await?;
                policy::manage_organization(&rank)?;
                let organization = organization.value.id;
                let to = addressee(&view, organization, email).await?;
                let has = match &to {
                    Addressee::Member { role, .. } => Some(*role),
                    Addressee::Outsider(_) => None,
                };
                if !whom.includes(has) {
                    return Ok(Attempt::Done(RoleGiven::NotMeant));
                }
                self.allow_members(organization, std::slice::from_ref(&to))
                    .await?;
                let consent = policy::consent(&rank, self.settings().consent);
                let order = members::put(caller.cause(self.clock.now()), organization, &to, role, consent);
                Ok(self.commit(&view, order).await?.map(|_| RoleGiven::Given))
            })
        })
        .await
        .inspect(|outcome| {
            if *outcome == RoleGiven::Given {
                let (by, role) = (caller.actor().name, role.as_str());
                tracing::info!(by, organization = %reference, person = %email, role, "organization role set");
            }
        })
    }

    /// Removes a user from an organization and its teams, and revokes their tokens of the organization; withdraws
    /// the invitations of an address.
    pub async fn remove_member(
        &self,
        caller: &Caller,
        reference: &OrganizationReference,
        email: &Email,
    ) -> Result<()> {
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let order = self.removal_of_member(&view, &caller, reference, email).await?;
                Ok(self.commit(&view, order).await?.map(drop))
            })
        })
        .await
        .inspect(|()| {
            let by = caller.actor().name;
            tracing::info!(by, organization = %reference, person = %email, "organization member removed");
        })
    }

    /// Returns the order of [`Authority::remove_member`].
    pub(super) async fn removal_of_member(
        &self,
        view: &View<'_>,
        caller: &Caller,
        reference: &OrganizationReference,
        email: &Email,
    ) -> Result<Order> {
        policy::logged_in(caller)?;
        let (organization, rank) = view.visible(caller, reference).await?;
        policy::manage_organization(&rank)?;
        let organization = organization.value.id;
        let who = addressee(view, organization, email).await?;
        Ok(members::remove(
            caller.cause(self.clock.now()),
            organization,
            &who,
        ))
    }

    /// Returns the members of a team and the invited addresses.
    pub async fn team_members(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        team: &TeamReference,
        slice: Slice,
    ) -> Result<Vec<Belonging>> {
        let team = self.team(caller, organization, team).await?;
        Ok(self.store.team_members(team.organization, team.id, slice).await?)
    }

    /// Adds a user to a team, or changes their role. A user who does not belong to the
    /// organization is added or invited to it too; only an admin of the organization can do that.
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
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank) = view.visible(caller, organization).await?;
                let organization = organization.value.id;
                let team = view.team(organization, team).await?;
                policy::manage_team(&rank, &team.id)?;
                let to = addressee(&view, organization, email).await?;
                let (is_member, in_team) = match &to {
                    Addressee::Member { user, .. } => {
                        let standing = view.standing(user, organization).await?;
                        let in_team = standing.teams.iter().find(|(id, _)| *id == team.id);
                        (true, in_team.map(|(_, role)| *role))
                    }
                    Addressee::Outsider(_) => (false, None),
                };
                if !whom.includes(in_team) {
                    return Ok(Attempt::Done(RoleGiven::NotMeant));
                }
                if !is_member {
                    policy::invite_to_team(&rank)?;
                } else if in_team == Some(role) {
                    return Ok(Attempt::Done(RoleGiven::Given));
                }
                self.allow_members(organization, std::slice::from_ref(&to))
                    .await?;
                let cause = caller.cause(self.clock.now());
                let consent = policy::consent(&rank, self.settings().consent);
                let order = members::put_into_team(cause, organization, &team.id, &to, role, consent);
                Ok(self.commit(&view, order).await?.map(|_| RoleGiven::Given))
            })
        })
        .await
        .inspect(|outcome| {
            if *outcome == RoleGiven::Given {
                let (by, role) = (caller.actor().name, role.as_str());
                tracing::info!(by, %organization, %team, person = %email, role, "team role set");
            }
        })
    }

    /// Adds or invites users as members to an organization, or to teams of it; an existing member keeps their role.
    /// Only an admin of the organization can add users who are not its members, and only by e-mail address.
    pub async fn add_members(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        teams: &[TeamReference],
        people: &[PersonReference],
    ) -> Result<()> {
        policy::logged_in(caller)?;
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank) = view.visible(caller, organization).await?;
                let organization = organization.value.id;
                let mut ids = Vec::new();
                for team in teams {
                    let team = view.team(organization, team).await?;
                    policy::manage_team(&rank, &team.id)?;
                    ids.push(team.id.clone());
                }
                if teams.is_empty() {
                    policy::manage_organization(&rank)?;
                }
                let mut addressees = Vec::new();
                for person in people {
                    let to = view.addressee(organization, person).await?.ok_or(Error::Absent)?;
                    match &to {
                        Addressee::Member { .. } => {}
                        Addressee::Outsider(_) => policy::invite_to_team(&rank)?,
                    }
                    addressees.push(to);
                }
                self.allow_members(organization, &addressees).await?;
                let cause = caller.cause(self.clock.now());
                let consent = policy::consent(&rank, self.settings().consent);
                let order = members::add(cause, organization, &ids, &addressees, consent);
                Ok(self.commit(&view, order).await?.map(drop))
            })
        })
        .await
        .inspect(|()| {
            tracing::info!(
                by = caller.actor().name,
                %organization,
                teams = joined(teams),
                people = joined(people),
                "organization members added"
            )
        })
    }

    /// Removes a user from a team, or withdraws the invitation of an address to it.
    pub async fn remove_team_member(
        &self,
        caller: &Caller,
        organization: &OrganizationReference,
        team: &TeamReference,
        person: &PersonReference,
    ) -> Result<()> {
        policy::logged_in(caller)?;
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let caller = &caller;
                let (organization, rank): (_, Rank) = view.visible(caller, organization).await?;
                let team = view.team(organization.value.id, team).await?;
                policy::manage_team(&rank, &team.id)?;
                let who = view.addressee(organization.value.id, person).await?;
                let who = who.ok_or(Error::Absent)?;
                let (cause, id) = (caller.cause(self.clock.now()), organization.value.id);
                let order = match who {
                    Addressee::Member { user, .. } => {
                        let standing = view.standing(&user, id).await?;
                        let Some((_, role)) = standing.teams.iter().find(|(of, _)| *of == team.id) else {
                            return Ok(Attempt::Done(()));
                        };
                        members::remove_from_team(cause, id, team.id.clone(), user, *role)
                    }
                    Addressee::Outsider(outsider) => {
                        members::uninvite_from_team(cause, id, team.id.clone(), &outsider)
                    }
                };
                Ok(self.commit(&view, order).await?.map(drop))
            })
        })
        .await
        .inspect(|()| {
            tracing::info!(
                by = caller.actor().name,
                %organization,
                %team,
                %person,
                "team member removed"
            )
        })
    }
}

/// Returns the member with an e-mail address, or the address as an outsider.
async fn addressee(view: &View<'_>, organization: OrganizationId, email: &Email) -> Result<Addressee> {
    let found = view.addressee(organization, &email.clone().into()).await?;
    found.ok_or(Error::Absent)
}

/// Returns the references as one text for the log.
fn joined<T: std::fmt::Display>(references: &[T]) -> String {
    let texts: Vec<String> = references.iter().map(T::to_string).collect();
    texts.join(", ")
}
