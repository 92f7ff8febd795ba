//! Revocations: of single tokens, and cut-offs of many.

use std::fmt;

use crate::clock::Timestamp;
use crate::directory::{OrganizationId, TeamId, UserId};
use crate::token::{Actor, NewToken, Owner, Record, TokenKind};

/// A token's index in the published status lists, never assigned to another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListIndex {
    /// The number of the list.
    pub list: u32,
    /// The index in the list.
    pub index: u32,
}

/// A request to revoke one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The instant of the request.
    pub revoked_at: Timestamp,
    /// The instant from which the token is refused: at once, or later for a scheduled revocation.
    pub effective_at: Timestamp,
    /// The actor.
    pub revoked_by: Actor,
    /// The reason in the actor's words.
    pub reason: Option<String>,
}

/// The criteria of a cut-off: it covers the tokens that match all criteria that are given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// Tokens of this organization.
    pub organization: Option<OrganizationId>,
    /// Tokens of this team.
    pub team: Option<TeamId>,
    /// Tokens of this person.
    pub user: Option<UserId>,
    /// Tokens restricted to this project.
    pub project: Option<u32>,
    /// Tokens signed by this key.
    pub kid: Option<String>,
    /// Only sessions, or only API tokens.
    pub kind: Option<TokenKind>,
}

/// Lists the criteria, such as `organization=… user=…`; `all tokens` if there is none.
impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = |kind| match kind {
            TokenKind::Api => "api",
            TokenKind::Session => "session",
        };
        let criteria = [
            ("organization", self.organization.map(|id| id.to_string())),
            ("team", self.team.as_ref().map(ToString::to_string)),
            ("user", self.user.as_ref().map(ToString::to_string)),
            ("project", self.project.map(|number| number.to_string())),
            ("kid", self.kid.clone()),
            ("kind", self.kind.map(|one| kind(one).to_owned())),
        ];
        let given: Vec<String> = criteria
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
            .collect();
        match given.as_slice() {
            [] => f.write_str("all tokens"),
            given => f.write_str(&given.join(" ")),
        }
    }
}

/// The facts that decide whether a cut-off covers a token. All are in the token's header and claims.
#[derive(Debug, Clone, Copy)]
pub struct CutOffSubject<'a> {
    /// The owner that the token acts for.
    pub owner: &'a Owner,
    /// The projects it is restricted to; `None` is unrestricted.
    pub projects: Option<&'a [u32]>,
    /// The key that signed it.
    pub kid: &'a str,
    /// Its purpose.
    pub kind: TokenKind,
    /// When it was issued (`iat`), in whole seconds since the Unix epoch.
    pub issued_at: i64,
}

impl<'a> From<&'a NewToken> for CutOffSubject<'a> {
    fn from(token: &'a NewToken) -> Self {
        Self {
            owner: &token.owner,
            projects: token.projects.as_deref(),
            kid: &token.kid,
            kind: token.kind,
            issued_at: token.created_at.seconds(),
        }
    }
}

impl<'a> From<&'a Record> for CutOffSubject<'a> {
    fn from(record: &'a Record) -> Self {
        (&record.token).into()
    }
}

impl Reach {
    /// Returns whether the token matches the criteria, independent of when it was issued.
    pub fn covers<'a>(&self, token: impl Into<CutOffSubject<'a>>) -> bool {
        let token = token.into();
        self.organization
            .is_none_or(|organization| token.owner.organization() == Some(organization))
            && self
                .team
                .as_ref()
                .is_none_or(|team| token.owner.team() == Some(team))
            && self
                .user
                .as_ref()
                .is_none_or(|user| token.owner.user() == Some(user))
            && self
                .project
                .is_none_or(|project| token.projects.is_some_and(|projects| projects.contains(&project)))
            && self.kid.as_deref().is_none_or(|kid| token.kid == kid)
            && self.kind.is_none_or(|kind| token.kind == kind)
    }
}

/// A revocation of all tokens in reach that were issued up to an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOff {
    /// The criteria.
    pub reach: Reach,
    /// The last second, since the Unix epoch, whose tokens it covers: `iat <= issued_through`. In whole
    /// seconds, since other verifiers see only `iat`.
    pub issued_through: i64,
    /// The instant from which it takes effect.
    pub effective_at: Timestamp,
}

impl CutOff {
    /// As `issued_through`: whenever a token was issued. For a withdrawn key, since its thief can forge `iat`.
    pub const WHENEVER: i64 = Timestamp::LAST.seconds();

    /// Returns the last second in which a token that it covers can have been issued by this deployment: it takes effect
    /// on all others before they are.
    pub fn last_issue(&self) -> i64 {
        self.issued_through.min(self.effective_at.seconds())
    }

    /// Returns whether it revokes this token at this instant.
    pub fn ends<'a>(&self, token: impl Into<CutOffSubject<'a>>, now: Timestamp) -> bool {
        let token = token.into();
        self.effective_at <= now && token.issued_at <= self.issued_through && self.reach.covers(token)
    }

    /// Returns whether an earlier cut-off ends nothing any more that this one does not end: this one has the same
    /// reach, covers no less, and took effect when it was ordered.
    pub fn replaces(&self, earlier: &Self) -> bool {
        self.reach == earlier.reach
            && earlier.issued_through <= self.issued_through
            && self.effective_at.seconds() <= self.issued_through
    }
}
