//! Signing keys: their states and public halves.

use async_trait::async_trait;
use jeton_core::clock::Timestamp;

use super::MemoryStore;
use crate::{Keys, Result, SigningKeys, Versioned};

#[async_trait]
impl Keys for MemoryStore {
    async fn keys(&self) -> Result<Versioned<SigningKeys>> {
        Ok(self.data().keys.clone())
    }

    async fn live_tokens(&self, now: Timestamp) -> Result<Vec<(String, u64)>> {
        let data = self.data();
        let counts = data.keys.value.rows.iter().map(|key| {
            let live = data.tokens.values().filter(|record| {
                *record.token.kid == *key.key.kid
                    && !record.is_expired(now)
                    && !record.is_revoked(now)
                    && !data.is_cut_off(record, Some(now))
            });
            (key.key.kid.clone(), live.count() as u64)
        });
        Ok(counts.filter(|(_, live)| *live > 0).collect())
    }
}
