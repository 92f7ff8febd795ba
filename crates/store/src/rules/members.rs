//! Who belongs to an organization or a team.

use super::end_all;
use crate::{Cause, Effect, Existing, Guard, Order};
use jeton_core::directory::{Email, OrganizationId, Role, TeamId, UserId};
use jeton_core::token::Reach;

/// Whom a membership is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressee {
    /// A person.
    Person {
        /// Who.
        user: UserId,
        /// Their role in the organization, if they have one.
        role: Option<Role>,
    },
    /// An address that nobody has: what is given to it waits.
    Nobody(Email),
}

impl Addressee {
    /// An order about them, which is refused if the address belongs to somebody by then.
    fn order(&self, cause: Cause) -> Order {
        match self {
            Self::Person { .. } => Order::new(cause),
            Self::Nobody(email) => Order::new(cause).guard(Guard::EmailFree(email.clone())),
        }
    }

    /// Keeps an organization's only admin who can log in from losing that role. Removing or disabling a
    /// person as a whole may leave an organization without one; a site administrator then names another.
    fn keep_an_admin(&self, organization: OrganizationId, order: Order) -> Order {
        match self {
            Self::Person {
                user,
                role: Some(Role::Admin),
            } => order.guard(Guard::AnotherAdmin(organization, user.clone())),
            Self::Person { .. } | Self::Nobody(_) => order,
        }
    }
}

/// Gives somebody a role in an organization, or another one.
pub fn put(cause: Cause, organization: OrganizationId, to: &Addressee, role: Role) -> Order {
    let order = match role {
        Role::Admin => to.order(cause),
        Role::Member | Role::Viewer => to.keep_an_admin(organization, to.order(cause)),
    };
    order.effect(give(organization, None, to, role, Existing::Replaced))
}

/// Brings people in as members, all at once or none: into an organization, and into these teams of it.
/// Who has a role there keeps it.
pub fn add(cause: Cause, organization: OrganizationId, teams: &[TeamId], people: &[Addressee]) -> Order {
    let mut order = Order::new(cause);
    for to in people {
        if let Addressee::Nobody(email) = to {
            order = order.guard(Guard::EmailFree(email.clone()));
        }
        for team in std::iter::once(None).chain(teams.iter().map(Some)) {
            order = order.effect(give(organization, team, to, Role::Member, Existing::Stays));
        }
    }
    order
}

/// Takes somebody out of an organization and its teams; ends a person's tokens of this organization.
pub fn remove(cause: Cause, organization: OrganizationId, who: &Addressee) -> Order {
    match who {
        Addressee::Person { user, .. } => {
            let reach = Reach {
                organization: Some(organization),
                user: Some(user.clone()),
                ..Reach::default()
            };
            let ending = end_all(&cause, reach);
            who.keep_an_admin(organization, who.order(cause))
                .effect(Effect::RemoveMember(organization, user.clone()))
                .effect(ending)
        }
        Addressee::Nobody(email) => {
            who.order(cause)
                .effect(Effect::Uninvite(organization, None, email.clone()))
        }
    }
}

/// Gives somebody a role in a team, or another one. Who is not in the organization yet becomes its member
/// too, or as a viewer its viewer.
pub fn put_into_team(
    cause: Cause,
    organization: OrganizationId,
    team: &TeamId,
    to: &Addressee,
    role: Role,
) -> Order {
    let brought_along = give(organization, None, to, role.brought_along(), Existing::Stays);
    Order::new(cause).effect(brought_along).effect(give(
        organization,
        Some(team),
        to,
        role,
        Existing::Replaced,
    ))
}

/// Takes somebody out of a team.
pub fn remove_from_team(cause: Cause, organization: OrganizationId, team: TeamId, who: Addressee) -> Order {
    let order = who.order(cause);
    order.effect(match who {
        Addressee::Person { user, .. } => Effect::RemoveTeamMember(organization, team, user),
        Addressee::Nobody(email) => Effect::Uninvite(organization, Some(team), email),
    })
}

fn give(
    organization: OrganizationId,
    team: Option<&TeamId>,
    to: &Addressee,
    role: Role,
    existing: Existing,
) -> Effect {
    match (to, team) {
        (Addressee::Person { user, .. }, None) => Effect::SetRole(organization, user.clone(), role, existing),
        (Addressee::Person { user, .. }, Some(team)) => {
            Effect::SetTeamRole(organization, team.clone(), user.clone(), role, existing)
        }
        (Addressee::Nobody(email), team) => {
            Effect::Invite(organization, team.cloned(), email.clone(), role, existing)
        }
    }
}
