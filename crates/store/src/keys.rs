//! The contract for signing keys: their states and public halves. The private halves are elsewhere.

use std::fmt;

use async_trait::async_trait;
use jeton_verifier::Algorithm;

use crate::Result;
use jeton_core::clock::Timestamp;
use jeton_core::token::Actor;

/// How many seconds a copy of the JWKS without a new key may still be handed out after the key was
/// recorded: other processes notice it within a second, and an answer takes its time on the way.
pub const KEY_NOTICED_WITHIN: i64 = 1;

/// Signing keys. What an operation requires is judged in its own transaction, by [`rules::keys`](crate::rules::keys);
/// whatever changes a key's state gives [`Realm::Keys`](crate::Realm::Keys) a new version.
#[async_trait]
pub trait Keys: Send + Sync {
    /// All keys that ever were, the oldest first.
    async fn keys(&self) -> Result<Vec<KeyRow>>;

    /// How many live tokens, sessions included, each key has signed; keys without any are left out.
    /// Reads every token.
    async fn live_tokens(&self, now: Timestamp) -> Result<Vec<(String, u64)>>;

    /// Notes for how many seconds from now on everybody may keep a copy of the JWKS. Whoever serves it
    /// calls this first.
    async fn promise_jwks(&self, max_age: u32, now: Timestamp) -> Result<()>;

    /// Adds a key to the JWKS. It may sign once every copy that anybody may keep has it, those that
    /// were handed out under a longer promise included. Where no key signs, as at the very first start,
    /// it does so at once.
    async fn publish_key(&self, key: NewKey, now: Timestamp) -> Result<KeyRow>;

    /// Takes a key a step further; `false`, and nothing done, if the step is not due at this instant.
    async fn advance_key(&self, kid: &str, step: KeyStep, now: Timestamp) -> Result<bool>;

    /// Withdraws a key and ends everything it signed by a cut-off. Where it is the one that signs, its
    /// successor is published and signs in the same instant.
    async fn revoke_key(&self, order: KeyRevocation) -> Result<KeyRevoked>;

    /// Notes that the signing key signs something that lives until an instant; `false`, and nothing
    /// noted, if the key does not sign. Recording a token does this by itself.
    async fn need_key(&self, kid: &str, until: Timestamp) -> Result<bool>;
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

/// The order to withdraw a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRevocation {
    /// Which one.
    pub kid: String,
    /// Who signs in its place, if it is the one that signs; otherwise unused.
    pub successor: Option<NewKey>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// Who orders it.
    pub by: Actor,
    /// Now.
    pub at: Timestamp,
}

/// What became of an order to withdraw a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRevoked {
    /// It is withdrawn, and so is everything it signed.
    Revoked,
    /// It had been withdrawn before; nothing changed.
    AlreadyRevoked,
    /// It signs, and no successor was given; nothing changed.
    SuccessorNeeded,
    /// There is no such key.
    Unknown,
}
