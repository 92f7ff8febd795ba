//! The life of the signing keys, by order of the operator and by itself.

use jeton_verifier::KeyId;

use crate::authority::retry::Judged;
use crate::authority::{Authority, Error, Result};
use crate::keys::Due;
use jeton_core::token::Actor;
use jeton_store::rules::keys::{self as rules, NotWithdrawn};
use jeton_store::{Cause, KeyRow, KeyState, KeyStep, NewKey};

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

/// What became of an order to withdraw a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRevoked {
    /// It is withdrawn, and so is everything it signed.
    Revoked,
    /// It was withdrawn before.
    AlreadyRevoked,
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
        Ok(self
            .store
            .keys()
            .await?
            .value
            .rows
            .into_iter()
            .map(listed)
            .collect())
    }

    /// Makes and publishes a successor of the signing key. It takes over as soon as every copy of the
    /// JWKS has it, by [`Authority::tend_keys`].
    pub async fn rotate_key(&self) -> Result<KeyRow> {
        let key = &self.keys.make().await?;
        self.judged(move |view| {
            Box::pin(async move {
                let (keys, cause) = (self.store.keys().await?, Cause::operator(self.clock.now()));
                let (order, row) = rules::publish(cause, &keys, key.clone());
                let published = self.commit(&view, order).await?;
                self.published(&row, &published).await?;
                Ok(published.map(|_| row))
            })
        })
        .await
    }

    async fn published<T>(&self, row: &KeyRow, published: &Judged<T>) -> Result<()> {
        if let Judged::Done(_) = published {
            tracing::info!(kid = row.key.kid, signs_from = %row.signs_from, "signing key published");
            self.follow_keys().await?;
        }
        Ok(())
    }

    /// Takes a key that is published out of the succession: it will never sign.
    pub async fn retire_key(&self, kid: &KeyId) -> Result<KeyRetired> {
        self.judged(move |view| {
            Box::pin(async move {
                let (keys, cause) = (self.store.keys().await?, Cause::operator(self.clock.now()));
                let Some(order) = rules::advance(cause, &keys, kid.as_str(), KeyStep::Retire) else {
                    let row = keys.value.row(kid.as_str());
                    return Ok(Judged::Done(match row.map(|row| row.state) {
                        Some(KeyState::Signing) => KeyRetired::Signs,
                        Some(_) => KeyRetired::Retired,
                        None => KeyRetired::Unknown,
                    }));
                };
                let retired = self.commit(&view, order).await?;
                self.follow_keys().await?;
                Ok(retired.map(|_| KeyRetired::Retired))
            })
        })
        .await
    }

    /// Withdraws a key that somebody else may have, and everything it signed. Where it is the one that
    /// signs, a new key does so at once: verifiers that keep a JWKS without it must fetch it anew.
    pub async fn revoke_key(&self, kid: &KeyId, reason: Option<String>, by: Actor) -> Result<KeyRevoked> {
        let cause = &Cause {
            by,
            ..Cause::operator(self.clock.now()).because(reason)
        };
        let mut outcome = self.withdraw(kid, cause, &None).await?;
        if outcome == Err(NotWithdrawn::SuccessorNeeded) {
            // Not one that is published already: whoever read one file of the folder may have read all.
            let successor = Some(self.keys.make().await?);
            outcome = self.withdraw(kid, cause, &successor).await?;
        }
        self.follow_keys().await?;
        match outcome {
            Ok(()) => {
                tracing::warn!(%kid, "signing key withdrawn and all tokens it signed revoked");
                Ok(KeyRevoked::Revoked)
            }
            Err(NotWithdrawn::AlreadyWithdrawn) => Ok(KeyRevoked::AlreadyRevoked),
            Err(NotWithdrawn::Unknown) => Ok(KeyRevoked::Unknown),
            // It has begun to sign since its successor was made.
            Err(NotWithdrawn::SuccessorNeeded) => Err(Error::Busy),
        }
    }

    async fn withdraw(
        &self,
        kid: &KeyId,
        cause: &Cause,
        successor: &Option<NewKey>,
    ) -> Result<std::result::Result<(), NotWithdrawn>> {
        self.judged(move |view| {
            Box::pin(async move {
                let keys = self.store.keys().await?;
                // The time is read only now: making a key took a while.
                let at = self.clock.now();
                let cause = Cause { at, ..cause.clone() };
                match rules::withdraw(cause, &keys, kid.as_str(), successor.clone()) {
                    Ok(order) => Ok(self.commit(&view, order).await?.map(|_| Ok(()))),
                    Err(not) => Ok(Judged::Done(Err(not))),
                }
            })
        })
        .await
    }

    /// Does what is due for the keys. Called again and again by whoever serves.
    pub async fn tend_keys(&self) -> Result<()> {
        // First, or what could not be read after the last time would be done again.
        self.follow_keys().await?;
        while let Some((due, keys)) = self.keys.due(self.clock.now()) {
            // Judged by the keys for which it is due: of several processes one does it.
            let done = match due {
                Due::Publish => {
                    let key = self.keys.make().await?;
                    let (order, row) = rules::publish(Cause::server(self.clock.now()), &keys, key);
                    let published = self.commit(&self.view(), order).await?;
                    self.published(&row, &published).await?;
                    published
                }
                Due::Advance { kid, step } => {
                    let cause = Cause::server(self.clock.now());
                    let Some(order) = rules::advance(cause, &keys, &kid, step) else {
                        return Ok(());
                    };
                    let advanced = self.commit(&self.view(), order).await?;
                    let is_done = matches!(advanced, Judged::Done(_));
                    tracing::info!(kid, %step, is_done, "signing key step due");
                    self.follow_keys().await?;
                    advanced
                }
            };
            if let Judged::Stale = done {
                // Another process was faster. What it did is known at the next call.
                return Ok(());
            }
        }
        Ok(())
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
