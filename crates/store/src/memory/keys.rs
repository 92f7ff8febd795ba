//! Signing keys.

use async_trait::async_trait;
use jeton_core::clock::Timestamp;

use super::{Batch, MemoryStore, failed};
use crate::rules::keys;
use crate::{KeyRevocation, KeyRevoked, KeyRow, KeyState, KeyStep, Keys, NewKey, Realm, Result};

#[async_trait]
impl Keys for MemoryStore {
    async fn keys(&self) -> Result<Vec<KeyRow>> {
        Ok(self.data().keys.clone())
    }

    async fn live_tokens(&self, now: Timestamp) -> Result<Vec<(String, u64)>> {
        let data = self.data();
        let counts = data.keys.iter().map(|key| {
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

    async fn promise_jwks(&self, max_age: u32, now: Timestamp) -> Result<()> {
        self.write(|batch| {
            batch.data.promise = batch.data.promise.renewed(max_age, now);
            Ok(())
        })
        .await
    }

    async fn publish_key(&self, key: NewKey, now: Timestamp) -> Result<KeyRow> {
        self.write(|batch| {
            let signs = batch.data.signing_key().is_some();
            let row = keys::publish(key, signs, batch.data.promise, now);
            batch.insert(row.clone())?;
            batch.changed(vec![Realm::Keys]);
            Ok(row)
        })
        .await
    }

    async fn advance_key(&self, kid: &str, step: KeyStep, now: Timestamp) -> Result<bool> {
        self.write(|batch| {
            let row = batch.data.keys.iter().find(|row| row.key.kid == kid);
            let Some(state) = row.and_then(|row| keys::advance(row, step, now)) else {
                return Ok(false);
            };
            if state == KeyState::Signing {
                // One instant, so that there is never a moment without a signing key, nor with two.
                batch.put(|row| row.state == KeyState::Signing, KeyState::Retired, now);
            }
            batch.put(|row| row.key.kid == kid, state, now);
            batch.changed(vec![Realm::Keys]);
            Ok(true)
        })
        .await
    }

    async fn revoke_key(&self, order: KeyRevocation) -> Result<KeyRevoked> {
        self.write(|batch| {
            let row = batch.data.keys.iter().find(|row| row.key.kid == order.kid);
            let withdrawal = match keys::withdraw(row.map(|row| row.state), &order) {
                Ok(withdrawal) => withdrawal,
                Err(outcome) => return Ok(outcome),
            };
            batch.cut_off(withdrawal.cut_off, &order.by, order.at)?;
            batch.put(|row| row.key.kid == order.kid, KeyState::Withdrawn, order.at);
            if let Some(successor) = withdrawal.successor {
                batch.insert(successor)?;
            }
            batch.changed(vec![Realm::Keys]);
            Ok(KeyRevoked::Revoked)
        })
        .await
    }

    async fn need_key(&self, kid: &str, until: Timestamp) -> Result<bool> {
        self.write(|batch| {
            let key = batch.data.signing_key().filter(|key| key.key.kid == kid);
            Ok(key
                .map(|key| key.needed_until = key.needed_until.max(until))
                .is_some())
        })
        .await
    }
}

impl Batch<'_> {
    fn insert(&mut self, row: KeyRow) -> Result<()> {
        if self.data.keys.iter().any(|known| known.key.kid == row.key.kid) {
            return Err(failed("a key is published once"));
        }
        self.data.keys.push(row);
        Ok(())
    }

    fn put(&mut self, which: impl Fn(&KeyRow) -> bool, state: KeyState, now: Timestamp) {
        for row in self.data.keys.iter_mut().filter(|row| which(row)) {
            (row.state, row.changed_at) = (state, now);
        }
    }
}
