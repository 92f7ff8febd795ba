//! The record of a token: all its data except the signed token itself, which is never stored.

use std::net::IpAddr;
use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::directory::UserId;
use crate::token::{ListIndex, Owner, Revocation, Scope, Slot, TokenId};

/// The purpose of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// An API token, for calling services.
    Api,
    /// A session token, which login returns: valid for the authority only.
    Session,
}

/// The actor of an operation, as shown in lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// An e-mail address, `token 412`, `holder` or `operator`.
    pub name: String,
    /// The person, if the actor is one.
    pub user: Option<UserId>,
}

/// A token about to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The `jti` claim: a time-ordered UUID.
    pub jti: Uuid,
    /// Its purpose.
    pub kind: TokenKind,
    /// A name for display.
    pub name: String,
    /// A longer text for display.
    pub description: Option<String>,
    /// The owner that it acts for.
    pub owner: Owner,
    /// The slot of its owner that it holds, if any.
    pub slot: Option<Slot>,
    /// The scopes it carries, in the catalogue's order.
    pub scopes: Vec<Scope>,
    /// The preset the scopes came from.
    pub preset: Option<String>,
    /// The projects it is restricted to; `None` is unrestricted, an empty list is restricted to nothing.
    pub projects: Option<Vec<u32>>,
    /// The services it is meant for; never empty.
    pub audience: Vec<String>,
    /// The prefix that precedes the JWT in the returned token.
    pub prefix: String,
    /// The key that must sign it: recording fails if another key signs.
    pub kid: Arc<str>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// The actor who issued it.
    pub created_by: Actor,
    /// The API token that authenticated the actor, if any.
    pub created_by_token: Option<TokenId>,
    /// When it expires; `None` is never.
    pub expires_at: Option<Timestamp>,
}

/// The first characters of every JWT whose header begins with `alg`. Enough to recognise a token in a list of
/// secrets, without any part that makes it valid.
const FIRST_CHARACTERS: &str = "eyJhbGciOi";

impl NewToken {
    /// Returns the first characters of the token itself, for display.
    pub fn beginning(&self) -> String {
        format!("{}{FIRST_CHARACTERS}...", self.prefix)
    }

    /// Returns the last eight characters of the `jti`, which tell tokens apart where [`Self::beginning`] does not.
    pub fn hint(&self) -> String {
        let jti = self.jti.to_string();
        jti.get(jti.len() - 8..).unwrap_or_default().to_owned()
    }
}

/// A token's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub id: TokenId,
    /// The token as issued; name and description may have been changed since.
    pub token: NewToken,
    /// Its status list index.
    pub list_index: ListIndex,
    /// When the authority, or a verifier that reports, last observed its use.
    pub last_used_at: Option<Timestamp>,
    /// The client address of that use, if the authority observed it and records addresses.
    pub last_used_from: Option<IpAddr>,
    /// Its own revocation. Cut-offs that cover the token are separate.
    pub revocation: Option<RevocationNote>,
    /// The tokens that it was rotated from and into.
    pub lineage: Lineage,
    /// Its presentations after revocation, if any.
    pub refusals: Option<Refusals>,
}

/// The tokens that a token was rotated from and into.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The token that it replaced by rotation.
    pub rotated_from: Option<TokenId>,
    /// The token that replaced it by rotation.
    pub replaced_by: Option<TokenId>,
}

/// Presentations of a revoked token: by a client that was not updated, or that should not have the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusals {
    /// How often it was refused.
    pub count: u64,
    /// When it was refused last.
    pub last_at: Timestamp,
}

/// The recorded facts of a token's revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationNote {
    /// When it was recorded.
    pub revoked_at: Timestamp,
    /// The instant from which the token is refused; not before `revoked_at`.
    pub effective_at: Timestamp,
    /// The name of the actor who revoked it.
    pub revoked_by: String,
    /// The reason in the actor's words.
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

/// The status of a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Status {
    /// Accepted.
    #[default]
    Active,
    /// Past its expiry.
    Expired,
    /// Revoked by its own revocation or by a cut-off.
    Revoked,
}

impl Status {
    /// Returns the name of the status in responses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

impl Record {
    /// Returns whether it has expired.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        // In whole seconds, as in `exp`: other verifiers must come to the same verdict.
        self.token
            .expires_at
            .is_some_and(|end| now.seconds() >= end.seconds())
    }

    /// Returns whether its own revocation has taken effect.
    pub fn is_revoked(&self, now: Timestamp) -> bool {
        self.revocation
            .as_ref()
            .is_some_and(|revocation| revocation.effective_at <= now)
    }
}
