//! What a token acts for.

use crate::directory::{OrganizationId, TeamId, UserId};
use crate::token::OwnerKind;

/// What a token acts for. It can never do more than its owner may do at the time of use.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A person: in one organization, or in all of theirs.
    User {
        /// The person.
        user: UserId,
        /// The one organization in which the token is good, or all.
        organization: Option<OrganizationId>,
    },
    /// A team; never reaches beyond it.
    Team {
        /// The team.
        team: TeamId,
        /// The team's organization.
        organization: OrganizationId,
    },
    /// An organization as a whole.
    Organization(OrganizationId),
    /// The deployment itself: made by site administrators for verifiers and operators.
    Deployment,
}

impl Owner {
    /// What kind of thing it is.
    pub fn kind(&self) -> OwnerKind {
        match self {
            Self::User { .. } => OwnerKind::User,
            Self::Team { .. } => OwnerKind::Team,
            Self::Organization(_) => OwnerKind::Organization,
            Self::Deployment => OwnerKind::Deployment,
        }
    }

    /// The organization to which the token is confined, if it is.
    pub fn organization(&self) -> Option<OrganizationId> {
        match self {
            Self::User { organization, .. } => *organization,
            Self::Team { organization, .. } | Self::Organization(organization) => Some(*organization),
            Self::Deployment => None,
        }
    }

    /// The team whose token this is.
    pub fn team(&self) -> Option<&TeamId> {
        match self {
            Self::Team { team, .. } => Some(team),
            Self::User { .. } | Self::Organization(_) | Self::Deployment => None,
        }
    }

    /// The person whose token this is.
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::User { user, .. } => Some(user),
            Self::Team { .. } | Self::Organization(_) | Self::Deployment => None,
        }
    }

    /// The owner's public id: the `sub` and `client_id` of the token.
    ///
    /// Ids, never names, so that renaming ends nothing.
    pub fn subject(&self) -> String {
        match self {
            Self::User { user, .. } => user.to_string(),
            Self::Team { team, .. } => team.to_string(),
            Self::Organization(organization) => organization.to_string(),
            Self::Deployment => "deployment".to_owned(),
        }
    }
}
