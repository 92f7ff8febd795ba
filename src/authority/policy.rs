//! Permissions: who may do what. Apart and without I/O, so that all rules can be read in one place.
//!
//! A [`Rank`] is the role of a caller in one organization: the current role of the token's owner. The
//! handler's type has checked the scope before. Both must allow a request, so a token can do what its
//! scopes name and its owner may do at the time.
//!
//! An object that the caller may not see is [`Error::Absent`] (404); an operation that the caller may not
//! do on an object that they may see is [`Error::Forbidden`] (403).

use crate::authority::{Caller, Error};
use jeton_core::directory::{Consent, OrganizationId, Role, TeamId};
use jeton_core::token::{ManagementScope, Owner, Scope, TokenKind, Visibility};
use jeton_store::Standing;

/// The role of a caller in one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rank {
    /// No role: the organization does not exist for the caller.
    Outsider,
    /// A team's token: limited to its team.
    Team(TeamId),
    /// A viewer, who may only read, regardless of their roles in teams.
    Viewer,
    /// A member, who may be admin of some teams.
    Member {
        /// The teams whose members and tokens they manage.
        administers: Vec<TeamId>,
    },
    /// An admin of the organization, or its own token.
    Admin,
    /// A site administrator, or a token of the deployment.
    Site,
}

/// Returns the rank of a caller in an organization: from the owner of the token and, if that is a user,
/// from the user's roles there.
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

/// Returns the rank of a caller for objects that belong to no organization: the deployment's tokens, and
/// users' tokens that are valid in all of their organizations.
pub fn rank_everywhere(caller: &Caller) -> Rank {
    match caller.owner() {
        owner if owner.organization().is_some() => Rank::Outsider,
        _ if is_site_administrator(caller) => Rank::Site,
        _ => Rank::Member {
            administers: Vec::new(),
        },
    }
}

/// Returns whether the caller acts for a site administrator or for the deployment.
pub fn is_site_administrator(caller: &Caller) -> bool {
    match caller.owner() {
        Owner::Deployment => true,
        Owner::User { .. } => caller.person().is_some_and(|person| person.site_admin),
        Owner::Organization(_) | Owner::Team { .. } => false,
    }
}

/// Allows reading an organization, its teams, projects and members.
pub fn see_organization(rank: &Rank) -> Result<(), Error> {
    match rank {
        Rank::Outsider => Err(Error::Absent),
        Rank::Viewer | Rank::Team(_) | Rank::Member { .. } | Rank::Admin | Rank::Site => Ok(()),
    }
}

/// Allows changing an organization, its members, teams and projects.
pub fn manage_organization(rank: &Rank) -> Result<(), Error> {
    match rank {
        Rank::Outsider => Err(Error::Absent),
        Rank::Viewer | Rank::Team(_) | Rank::Member { .. } => Err(Error::Forbidden),
        Rank::Admin | Rank::Site => Ok(()),
    }
}

/// Allows changing the members of a team.
pub fn manage_team(rank: &Rank, team: &TeamId) -> Result<(), Error> {
    match rank {
        Rank::Outsider => Err(Error::Absent),
        Rank::Member { administers } if administers.contains(team) => Ok(()),
        Rank::Viewer | Rank::Team(_) | Rank::Member { .. } => Err(Error::Forbidden),
        Rank::Admin | Rank::Site => Ok(()),
    }
}

/// Allows operations that affect every organization.
pub fn govern_deployment(rank: &Rank) -> Result<(), Error> {
    match rank {
        Rank::Site => Ok(()),
        Rank::Outsider | Rank::Viewer | Rank::Team(_) | Rank::Member { .. } | Rank::Admin => {
            Err(Error::Forbidden)
        }
    }
}

/// Allows adding users who are not members of the organization to a team. An admin of the team may not:
/// they could open the organization to anyone.
pub fn invite_to_team(rank: &Rank) -> Result<(), Error> {
    manage_organization(rank).map_err(|refusal| match refusal {
        Error::Forbidden => Error::NotAMember,
        other => other,
    })
}

/// Returns whether people who do not belong to the organization must accept the roles that the caller gives them.
/// `usual` is the deployment's setting.
pub fn consent(rank: &Rank, usual: Consent) -> Consent {
    match rank {
        Rank::Site => Consent::Waived,
        Rank::Outsider | Rank::Viewer | Rank::Team(_) | Rank::Member { .. } | Rank::Admin => usual,
    }
}

/// Allows creating a token that acts for `owner`. No caller may create one for another user.
pub fn issue(rank: &Rank, caller: &Caller, owner: &Owner) -> Result<(), Error> {
    match (owner, rank) {
        (Owner::Deployment, Rank::Site) => Ok(()),
        (Owner::Deployment, _) | (_, Rank::Viewer) => Err(Error::Forbidden),
        // A token of one organization may not create a token that is valid in others.
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

/// Returns whether the caller may grant a scope to at least one owner; some are for the deployment only.
pub fn may_ever_grant(caller: &Caller, scope: &Scope) -> bool {
    caller.may_grant(scope.as_str()) && (!scope.is_deployment_only() || rank_everywhere(caller) == Rank::Site)
}

/// Allows passing on the scopes and projects of an existing token: the caller must have all of them.
pub fn hand_on(caller: &Caller, scopes: &[Scope], projects: Option<&[u32]>) -> Result<(), Error> {
    let lacking = scopes.iter().filter(|scope| !caller.may_grant(scope.as_str()));
    let lacking: Vec<&str> = lacking.map(Scope::as_str).collect();
    if !lacking.is_empty() {
        return Err(Error::ScopeNeeded(lacking.join(" ").into()));
    }
    let has_projects = match (caller.token().projects(), projects) {
        (None, _) => true,
        (Some(own), Some(wanted)) => wanted.iter().all(|project| own.contains(project)),
        (Some(_), None) => false,
    };
    if has_projects {
        Ok(())
    } else {
        Err(Error::Forbidden)
    }
}

/// Allows reading, updating and revoking a token. A token that the caller may not manage does not exist
/// for them. Any member may manage their own tokens, also a viewer, who may have some from an earlier
/// role.
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

/// Allows inspecting other tokens than the caller's own, as far as the caller manages them.
pub fn inspect_others(caller: &Caller) -> Result<(), Error> {
    if !caller.is_for_issuer() {
        return Err(Error::WrongAudience);
    }
    match caller.holds(ManagementScope::TokensRead) {
        true => Ok(()),
        false => Err(Error::ScopeNeeded(ManagementScope::TokensRead.as_str().into())),
    }
}

/// Returns which tokens of an organization a caller may see: those that they may manage.
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

/// Allows creating an organization: any user with a session.
pub fn create_organization(caller: &Caller) -> Result<(), Error> {
    logged_in(caller)
}

/// Allows deleting an organization and changing its policy: its admins, with a session.
pub fn govern_organization(rank: &Rank, caller: &Caller) -> Result<(), Error> {
    manage_organization(rank)?;
    logged_in(caller)
}

/// Allows reading and changing all users: site administrators, with a session.
pub fn manage_people(caller: &Caller) -> Result<(), Error> {
    logged_in(caller)?;
    if is_site_administrator(caller) {
        Ok(())
    } else {
        Err(Error::Forbidden)
    }
}

/// Allows reporting the use of tokens: tokens of the deployment, since a report can name any token.
pub fn report_use(caller: &Caller) -> Result<(), Error> {
    match caller.owner() {
        Owner::Deployment => Ok(()),
        Owner::User { .. } | Owner::Team { .. } | Owner::Organization(_) => {
            Err(Error::DeploymentTokenNeeded(ManagementScope::UsageWrite.as_str()))
        }
    }
}

/// Allows following the revocation feed, which tells of all tenants: tokens of the deployment, and site administrators
/// with a session.
pub fn follow_feed(caller: &Caller) -> Result<(), Error> {
    match caller.owner() {
        Owner::Deployment => Ok(()),
        _ if logged_in(caller).is_ok() && is_site_administrator(caller) => Ok(()),
        Owner::User { .. } | Owner::Team { .. } | Owner::Organization(_) => Err(
            Error::DeploymentTokenNeeded(ManagementScope::RevocationsRead.as_str()),
        ),
    }
}

/// Allows reading why an event of the feed was recorded: site administrators with a session. Services that follow the
/// feed see no reasons.
pub fn explain_events(caller: &Caller) -> Result<(), Error> {
    manage_people(caller)
}

/// Allows listing the servers of the deployment: site administrators with a session.
pub fn list_nodes(caller: &Caller) -> Result<(), Error> {
    manage_people(caller)
}

/// Allows reading and changing signing keys: site administrators with a session. No API token may, not even one of the
/// deployment: whoever has stolen it could end every token.
pub fn manage_keys(caller: &Caller) -> Result<(), Error> {
    manage_people(caller)
}

/// Allows operations that need a session. A stolen API token must not be able to do them, with any scopes.
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
