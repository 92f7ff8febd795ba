//! How tokens end before their time.

use crate::clock::Timestamp;
use crate::directory::{OrganizationId, TeamId, UserId};
use crate::token::{Actor, NewToken, Record, TokenKind};

/// A token's bit in the published status lists: never given to another token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which list.
    pub list: u32,
    /// Which bit of it.
    pub index: u32,
}

/// The order to revoke one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Now.
    pub revoked_at: Timestamp,
    /// From when on the token is refused: now, or an instant ahead that is obeyed when it comes.
    pub effective_at: Timestamp,
    /// Who revokes.
    pub revoked_by: Actor,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// Which tokens a cut-off covers: those that match everything that is named.
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

impl Reach {
    /// Whether the token is among those meant, whenever it was issued.
    pub fn covers(&self, token: &NewToken) -> bool {
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
            && self.project.is_none_or(|project| {
                token
                    .projects
                    .as_ref()
                    .is_some_and(|projects| projects.contains(&project))
            })
            && self.kid.as_deref().is_none_or(|kid| *token.kid == *kid)
            && self.kind.is_none_or(|kind| token.kind == kind)
    }
}

/// One revocation of everything in reach that was issued up to an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutOff {
    /// Whom it covers.
    pub reach: Reach,
    /// The last second, since the Unix epoch, whose tokens it covers: `iat <= issued_through`.
    /// Whole seconds, since `iat` is all that a verifier elsewhere sees.
    pub issued_through: i64,
    /// From when on it is obeyed.
    pub effective_at: Timestamp,
}

impl CutOff {
    /// Whether it ends this token at this instant.
    pub fn ends(&self, record: &Record, now: Timestamp) -> bool {
        self.effective_at <= now
            && record.token.created_at.seconds() <= self.issued_through
            && self.reach.covers(&record.token)
    }
}
