//! The contract for signing keys: their states and public halves. The private halves are elsewhere.

use std::fmt;

use async_trait::async_trait;
use jeton_verifier::Algorithm;

use crate::{Result, Versioned};
use jeton_core::clock::Timestamp;

/// How many seconds a copy of the JWKS without a new key may still be handed out after the key was
/// recorded: other processes notice it within a second, and an answer takes its time on the way.
pub const KEY_NOTICED_WITHIN: i64 = 1;

/// Signing keys. [`rules::keys`](crate::rules::keys) makes the orders that change them.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Returns all signing keys and the promise about the JWKS, with the version of
    /// [`Realm::Keys`](crate::Realm::Keys) in the same instant.
    async fn keys(&self) -> Result<Versioned<SigningKeys>>;

    /// How many live tokens, sessions included, each key has signed; keys without any are left out.
    /// Reads every token.
    async fn live_tokens(&self, now: Timestamp) -> Result<Vec<(String, u64)>>;
}

/// All signing keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SigningKeys {
    /// All keys that ever were, the oldest first.
    pub rows: Vec<KeyRow>,
    /// For how long copies of the JWKS may be kept.
    pub promise: JwksPromise,
}

impl SigningKeys {
    /// Returns the key with this id.
    pub fn row(&self, kid: &str) -> Option<&KeyRow> {
        self.rows.iter().find(|row| row.key.kid == kid)
    }

    /// Returns the key that signs; `None` before the first one is published.
    pub fn signing(&self) -> Option<&KeyRow> {
        self.rows.iter().find(|row| row.state == KeyState::Signing)
    }
}

/// For how long copies of the JWKS may be kept that are handed out, and have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwksPromise {
    /// How many seconds a copy that is handed out from now on may be kept.
    pub max_age: u32,
    /// By when every copy that was handed out under an earlier promise has been given up.
    pub copies_until: Timestamp,
}

impl Default for JwksPromise {
    fn default() -> Self {
        Self {
            max_age: 0,
            copies_until: Timestamp::EPOCH,
        }
    }
}

/// A key about to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// The RFC 7638 thumbprint.
    pub kid: String,
    /// `ES256`, `EdDSA` or `RS256`.
    pub algorithm: Algorithm,
    /// The public half as a JWK.
    pub public_jwk: String,
}

/// A signing key as everybody may know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The key itself.
    pub key: NewKey,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was published.
    pub created_at: Timestamp,
    /// Since when it is in its present state.
    pub changed_at: Timestamp,
    /// From when on it may sign.
    pub signs_from: Timestamp,
    /// Nothing that it signed lives longer; at most a minute too late. [`Timestamp::LAST`] if
    /// something never ends.
    pub needed_until: Timestamp,
}

/// Where a key is in its life. It only ever moves downwards.
///
/// Two invariants: a key is published for at least as long as caches keep the JWKS before it signs,
/// and it leaves the JWKS only when no live token needs it. Only an emergency breaks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyState {
    /// In the JWKS, not signing yet.
    Published,
    /// Signing. Exactly one key is.
    Signing,
    /// In the JWKS, for verifying what it signed.
    Retired,
    /// Out of the JWKS; what it signed has ended.
    Gone,
    /// Out of the JWKS; nothing it signed is good.
    Withdrawn,
}

impl KeyState {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [
        Self::Published,
        Self::Signing,
        Self::Retired,
        Self::Gone,
        Self::Withdrawn,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Retired => "retired",
            Self::Gone => "gone",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether it stands in the JWKS.
    pub fn is_published(self) -> bool {
        self <= Self::Retired
    }
}

/// A step in the orderly life of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStep {
    /// A published key whose time has come begins to sign, and the one that did retires.
    Sign,
    /// A published key will never sign.
    Retire,
    /// A retired key that nothing needs any more leaves the JWKS.
    Leave,
}

impl fmt::Display for KeyStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sign => "sign",
            Self::Retire => "retire",
            Self::Leave => "leave the key set",
        })
    }
}
