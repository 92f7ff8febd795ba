use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    KeyId, NotAPublicKey, PublicKey, Rejection, Unverified, UnverifiedStatusList, Verified,
    VerifiedStatusList,
};

/// The keys that are believed, by their `kid`.
#[derive(Debug, Clone, Default)]
pub struct KeySet(HashMap<KeyId, PublicKey>);

/// Why a text is not a set of keys to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAKeySet {
    /// No JSON object with an array `keys`.
    #[error("not a JWK Set")]
    Json,
    /// A private or secret key lies in it: whoever published it gave that key away, and possibly
    /// others. Nothing in such a set is believed.
    #[error("the key set holds private keys")]
    Private,
}

impl KeySet {
    /// Reads a JWK Set. Keys that cannot verify our tokens are skipped (RFC 7517 section 5), so that
    /// a newer authority may publish kinds that this version does not know.
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

    /// The key of this name.
    pub fn find(&self, kid: &KeyId) -> Option<&PublicKey> {
        self.0.get(kid)
    }

    /// Verifies a token with the key that it names.
    pub fn verify(&self, token: Unverified<'_>) -> Result<Verified, Rejection> {
        let key = self.find(&token.header().kid).ok_or(Rejection::UnknownKey)?;
        token.verify(key)
    }

    /// Verifies a published status list with the key that it names.
    pub fn verify_status_list(
        &self,
        list: UnverifiedStatusList<'_>,
    ) -> Result<VerifiedStatusList, Rejection> {
        let key = self.find(&list.header().kid).ok_or(Rejection::UnknownKey)?;
        list.verify(key)
    }
}

impl FromIterator<PublicKey> for KeySet {
    fn from_iter<I: IntoIterator<Item = PublicKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.kid().clone(), key)).collect())
    }
}
