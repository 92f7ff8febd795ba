//! Who may do what: pure functions, on one page.
//!
//! A [`Rank`] is what a caller is with respect to one organization: what its owner is, there and
//! now. That a token carries the scope for a request was checked before, by the handler's type;
//! both must hold, so a token can do its scopes and of those what its owner may do at the time.
//!
//! What the caller may not know of is absent (404), what it may see and not do is forbidden (403).

use crate::authority::{Caller, Error};
use jeton_core::directory::{OrganizationId, Role, TeamId};
use jeton_core::token::{Owner, Scope, TokenKind, Visibility};
use jeton_store::Standing;

/// What a caller is with respect to one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rank {
    /// Nothing: the organization does not exist for them.
    Outsider,
    /// A team's token: never reaches beyond its team.
    Team(TeamId),
    /// Somebody who may look, whatever they are in its teams.
    Viewer,
    /// A member, who may be admin of some teams.
    Member {
        /// The teams whose tokens they manage.
        administers: Vec<TeamId>,
    },
    /// An admin of the organization, or its own token.
    Admin,
    /// A site administrator, or a token of the deployment.
    Site,
}

/// The rank of a caller in an organization, from what its token is and, for a person's, what the
/// person is there.
pub fn rank(caller: &Caller, organization: OrganizationId, standing: &Standing) -> Rank {
    if caller
        .owner()
        .organization()
        .is_some_and(|own| own != organization)
    {
        return Rank::Outsider;
    }
    match caller.owner() {
        Owner::Deployment => Rank::Site,
        Owner::Organization(_) => Rank::Admin,
        Owner::Team { team, .. } => Rank::Team(team.clone()),
        Owner::User { .. } if is_site_administrator(caller) => Rank::Site,
        Owner::User { .. } => match standing.role {
            None => Rank::Outsider,
            Some(Role::Admin) => Rank::Admin,
            Some(Role::Viewer) => Rank::Viewer,
            Some(Role::Member) => Rank::Member {
                administers: administered(standing),
            },
        },
    }
}

/// The rank of a caller with respect to what belongs to no organization: the deployment's tokens, and
/// people's tokens that are good in all of their organizations.
pub fn rank_everywhere(caller: &Caller) -> Rank {
    match caller.owner() {
        owner if owner.organization().is_some() => Rank::Outsider,
        _ if is_site_administrator(caller) => Rank::Site,
        _ => Rank::Member {
            administers: Vec::new(),
        },
    }
}

/// Whether the caller acts for a site administrator, or for the deployment.
pub fn is_site_administrator(caller: &Caller) -> bool {
    match caller.owner() {
        Owner::Deployment => true,
        Owner::User { .. } => caller.person().is_some_and(|person| person.site_admin),
        Owner::Organization(_) | Owner::Team { .. } => false,
    }
}

/// Seeing that an organization exists, its teams, projects and members.
pub fn see_organization(rank: &Rank) -> Result<(), Error> {
    match rank {
        Rank::Outsider => Err(Error::Absent),
        Rank::Viewer | Rank::Team(_) | Rank::Member { .. } | Rank::Admin | Rank::Site => Ok(()),
    }
}

/// Changing an organization, its members, teams and projects.
pub fn manage_organization(rank: &Rank) -> Result<(), Error> {
    match rank {
        Rank::Outsider => Err(Error::Absent),
        Rank::Viewer | Rank::Team(_) | Rank::Member { .. } => Err(Error::Forbidden),
        Rank::Admin | Rank::Site => Ok(()),
    }
}

/// Changing who belongs to a team.
pub fn manage_team(rank: &Rank, team: &TeamId) -> Result<(), Error> {
    match rank {
        Rank::Outsider => Err(Error::Absent),
        Rank::Member { administers } if administers.contains(team) => Ok(()),
        Rank::Viewer | Rank::Team(_) | Rank::Member { .. } => Err(Error::Forbidden),
        Rank::Admin | Rank::Site => Ok(()),
    }
}

/// What concerns every organization at once.
pub fn govern_deployment(rank: &Rank) -> Result<(), Error> {
    match rank {
        Rank::Site => Ok(()),
        Rank::Outsider | Rank::Viewer | Rank::Team(_) | Rank::Member { .. } | Rank::Admin => {
            Err(Error::Forbidden)
        }
    }
}

/// Bringing people into a team who do not belong to the organization: that is the organization's
/// matter, or a team's admin could open the organization to anybody.
pub fn invite_to_team(rank: &Rank) -> Result<(), Error> {
    manage_organization(rank).map_err(|refusal| match refusal {
        Error::Forbidden => Error::NotAMember,
        other => other,
    })
}

/// Making a token that acts for `owner`. Nobody makes a token for another person.
pub fn issue(rank: &Rank, caller: &Caller, owner: &Owner) -> Result<(), Error> {
    match (owner, rank) {
        (Owner::Deployment, Rank::Site) => Ok(()),
        (Owner::Deployment, _) | (_, Rank::Viewer) => Err(Error::Forbidden),
        // What is confined to one organization makes nothing that is good in others.
        (
            Owner::User {
                organization: None, ..
            },
            Rank::Outsider,
        ) => Err(Error::Forbidden),
        (Owner::User { user, .. }, rank) if caller.user() == Some(user) => see_organization(rank),
        (Owner::Team { team, .. }, Rank::Team(own)) if team == own => Ok(()),
        (Owner::Team { team, .. }, Rank::Member { .. }) => manage_team(rank, team),
        (Owner::Team { .. } | Owner::Organization(_), Rank::Admin | Rank::Site) => Ok(()),
        (_, Rank::Outsider) => Err(Error::Absent),
        _ => Err(Error::Forbidden),
    }
}

/// Whether there is any token to which the caller can hand a scope: some are for the deployment's only.
pub fn may_ever_grant(caller: &Caller, scope: &Scope) -> bool {
    caller.may_grant(scope.as_str()) && (!scope.is_deployment_only() || rank_everywhere(caller) == Rank::Site)
}

/// Handing on scopes and projects that are not named one by one: all of them are within the caller's.
pub fn hand_on(caller: &Caller, scopes: &[Scope], projects: Option<&[u32]>) -> Result<(), Error> {
    let has_scopes = scopes.iter().all(|scope| caller.may_grant(scope.as_str()));
    let has_projects = match (caller.token().projects(), projects) {
        (None, _) => true,
        (Some(own), Some(wanted)) => wanted.iter().all(|project| own.contains(project)),
        (Some(_), None) => false,
    };
    if has_scopes && has_projects {
        Ok(())
    } else {
        Err(Error::Forbidden)
    }
}

/// Seeing, describing and revoking a token. A token that the caller may not manage does not exist
/// for them. One's own are seen and ended by whoever belongs to the organization: a viewer too may have
/// some from before.
pub fn manage_token(rank: &Rank, caller: &Caller, owner: &Owner) -> Result<(), Error> {
    let allowed = match (owner, rank) {
        (Owner::User { user, .. }, _) if caller.user() == Some(user) && *rank != Rank::Outsider => true,
        (Owner::Deployment, rank) => *rank == Rank::Site,
        (_, Rank::Site) => true,
        (_, Rank::Admin) => true,
        (Owner::Team { team, .. }, Rank::Member { administers }) => administers.contains(team),
        (Owner::Team { team, .. }, Rank::Team(own)) => team == own,
        _ => false,
    };
    if allowed { Ok(()) } else { Err(Error::Absent) }
}

/// Which tokens of an organization a caller sees: those they could manage.
pub fn visible_tokens(rank: &Rank, caller: &Caller) -> Visibility {
    match rank {
        Rank::Admin | Rank::Site => Visibility::Everything,
        Rank::Team(team) => Visibility::Own {
            user: None,
            teams: vec![team.clone()],
        },
        Rank::Member { administers } => Visibility::Own {
            user: caller.user().cloned(),
            teams: administers.clone(),
        },
        Rank::Viewer => Visibility::Own {
            user: caller.user().cloned(),
            teams: Vec::new(),
        },
        Rank::Outsider => Visibility::Own {
            user: None,
            teams: Vec::new(),
        },
    }
}

/// Making organizations: any person who has logged in.
pub fn create_organization(caller: &Caller) -> Result<(), Error> {
    logged_in(caller)
}

/// Removing an organization and changing its policy: its admins, logged in.
pub fn govern_organization(rank: &Rank, caller: &Caller) -> Result<(), Error> {
    manage_organization(rank)?;
    logged_in(caller)
}

/// Seeing and changing all people, which needs a session.
pub fn manage_people(caller: &Caller) -> Result<(), Error> {
    logged_in(caller)?;
    if is_site_administrator(caller) {
        Ok(())
    } else {
        Err(Error::Forbidden)
    }
}

/// Saying that tokens were seen: the deployment's verifiers, whose word counts for every organization.
pub fn report_use(caller: &Caller) -> Result<(), Error> {
    match caller.owner() {
        Owner::Deployment => Ok(()),
        Owner::User { .. } | Owner::Team { .. } | Owner::Organization(_) => Err(Error::Forbidden),
    }
}

/// What no API token may do, whatever its scopes: a stolen one must not be able to make itself at home.
pub fn logged_in(caller: &Caller) -> Result<(), Error> {
    match caller.token().kind() {
        TokenKind::Session => Ok(()),
        TokenKind::Api => Err(Error::SessionNeeded),
    }
}

fn administered(standing: &Standing) -> Vec<TeamId> {
    let admin = standing.teams.iter().filter(|(_, role)| *role == Role::Admin);
    admin.map(|(team, _)| team.clone()).collect()
}
