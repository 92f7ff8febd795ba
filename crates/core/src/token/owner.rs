//! Owners of tokens.

use crate::directory::{OrganizationId, TeamId, UserId};
use crate::token::OwnerKind;

/// The owner that a token acts for. A token can never do more than its owner may do at the time of use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A person: in one organization, or in all of theirs.
    User {
        /// The person.
        user: UserId,
        /// The one organization in which the token is valid; `None` for all.
        organization: Option<OrganizationId>,
    },
    /// A team. Its tokens act only in the team.
    Team {
        /// The team.
        team: TeamId,
        /// The team's organization.
        organization: OrganizationId,
    },
    /// An organization as a whole.
    Organization(OrganizationId),
    /// The deployment itself. Site administrators create its tokens for verifiers and operators.
    Deployment,
}

impl Owner {
    /// Returns the kind of the owner.
    pub fn kind(&self) -> OwnerKind {
        match self {
            Self::User { .. } => OwnerKind::User,
            Self::Team { .. } => OwnerKind::Team,
            Self::Organization(_) => OwnerKind::Organization,
            Self::Deployment => OwnerKind::Deployment,
        }
    }

    /// Returns the organization to which the token is restricted, if any.
    pub fn organization(&self) -> Option<OrganizationId> {
        match self {
            Self::User { organization, .. } => *organization,
            Self::Team { organization, .. } | Self::Organization(organization) => Some(*organization),
            Self::Deployment => None,
        }
    }

    /// Returns the team, if the owner is one.
    pub fn team(&self) -> Option<&TeamId> {
        match self {
            Self::Team { team, .. } => Some(team),
            Self::User { .. } | Self::Organization(_) | Self::Deployment => None,
        }
    }

    /// Returns the person, if the owner is one.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User { user, .. } => Some(user),
            Self::Team { .. } | Self::Organization(_) | Self::Deployment => None,
        }
    }

    /// Returns the owner's public id: the `sub` and `client_id` of the token.
    ///
    /// An id and never a name, so that renaming invalidates no token.
    pub fn subject(&self) -> String {
        match self {
            Self::User { user, .. } => user.to_string(),
            Self::Team { team, .. } => team.to_string(),
            Self::Organization(organization) => organization.to_string(),
            Self::Deployment => "deployment".to_owned(),
        }
    }
}
