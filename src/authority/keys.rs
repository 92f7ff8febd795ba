//! The life of the signing keys, by order of the operator and by itself.

use jeton_verifier::KeyId;

use crate::authority::{Authority, Result};
use crate::keys::Due;
use jeton_core::token::Actor;
use jeton_store::{KeyRevocation, KeyRevoked, KeyRow, KeyState, KeyStep};

/// A key and what depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// The key.
    pub row: KeyRow,
    /// How many live tokens it has signed, sessions included.
    pub live_tokens: u64,
}

/// What became of an order to retire a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRetired {
    /// It signs nothing any more, by this order or before it.
    Retired,
    /// It is the one that signs: it retires by itself when a successor begins.
    Signs,
    /// There is no such key.
    Unknown,
}

impl Authority {
    /// All keys that ever were, the oldest first.
    pub async fn list_keys(&self) -> Result<Vec<ListedKey>> {
        let counts = self.store.live_tokens(self.clock.now()).await?;
        let live = |kid: &str| counts.iter().find(|(counted, _)| counted == kid);
        let listed = |row: KeyRow| ListedKey {
            live_tokens: live(&row.key.kid).map_or(0, |(_, count)| *count),
            row,
        };
        Ok(self.store.keys().await?.into_iter().map(listed).collect())
    }

    /// Makes and publishes a successor of the signing key. It takes over as soon as every copy of the
    /// JWKS has it, by [`Authority::tend_keys`].
    pub async fn rotate_key(&self) -> Result<KeyRow> {
        let key = self.keys.make().await?;
        // The time is read only now: making a key took a while.
        let row = self.store.publish_key(key, self.clock.now()).await?;
        tracing::info!(kid = row.key.kid, signs_from = %row.signs_from, "signing key published");
        self.follow_keys().await?;
        Ok(row)
    }

    /// Takes a key that is published out of the succession: it will never sign.
    pub async fn retire_key(&self, kid: &KeyId) -> Result<KeyRetired> {
        let now = self.clock.now();
        if self.store.advance_key(kid.as_str(), KeyStep::Retire, now).await? {
            self.follow_keys().await?;
            return Ok(KeyRetired::Retired);
        }
        let rows = self.store.keys().await?;
        let found = rows.into_iter().find(|row| row.key.kid == kid.as_str());
        Ok(match found.map(|row| row.state) {
            Some(KeyState::Signing) => KeyRetired::Signs,
            Some(_) => KeyRetired::Retired,
            None => KeyRetired::Unknown,
        })
    }

    /// Withdraws a key that somebody else may have, and everything it signed. Where it is the one that
    /// signs, a new key does so at once: verifiers that keep a JWKS without it must fetch it anew.
    pub async fn revoke_key(&self, kid: &KeyId, reason: Option<String>, by: Actor) -> Result<KeyRevoked> {
        let mut order = KeyRevocation {
            kid: kid.to_string(),
            successor: None,
            reason,
            by,
            at: self.clock.now(),
        };
        let mut outcome = self.store.revoke_key(order.clone()).await?;
        if outcome == KeyRevoked::SuccessorNeeded {
            // Not one that is published already: whoever read one file of the folder may have read all.
            order.successor = Some(self.keys.make().await?);
            order.at = self.clock.now();
            outcome = self.store.revoke_key(order).await?;
        }
        if outcome == KeyRevoked::Revoked {
            tracing::warn!(%kid, "signing key withdrawn and all tokens it signed revoked");
        }
        self.follow_keys().await?;
        Ok(outcome)
    }

    /// Does what is due for the keys. Called again and again by whoever serves.
    pub async fn tend_keys(&self) -> Result<()> {
        // First, or what could not be read after the last time would be done again.
        self.follow_keys().await?;
        loop {
            let now = self.clock.now();
            let is_done = match self.keys.due(now) {
                None => return Ok(()),
                Some(Due::Publish) => {
                    self.rotate_key().await?;
                    true
                }
                Some(Due::Advance { kid, step }) => {
                    let is_done = self.store.advance_key(&kid, step, now).await?;
                    tracing::info!(kid, %step, is_done, "signing key step due");
                    self.follow_keys().await?;
                    is_done
                }
            };
            if !is_done {
                // Another process was faster. What it did is known at the next call.
                return Ok(());
            }
        }
    }

    /// Takes over the keys as the store has them.
    pub(super) async fn follow_keys(&self) -> Result<()> {
        let generation = self.index.realms().keys();
        Ok(self
            .keys
            .catch_up(&*self.store, generation, self.clock.now())
            .await?)
    }
}
