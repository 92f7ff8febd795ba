//! Filters over tokens, and the sorting and paging of their list.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::directory::{OrganizationId, Policy, TeamId, UserId};
use crate::token::{Owner, Record, ReportingAudience, Scope, Slot, Status, TokenId};

/// The kind of an owner, as a filter and in responses.
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

/// The tokens that the caller may see. Part of the query, so that no page can omit the check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Visibility {
    /// All tokens.
    Everything,
    /// The caller's own tokens in organizations they still belong to, and the tokens of teams they administer.
    Own {
        /// The caller, if it is a person.
        user: Option<UserId>,
        /// The teams whose tokens they manage.
        teams: Vec<TeamId>,
    },
}

/// The tokens that a caller may revoke, in all organizations: what a token has made can be in others than its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Remit {
    /// All tokens.
    Everything,
    /// The visible tokens of these organizations; `None` is the tokens of no organization.
    Within(Vec<(Option<OrganizationId>, Visibility)>),
}

impl Remit {
    /// Returns whether it includes the tokens of an owner.
    pub fn includes(&self, owner: &Owner) -> bool {
        let Self::Within(parts) = self else {
            return true;
        };
        parts.iter().any(|(organization, visibility)| {
            *organization == owner.organization()
                && match visibility {
                    Visibility::Everything => true,
                    Visibility::Own { user, teams } => {
                        user.as_ref().is_some_and(|user| owner.user() == Some(user))
                            || owner.team().is_some_and(|team| teams.contains(team))
                    }
                }
        })
    }
}

/// A filter over API tokens: all conditions must match. Sessions are never listed.
///
/// A backend stores the filter of a bulk revocation. A stored filter with a condition that this version does
/// not know cannot be read back: ignoring the condition would match more tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The tokens that the caller may see.
    pub visibility: Visibility,
    /// Owned in this organization.
    pub organization: Option<OrganizationId>,
    /// Includes, if an organization is named, this person's tokens that act in all of their organizations.
    pub or_everywhere_of: Option<UserId>,
    /// Owned by this team.
    pub team: Option<TeamId>,
    /// Owned by this person.
    pub user: Option<UserId>,
    /// Owned by this kind of owner.
    pub owner: Option<OwnerKind>,
    /// Whose name, description or team name contains this text; the case of ASCII letters does not matter.
    pub text: Option<String>,
    /// Whose team's name contains this text; the case of ASCII letters does not matter.
    pub team_name: Option<String>,
    /// In this slot of their owner.
    pub slot: Option<Slot>,
    /// With this status.
    pub status: Option<StatusAt>,
    /// With this scope.
    pub scope: Option<Scope>,
    /// Whose scopes came from this preset.
    pub preset: Option<String>,
    /// That expire in one of these ways; empty is any.
    pub ends: Vec<End>,
    /// Created at this instant or later. A stored filter without this condition does not name it, so that earlier
    /// versions can read it; nor those of the conditions that follow that are optional in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<Timestamp>,
    /// Created before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_before: Option<Timestamp>,
    /// Restricted to this project, among others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<u32>,
    /// Signed by the key with this `kid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Used at this instant or later, as far as the authority knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_since: Option<Timestamp>,
    /// Owned by another than the person who created them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub for_others: bool,
    /// Not used since this instant, and issued before it: a token that was never used counts from its issue.
    pub unused_since: Option<Timestamp>,
    /// Never used.
    pub never_used: bool,
    /// Whose use is known at this instant for the whole time of `unused_since` and `never_used`: all of their
    /// audiences report. Operations on unused tokens set it, unless the caller opts out.
    pub reporting_at: Option<Timestamp>,
    /// Created by the actor of this name, or by a token of the person with this address; the case of ASCII
    /// letters does not matter.
    pub created_by: Option<String>,
    /// That break this policy.
    pub breaks: Option<Box<Breach>>,
    /// Except this token.
    pub except: Option<TokenId>,
    /// This token alone.
    pub only: Option<TokenId>,
}

impl Filter {
    /// Returns a filter that matches all tokens the caller may see.
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
            created_after: None,
            created_before: None,
            project: None,
            kid: None,
            used_since: None,
            for_others: false,
            unused_since: None,
            never_used: false,
            reporting_at: None,
            created_by: None,
            breaks: None,
            except: None,
            only: None,
        }
    }
}

/// A breach of a policy by tokens of the organization that the filter names: they live longer than it allows,
/// have a scope or preset that it does not allow, or exceed the number of newest tokens that it allows their
/// owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// The policy.
    pub policy: Policy,
    /// The instant: tokens that have ended by then do not count for their owner.
    pub at: Timestamp,
}

/// The expiry of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// The token never expires.
    Never,
    /// The token expires from one instant on and, if given, before another.
    Between(Timestamp, Option<Timestamp>),
}

impl End {
    /// Matches tokens that expire before this instant.
    pub fn before(instant: Timestamp) -> Self {
        Self::Between(Timestamp::EPOCH, Some(instant))
    }
}

/// A status at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusAt {
    /// The status.
    pub wanted: WantedStatus,
    /// The instant.
    pub at: Timestamp,
}

/// The statuses to include.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WantedStatus {
    /// One status.
    Only(Status),
    /// Any status except revoked, by the token's own revocation or by a cut-off.
    Unrevoked,
}

/// The value that a list is sorted by. Tokens with equal values are in the order of their numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortBy {
    /// The time of issue, which is the order of their numbers.
    #[default]
    CreatedAt,
    /// The expiry.
    ExpiresAt,
    /// The last use.
    LastUsedAt,
    /// The name; the case of ASCII letters does not matter, here and below.
    Name,
    /// The name of the team.
    Team,
    /// The name of the actor who created the token.
    CreatedBy,
}

/// The direction of sorting. Tokens without the value come last in both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest, the latest, Z first.
    #[default]
    Descending,
    /// The oldest, the earliest, A first.
    Ascending,
}

/// The sort order of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sort {
    /// The value to sort by.
    pub by: SortBy,
    /// The direction.
    pub order: Order,
}

/// The direction of a page from its cursor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// Towards the end of the list.
    #[default]
    Next,
    /// Towards the beginning of the list.
    Previous,
}

/// A position between two tokens of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The value that the token at the edge of the page is sorted by, if it has one. None for
    /// [`SortBy::CreatedAt`], where the number suffices.
    pub value: Option<SortValue>,
    /// The token at the edge of the page that returned this cursor.
    pub token: TokenId,
}

/// A value that a token is sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SortValue {
    /// An instant.
    Instant(Timestamp),
    /// A text, with its ASCII letters in lower case.
    Text(String),
}

/// The start of a page. Only pages that start at cursors skip and repeat no token while the list changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// The beginning (for previous pages, the end) of the list.
    #[default]
    Beginning,
    /// A cursor.
    Cursor(Cursor),
    /// A number of tokens from the beginning (for previous pages, the end). Each of them is read.
    Offset(u64),
}

impl From<Option<Cursor>> for Start {
    fn from(cursor: Option<Cursor>) -> Self {
        cursor.map_or(Self::Beginning, Self::Cursor)
    }
}

/// The order, start and size of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The sort order of the list.
    pub sort: Sort,
    /// The start of the page.
    pub start: Start,
    /// The direction from the start.
    pub direction: Direction,
    /// The most tokens on the page.
    pub limit: u32,
    /// Whether all matching tokens are counted, which reads each of them.
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
    /// The positions of the first and the last token, if there is any.
    pub edges: Option<(Cursor, Cursor)>,
    /// The number of all matching tokens, if requested.
    pub total: Option<u64>,
    /// Whether tokens follow the page.
    pub has_next: bool,
    /// Whether tokens precede the page.
    pub has_previous: bool,
    /// Those audiences of the page's tokens that have ever reported use, in the order of their names. Other
    /// audiences are omitted: not every caller may know that tokens for them exist.
    pub reporting_audiences: Vec<ReportingAudience>,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Servers of two versions carry out the same orders while one replaces the other.
    #[test]
    fn earlier_versions_read_a_stored_filter_without_later_conditions() {
        let plain = Filter::of(Visibility::Everything);
        let stored = serde_json::to_value(&plain).unwrap();
        for later in [
            "created_after",
            "created_before",
            "project",
            "kid",
            "used_since",
            "for_others",
        ] {
            assert_eq!(stored.get(later), None, "{later}");
        }
        assert_eq!(serde_json::from_value::<Filter>(stored).unwrap(), plain);
        let later = Filter {
            created_after: Some(Timestamp::EPOCH),
            created_before: Some(Timestamp::LAST),
            project: Some(1),
            kid: Some("kid".to_owned()),
            used_since: Some(Timestamp::EPOCH),
            for_others: true,
            ..plain
        };
        let mut stored = serde_json::to_value(&later).unwrap();
        assert_eq!(serde_json::from_value::<Filter>(stored.clone()).unwrap(), later);
        stored
            .as_object_mut()
            .unwrap()
            .insert("later".to_owned(), 1.into());
        assert!(serde_json::from_value::<Filter>(stored).is_err());
    }
}
