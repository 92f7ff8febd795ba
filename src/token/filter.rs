//! How tokens are found.

use crate::clock::Timestamp;
use crate::directory::{OrganizationId, TeamId, UserId};
use crate::token::{Record, TokenId};

/// The kinds of owner, as a filter and on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OwnerKind {
    /// A person.
    #[default]
    User,
    /// A team.
    Team,
    /// An organization.
    Organization,
    /// The deployment.
    Deployment,
}

/// What the caller may see at all. Part of the query, so that no page can forget it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visibility {
    /// Everything that the filter matches.
    Everything,
    /// The caller's own tokens and those of the teams they administer.
    Own {
        /// The caller, where it is a person.
        user: Option<UserId>,
        /// Teams whose tokens they manage.
        teams: Vec<TeamId>,
    },
}

/// Which tokens are wanted. API tokens only; sessions are nobody's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Who asks.
    pub visibility: Visibility,
    /// Of this organization.
    pub organization: Option<OrganizationId>,
    /// Of this team.
    pub team: Option<TeamId>,
    /// Of this kind of owner.
    pub owner: Option<OwnerKind>,
    /// A part of name, description or team name; the case of ASCII letters does not matter.
    pub text: Option<String>,
    /// Leave out tokens whose revocation, or a cut-off over them, has taken effect at this instant.
    pub unrevoked_at: Option<Timestamp>,
}

/// Which way a page lies from its cursor. The order is always newest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// Older tokens.
    #[default]
    Next,
    /// Newer tokens.
    Previous,
}

/// A position between two tokens of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// The token at the edge of the page that this cursor was given with.
    pub token: TokenId,
}

/// Which part of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Where it starts; `None` is the beginning (or, going back, the end).
    pub cursor: Option<Cursor>,
    /// Which way.
    pub direction: Direction,
    /// At most so many.
    pub limit: u32,
    /// Whether all matching tokens are counted too, which reads every one of them.
    pub count: CountTotal,
}

/// Whether all matching tokens are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountTotal {
    /// Count them.
    Yes,
    /// Do not.
    No,
}

/// One page of a list, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The tokens.
    pub items: Vec<Record>,
    /// How many match in all, where that was asked.
    pub total: Option<u64>,
    /// Whether older tokens follow.
    pub has_next: bool,
    /// Whether newer tokens precede.
    pub has_previous: bool,
}
