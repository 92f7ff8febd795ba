//! Which tokens are wanted, and which part of their list.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::directory::{OrganizationId, Policy, TeamId, UserId};
use crate::token::{Record, ReportingAudience, Scope, Slot, Status, TokenId};

/// The kinds of owner, as a filter and on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visibility {
    /// Everything that the filter matches.
    Everything,
    /// The caller's own tokens, where they still belong, and those of the teams they administer.
    Own {
        /// The caller, where it is a person.
        user: Option<UserId>,
        /// Teams whose tokens they manage.
        teams: Vec<TeamId>,
    },
}

/// Which tokens are wanted: those that match all of it. API tokens only; sessions are nobody's list.
///
/// A backend writes it down for what is carried out bit by bit. One that names what this version does
/// not know cannot be read back: leaving a condition out would match more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Who asks.
    pub visibility: Visibility,
    /// Of this organization.
    pub organization: Option<OrganizationId>,
    /// Or, where an organization is named, of this person and good in all of theirs.
    pub or_everywhere_of: Option<UserId>,
    /// Of this team.
    pub team: Option<TeamId>,
    /// Of this person.
    pub user: Option<UserId>,
    /// Of this kind of owner.
    pub owner: Option<OwnerKind>,
    /// With a part of name, description or team name; the case of ASCII letters does not matter.
    pub text: Option<String>,
    /// With a part of their team's name; the case of ASCII letters does not matter.
    pub team_name: Option<String>,
    /// In this place among their owner's tokens.
    pub slot: Option<Slot>,
    /// In this status.
    pub status: Option<StatusAt>,
    /// With this scope among theirs.
    pub scope: Option<Scope>,
    /// Whose scopes came from this preset.
    pub preset: Option<String>,
    /// That end by themselves in one of these ways; none is any.
    pub ends: Vec<End>,
    /// Not seen since this instant, and older than it: what was never seen is as old as it is.
    pub unused_since: Option<Timestamp>,
    /// Never seen.
    pub never_used: bool,
    /// Whose use would be known at this instant, as far back as `unused_since` and `never_used` ask: all
    /// of their audiences report. Whatever acts on disuse asks for it, unless told otherwise.
    pub reporting_at: Option<Timestamp>,
    /// Made by whoever is recorded under this name, or by a token of the person with this address; the
    /// case of ASCII letters does not matter.
    pub created_by: Option<String>,
    /// That break a policy.
    pub breaks: Option<Box<Breach>>,
    /// Any but this one.
    pub except: Option<TokenId>,
}

impl Filter {
    /// All that the caller may see.
    pub fn of(visibility: Visibility) -> Self {
        Self {
            visibility,
            organization: None,
            or_everywhere_of: None,
            team: None,
            user: None,
            owner: None,
            text: None,
            team_name: None,
            slot: None,
            status: None,
            scope: None,
            preset: None,
            ends: Vec::new(),
            unused_since: None,
            never_used: false,
            reporting_at: None,
            created_by: None,
            breaks: None,
            except: None,
        }
    }
}

/// That tokens of one organization, which the filter names, break a policy of its: they live longer
/// than it allows, have a scope or come from a preset that it does not allow, or are beyond the newest
/// that it allows their owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// The policy.
    pub policy: Policy,
    /// When: what has ended by then counts for no owner.
    pub at: Timestamp,
}

/// Whether and when tokens end by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// They never do.
    Never,
    /// From one instant on and before another, or whenever.
    Between(Timestamp, Option<Timestamp>),
}

impl End {
    /// Before this instant.
    pub fn before(instant: Timestamp) -> Self {
        Self::Between(Timestamp::EPOCH, Some(instant))
    }
}

/// Tokens by their status at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusAt {
    /// Which status.
    pub wanted: WantedStatus,
    /// When.
    pub at: Timestamp,
}

/// Which statuses are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WantedStatus {
    /// This one.
    Only(Status),
    /// Any but revoked, by the token's own revocation or by a cut-off over it.
    Unrevoked,
}

/// What a list is ordered by. Equal tokens are in the order of their numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortBy {
    /// When they were made, which is the order of their numbers.
    #[default]
    CreatedAt,
    /// When they end by themselves.
    ExpiresAt,
    /// When they were last seen.
    LastUsedAt,
    /// Their name; the case of ASCII letters does not matter, here and below.
    Name,
    /// The name of their team.
    Team,
    /// Who made them.
    CreatedBy,
}

/// Which end of an order comes first. What has no value is last, either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest, the latest, Z.
    #[default]
    Descending,
    /// The oldest, the earliest, A.
    Ascending,
}

/// In which order a list stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub by: SortBy,
    /// From which end.
    pub order: Order,
}

/// Which way a page lies from its cursor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// Towards the end of the list.
    #[default]
    Next,
    /// Towards its beginning.
    Previous,
}

/// A position between two tokens of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// What the token at the edge of the page is sorted by, if it has that. By
    /// [`SortBy::CreatedAt`] it is the number alone.
    pub value: Option<SortValue>,
    /// The token at the edge of the page that this cursor was given with.
    pub token: TokenId,
}

/// What a token is sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortValue {
    /// An instant.
    Instant(Timestamp),
    /// A text, with its ASCII letters in lower case.
    Text(String),
}

/// Where a page of a list starts. Only pages that start at cursors are a whole without gap or
/// repetition while the list changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// At the beginning (or, going back, the end).
    #[default]
    Beginning,
    /// Next to a position.
    Cursor(Cursor),
    /// After so many tokens from the beginning (or, going back, the end), each of which is read.
    Offset(u64),
}

impl From<Option<Cursor>> for Start {
    fn from(cursor: Option<Cursor>) -> Self {
        cursor.map_or(Self::Beginning, Self::Cursor)
    }
}

/// Which part of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// In which order the list stands.
    pub sort: Sort,
    /// Where the page starts.
    pub start: Start,
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

/// One page of a list, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The tokens.
    pub items: Vec<Record>,
    /// The positions of the first and of the last of them, if there is any.
    pub edges: Option<(Cursor, Cursor)>,
    /// How many match in all, where that was asked.
    pub total: Option<u64>,
    /// Whether tokens follow.
    pub has_next: bool,
    /// Whether tokens precede.
    pub has_previous: bool,
    /// Those audiences of the page's tokens that have ever reported use, in the order of their names. For
    /// which others there are tokens is not for everybody to know.
    pub reporting_audiences: Vec<ReportingAudience>,
}
