use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    KeyId, NotAPublicKey, PublicKey, Rejection, Statement, Unverified, UnverifiedStatement, Verified,
    VerifiedStatement,
};

/// The trusted keys by their `kid`.
#[derive(Debug, Clone, Default)]
pub struct KeySet(HashMap<KeyId, PublicKey>);

/// The reason why a text is not a usable key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAKeySet {
    /// Not a JSON object with an array `keys`.
    #[error("not a JWK Set")]
    Json,
    /// The set contains a private or secret key, which is thereby leaked, and possibly others. The
    /// whole set is refused.
    #[error("the key set contains private keys")]
    Private,
}

impl KeySet {
    /// Parses a JWK Set. Keys that cannot verify tokens are skipped (RFC 7517 section 5), so that a
    /// newer authority may publish kinds of keys that this version does not support.
    pub fn from_json(text: &str) -> Result<Self, NotAKeySet> {
        #[derive(Deserialize)]
        struct Wire {
            keys: Vec<Value>,
        }
        let Wire { keys } = serde_json::from_str(text).map_err(|_| NotAKeySet::Json)?;
        keys.into_iter()
            .map(PublicKey::from_value)
            .filter_map(|outcome| match outcome {
                Ok(key) => Some(Ok(key)),
                Err(NotAPublicKey::Private) => Some(Err(NotAKeySet::Private)),
                Err(_) => None,
            })
            .collect()
    }

    /// Returns whether no key can verify tokens.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the key with this id.
    pub fn find(&self, kid: &KeyId) -> Option<&PublicKey> {
        self.0.get(kid)
    }

    /// Verifies a token with the key that its header names.
    pub fn verify(&self, token: Unverified<'_>) -> Result<Verified, Rejection> {
        let key = self.find(&token.header().kid).ok_or(Rejection::UnknownKey)?;
        token.verify(key)
    }

    /// Verifies a statement, such as a status list, with the key that its header names.
    pub fn verify_statement<S: Statement>(
        &self,
        statement: UnverifiedStatement<'_, S>,
    ) -> Result<VerifiedStatement<S>, Rejection> {
        let key = self.find(&statement.header().kid).ok_or(Rejection::UnknownKey)?;
        statement.verify(key)
    }
}

impl FromIterator<PublicKey> for KeySet {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.kid().clone(), key)).collect())
    }
}
