//! The contract for signing keys: their states and public halves. Private halves are not in the store.

use std::fmt;

use async_trait::async_trait;
use jeton_verifier::Algorithm;

use crate::{Result, Versioned};
use jeton_core::clock::Timestamp;

/// How many seconds after the recording of a key a copy of the JWKS without it may still be served by a store of one
/// machine: other processes notice the key within a second, and a response takes time to arrive.
pub const KEY_NOTICED_WITHIN: i64 = 1;

/// Reads signing keys. [`rules::keys`](crate::rules::keys) makes the orders that change them.
#[async_trait]
pub trait Keys: Send + Sync {
    /// Returns all signing keys and the promise about the JWKS, with the version of
    /// [`Realm::Keys`](crate::Realm::Keys) in the same instant.
    async fn keys(&self) -> Result<Versioned<SigningKeys>>;

    /// Returns how many live tokens, sessions included, each key has signed; omits keys without any. Reads
    /// every token.
    async fn live_tokens(&self, now: Timestamp) -> Result<Vec<(String, u64)>>;
}

/// All signing keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKeys {
    /// All keys ever published, the oldest first.
    pub rows: Vec<KeyRow>,
    /// How long copies of the JWKS may be cached.
    pub promise: JwksPromise,
    /// How many seconds after the recording of a key a copy of the JWKS without it may still be served:
    /// [`KEY_NOTICED_WITHIN`], and with several servers longer by a lease, for which one that is cut off serves the JWKS.
    pub noticed_within: i64,
}

impl Default for SigningKeys {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            promise: JwksPromise::default(),
            noticed_within: KEY_NOTICED_WITHIN,
        }
    }
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

    /// Returns the published key that signs next.
    pub fn successor(&self) -> Option<&KeyRow> {
        let published = self.rows.iter().filter(|row| row.state == KeyState::Published);
        published.min_by_key(|row| row.signs_from)
    }
}

/// How long copies of the JWKS may be cached: those served from now on, and those served before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwksPromise {
    /// How many seconds a copy that is served from now on may be cached.
    pub max_age: u32,
    /// The instant by which every copy that was served under an earlier promise has expired.
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
    /// The private key, sealed by the key-encryption key, if the store keeps private keys: see
    /// [`Medium::sealed_keys`](crate::Medium::sealed_keys).
    pub sealed: Option<String>,
}

/// A store that keeps private keys, sealed by a key that it never sees. A key is published with its private half in one
/// transaction, so that no server sees a key that it cannot load.
#[async_trait::async_trait]
pub trait SealedKeys: Send + Sync {
    /// Replaces the sealed private key of a published key by another seal of it.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`](crate::StoreError) if the store fails.
    async fn reseal(&self, kid: &str, sealed: &str) -> Result<()>;
}

/// The public facts of a signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The key itself.
    pub key: NewKey,
    /// The state in its life cycle.
    pub state: KeyState,
    /// When it was published.
    pub created_at: Timestamp,
    /// Since when it is in this state.
    pub changed_at: Timestamp,
    /// The instant from which it may sign.
    pub signs_from: Timestamp,
    /// The latest end of anything that it signed; at most a minute too late. [`Timestamp::LAST`] if something
    /// never ends.
    pub needed_until: Timestamp,
}

/// The state of a key in its life cycle. It only ever moves downwards.
///
/// Two invariants: a key is published for at least as long as caches keep the JWKS before it signs,
/// and it leaves the JWKS only when no live token needs it. Only an emergency breaks them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyState {
    /// In the JWKS, not signing yet.
    Published,
    /// Signing. Exactly one key signs.
    Signing,
    /// In the JWKS, to verify the tokens it signed.
    Retired,
    /// Removed from the JWKS after everything it signed had ended.
    Gone,
    /// Removed from the JWKS in an emergency; everything it signed is revoked.
    Withdrawn,
}

impl KeyState {
    /// All states in their order.
    pub const ALL: [Self; 5] = [
        Self::Published,
        Self::Signing,
        Self::Retired,
        Self::Gone,
        Self::Withdrawn,
    ];

    /// Returns the name of the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Signing => "signing",
            Self::Retired => "retired",
            Self::Gone => "gone",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Returns whether the key is in the JWKS.
    pub fn is_published(self) -> bool {
        self <= Self::Retired
    }
}

/// A regular step in the life cycle of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStep {
    /// A published key that is due begins to sign, and the previous one retires.
    Sign,
    /// A published key retires without ever signing.
    Retire,
    /// A retired key that is no longer needed leaves the JWKS.
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
