//! The record of a token: everything about it but the secret, which is never kept.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::directory::UserId;
use crate::token::{Owner, Place, Revocation, Scope, Slot, TokenId};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Handed out to call services with.
    Api,
    /// What login returns: good for the authority itself and nowhere else.
    Session,
}

/// Who did something, as a person reading a list wants to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// An e-mail address, `token 412`, `holder` or `operator`.
    pub name: String,
    /// The person, where it was one.
    pub user: Option<UserId>,
}

/// A token about to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The `jti` claim: a time-ordered UUID.
    pub jti: Uuid,
    /// What it is for.
    pub kind: TokenKind,
    /// A name for people.
    pub name: String,
    /// A longer text for people.
    pub description: Option<String>,
    /// What the token acts for.
    pub owner: Owner,
    /// The place among its owner's tokens that it takes alone, if it takes one.
    pub slot: Option<Slot>,
    /// The scopes it carries, in the catalogue's order.
    pub scopes: Vec<Scope>,
    /// The preset the scopes came from.
    pub preset: Option<String>,
    /// The projects it is restricted to; `None` is unrestricted, an empty list is restricted to nothing.
    pub projects: Option<Vec<u32>>,
    /// The services it is meant for; never empty.
    pub audience: Vec<String>,
    /// What stands before the JWT when it is handed out.
    pub prefix: String,
    /// The key that signs it, or no key ever does.
    pub kid: Arc<str>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// Who issued it.
    pub created_by: Actor,
    /// The API token with which they did, if it was one.
    pub created_by_token: Option<TokenId>,
    /// When it ends by itself; `None` is never.
    pub expires_at: Option<Timestamp>,
}

/// How every token begins that has an `alg` first in its header. Enough to recognise one in a list of
/// secrets, and nothing of what makes it valid.
const FIRST_CHARACTERS: &str = "eyJhbGciOi";

impl NewToken {
    /// The first characters of the token itself, for display.
    pub fn beginning(&self) -> String {
        format!("{}{FIRST_CHARACTERS}...", self.prefix)
    }
}

/// A token's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub id: TokenId,
    /// What was recorded when it was issued; name and description may have been changed since.
    pub token: NewToken,
    /// Its bit in the status lists.
    pub place: Place,
    /// When the authority, or a verifier that reports, last saw it.
    pub last_used_at: Option<Timestamp>,
    /// From which address that was, where the authority saw it and records that.
    pub last_used_from: Option<IpAddr>,
    /// Its own revocation. A cut-off that covers it stands elsewhere.
    pub revocation: Option<RevocationNote>,
    /// What it was rotated from and into.
    pub lineage: Lineage,
    /// That somebody presented it after it had been revoked, if anybody did.
    pub refusals: Option<Refusals>,
}

/// What a token was rotated from and into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The token whose rights it took over.
    pub rotated_from: Option<TokenId>,
    /// The token that took over its rights.
    pub replaced_by: Option<TokenId>,
}

/// That a revoked token was presented: by somebody who was not told, or who should not have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusals {
    /// How often it was refused.
    pub count: u64,
    /// When it was refused last.
    pub last_at: Timestamp,
}

/// What is remembered of a token's revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationNote {
    /// When it was recorded.
    pub revoked_at: Timestamp,
    /// From when on the token is refused; not before `revoked_at`.
    pub effective_at: Timestamp,
    /// Who revoked it.
    pub revoked_by: String,
    /// Why, in their words.
    pub reason: Option<String>,
}

impl From<Revocation> for RevocationNote {
    fn from(revocation: Revocation) -> Self {
        Self {
            revoked_at: revocation.revoked_at,
            effective_at: revocation.effective_at,
            revoked_by: revocation.revoked_by.name,
            reason: revocation.reason,
        }
    }
}

/// Whether a token is good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Status {
    /// Accepted.
    #[default]
    Active,
    /// Past its end.
    Expired,
    /// Taken back, by itself or by a cut-off.
    Revoked,
}

impl Status {
    /// The word for it on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Record {
    /// Whether it has ended by itself.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        // Whole seconds, as `exp` has them: a verifier elsewhere must come to the same verdict.
        self.token
            .expires_at
            .is_some_and(|end| now.seconds() >= end.seconds())
    }

    /// Whether its own revocation has taken effect.
    pub fn is_revoked(&self, now: Timestamp) -> bool {
        self.revocation
            .as_ref()
            .is_some_and(|revocation| revocation.effective_at <= now)
    }
}
