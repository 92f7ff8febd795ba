//! Rules for memberships and invitations of organizations and teams.

use super::end_all;
use crate::{Cause, Effect, Existing, Guard, Order};
use jeton_core::directory::{Email, OrganizationId, Role, TeamId, UserId};
use jeton_core::token::Reach;

/// The subject of a membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressee {
    /// A person.
    Person {
        /// The person's id.
        user: UserId,
        /// Their role in the organization, if they have one.
        role: Option<Role>,
    },
    /// An address that belongs to no person: its memberships are stored as invitations.
    Nobody(Email),
}

impl Addressee {
    /// Returns an order about the addressee. It is refused if the address has come to belong to a person.
    fn order(&self, cause: Cause) -> Order {
        match self {
            Self::Person { .. } => Order::new(cause),
            Self::Nobody(email) => Order::new(cause).guard(Guard::EmailFree(email.clone())),
        }
    }

    /// Keeps an organization's only admin who can log in from losing that role. Removing or disabling a person
    /// may still leave an organization without an admin; a site administrator then appoints one.
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

/// Sets a person's or an address's role in an organization; `None` if the person has it already. Whoever repeats a
/// change must not disturb others with new versions.
pub fn put(cause: Cause, organization: OrganizationId, to: &Addressee, role: Role) -> Option<Order> {
    if matches!(to, Addressee::Person { role: Some(has), .. } if *has == role) {
        return None;
    }
    let order = match role {
        Role::Admin => to.order(cause),
        Role::Member | Role::Viewer => to.keep_an_admin(organization, to.order(cause)),
    };
    Some(order.effect(give(organization, None, to, role, Existing::Replaced)))
}

/// Adds people as members of an organization and of these teams of it, all or none. Existing roles stay.
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

/// Removes a person or invitation from an organization and its teams; revokes a person's tokens of this
/// organization. `None` if the person has no role there: a cut-off each time would stay for ever.
pub fn remove(cause: Cause, organization: OrganizationId, who: &Addressee) -> Option<Order> {
    Some(match who {
        Addressee::Person { role: None, .. } => return None,
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
    })
}

/// Sets a person's or an address's role in a team. A person who is not in the organization becomes a member of
/// it, or a viewer if that is the role in the team.
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

/// Removes a person or invitation from a team.
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
