//! Rules for memberships and invitations of organizations and teams.
//!
//! A role for somebody who belongs to the organization holds at once. A role for anybody else is an invitation of
//! their address, which says nothing about whether a person has it, unless consent is waived.
//!
//! An order without effects confirms that there is nothing to change: what was read in parts can be of two instants, and
//! its guards say so.

use super::end_all;
use crate::{Cause, Effect, Existing, Guard, Order};
use jeton_core::directory::{Consent, Email, Invited, OrganizationId, Role, TeamId, UserId};
use jeton_core::token::Reach;

/// The subject of a membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressee {
    /// A person who belongs to the organization. No invitation to it is theirs.
    Member {
        /// The person's id.
        user: UserId,
        /// Their role in the organization.
        role: Role,
    },
    /// Anybody else.
    Outsider(Outsider),
}

/// An address that does not belong to the organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outsider {
    /// The address.
    pub email: Email,
    /// The person who has it, if there is one.
    pub user: Option<UserId>,
    /// The invitations of the address to the organization.
    pub invited: Option<Invited>,
}

/// A role in an organization (`None`) or in a team of it.
type Offer<'a> = (Option<&'a TeamId>, Role, Existing);

impl Outsider {
    /// Adds the guard that no person has come to have an address that had none: they may have become a member.
    fn guard(&self, order: Order) -> Order {
        match self.user {
            Some(_) => order,
            None => order.guard(Guard::EmailFree(self.email.clone())),
        }
    }

    /// Returns whether a new invitation waits for the person. An address that was let in without asking is treated
    /// like a member: its role can be changed without asking.
    fn consent(&self, wanted: Consent) -> Consent {
        match &self.invited {
            Some(invited) if invited.consent == Consent::Waived => Consent::Waived,
            _ => wanted,
        }
    }
}

/// Sets a person's or an address's role in an organization; without effects if they have it already: a
/// repeated change must not disturb others with new versions.
pub fn put(
    cause: Cause,
    organization: OrganizationId,
    to: &Addressee,
    role: Role,
    consent: Consent,
) -> Order {
    let has = match to {
        Addressee::Member { role, .. } => Some(*role),
        Addressee::Outsider(outsider) => outsider
            .invited
            .as_ref()
            .filter(|invited| invited.consent == outsider.consent(consent))
            .map(|invited| invited.role),
    };
    if has == Some(role) {
        return Order::new(cause);
    }
    let order = match role {
        Role::Admin => Order::new(cause),
        Role::Member | Role::Viewer => keep_an_admin(organization, to, Order::new(cause)),
    };
    give(
        order,
        organization,
        to,
        &[(None, role, Existing::Replaced)],
        consent,
    )
}

/// Adds people as members of an organization and of these teams of it, all or none. Existing roles stay. Without
/// effects if all of them belong to the organization or are invited already, and there are no teams.
pub fn add(
    cause: Cause,
    organization: OrganizationId,
    teams: &[TeamId],
    people: &[Addressee],
    consent: Consent,
) -> Order {
    let is_there = |to: &Addressee| match to {
        Addressee::Member { .. } => true,
        Addressee::Outsider(outsider) => outsider
            .invited
            .as_ref()
            .is_some_and(|invited| invited.consent == outsider.consent(consent)),
    };
    if teams.is_empty() && people.iter().all(is_there) {
        return Order::new(cause);
    }
    people.iter().fold(Order::new(cause), |order, to| {
        let to_teams = teams
            .iter()
            .map(|team| (Some(team), Role::Member, Existing::Stays));
        let offers: Vec<Offer<'_>> = std::iter::once((None, Role::Member, Existing::Stays))
            .chain(to_teams)
            .collect();
        give(order, organization, to, &offers, consent)
    })
}

/// Removes a person or invitation from an organization and its teams; revokes a person's tokens of this
/// organization. Without effects if they have no role there: a cut-off each time would stay for ever.
pub fn remove(cause: Cause, organization: OrganizationId, who: &Addressee) -> Order {
    match who {
        Addressee::Member { user, role } => {
            let reach = Reach {
                organization: Some(organization),
                user: Some(user.clone()),
                ..Reach::default()
            };
            let ending = end_all(&cause, reach);
            keep_an_admin(organization, who, Order::new(cause))
                .effect(Effect::RemoveMember(organization, user.clone(), *role))
                .effect(ending)
        }
        Addressee::Outsider(outsider) => {
            let order = outsider.guard(Order::new(cause));
            match outsider.invited {
                Some(_) => order.effect(Effect::Uninvite(organization, None, outsider.email.clone())),
                None => order,
            }
        }
    }
}

/// Sets a person's or an address's role in a team. Somebody who is not in the organization becomes a member of
/// it, or a viewer if that is the role in the team. Without effects if an address is invited so already.
pub fn put_into_team(
    cause: Cause,
    organization: OrganizationId,
    team: &TeamId,
    to: &Addressee,
    role: Role,
    consent: Consent,
) -> Order {
    if let Addressee::Outsider(outsider) = to
        && let Some(invited) = &outsider.invited
        && invited.consent == outsider.consent(consent)
        && invited.teams.contains(&(team.clone(), role))
    {
        return Order::new(cause);
    }
    let offers = [
        (None, role.brought_along(), Existing::Stays),
        (Some(team), role, Existing::Replaced),
    ];
    give(Order::new(cause), organization, to, &offers, consent)
}

/// Removes a person, who has this role, from a team.
pub fn remove_from_team(
    cause: Cause,
    organization: OrganizationId,
    team: TeamId,
    user: UserId,
    role: Role,
) -> Order {
    Order::new(cause).effect(Effect::RemoveTeamMember(organization, team, user, role))
}

/// Withdraws the invitation of an address to a team; without effects if it is not invited to it.
pub fn uninvite_from_team(
    cause: Cause,
    organization: OrganizationId,
    team: TeamId,
    outsider: &Outsider,
) -> Order {
    let order = outsider.guard(Order::new(cause));
    let mut invited = outsider.invited.iter().flat_map(|invited| &invited.teams);
    match invited.any(|(invited_to, _)| *invited_to == team) {
        true => order.effect(Effect::Uninvite(organization, Some(team), outsider.email.clone())),
        false => order,
    }
}

/// Makes a person a member as their invitations to an organization say.
pub fn accept(cause: Cause, organization: OrganizationId, user: UserId) -> Order {
    Order::new(cause).effect(Effect::AcceptInvitations(organization, user))
}

/// Deletes an address's invitations to an organization and its teams.
pub fn decline(cause: Cause, organization: OrganizationId, email: Email) -> Order {
    Order::new(cause).effect(Effect::Uninvite(organization, None, email))
}

/// Keeps an organization's only admin who can log in from losing that role. Removing or disabling a person may
/// still leave an organization without an admin; a site administrator then appoints one.
fn keep_an_admin(organization: OrganizationId, who: &Addressee, order: Order) -> Order {
    match who {
        Addressee::Member {
            user,
            role: Role::Admin,
        } => order.guard(Guard::AnotherAdmin(organization, user.clone())),
        Addressee::Member { .. } | Addressee::Outsider(_) => order,
    }
}

/// Gives roles, the one in the organization first: at once to members, and to people who need not be asked;
/// otherwise as invitations.
fn give(
    order: Order,
    organization: OrganizationId,
    to: &Addressee,
    offers: &[Offer<'_>],
    consent: Consent,
) -> Order {
    match to {
        Addressee::Member { user, role } => set_roles(order, organization, (user, Some(*role)), offers),
        Addressee::Outsider(outsider) => match (consent, &outsider.user) {
            (Consent::Waived, Some(user)) => {
                let order = set_roles(order, organization, (user, None), offers);
                // Earlier invitations to teams need no consent any more, and none may outlive this order.
                match outsider.invited {
                    Some(_) => order.effect(Effect::AcceptInvitations(organization, user.clone())),
                    None => order,
                }
            }
            (Consent::Required, _) | (Consent::Waived, None) => {
                invite(order, organization, outsider, offers, consent)
            }
        },
    }
}

/// Gives a person roles; the person had this role in the organization.
fn set_roles(
    order: Order,
    organization: OrganizationId,
    (user, had): (&UserId, Option<Role>),
    offers: &[Offer<'_>],
) -> Order {
    offers.iter().fold(order, |order, (team, role, existing)| {
        let user = user.clone();
        order.effect(match team {
            None => Effect::SetRole(organization, user, *role, *existing, had),
            Some(team) => Effect::SetTeamRole(organization, (*team).clone(), user, *role, *existing),
        })
    })
}

fn invite(
    order: Order,
    organization: OrganizationId,
    outsider: &Outsider,
    offers: &[Offer<'_>],
    consent: Consent,
) -> Order {
    let consent = outsider.consent(consent);
    let was_asked = outsider
        .invited
        .as_ref()
        .is_some_and(|invited| invited.consent == Consent::Required);
    let order = outsider.guard(order);
    offers.iter().fold(order, |order, (team, role, existing)| {
        // A role that waits for an answer is replaced by one that does not.
        let existing = match (team, consent) {
            (None, Consent::Waived) if was_asked => Existing::Replaced,
            _ => *existing,
        };
        let team = team.cloned();
        let email = outsider.email.clone();
        order.effect(Effect::Invite(
            organization,
            team,
            email,
            *role,
            consent,
            existing,
        ))
    })
}
