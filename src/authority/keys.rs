//! The life cycle of signing keys: rotation, retirement and withdrawal, on request and by schedule.

use jeton_verifier::KeyId;

use crate::authority::retry::Attempt;
use crate::authority::{Authority, Error, Result};
use crate::causes::error_chain;
use crate::keys::{Due, Jwks};
use jeton_core::token::Actor;
use jeton_store::rules::keys::{self as rules, NotWithdrawn, Successor};
use jeton_store::{Cause, KeyRow, KeyState, KeyStep};

/// A key and the number of live tokens it signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// The key.
    pub row: KeyRow,
    /// The number of live tokens it signed, sessions included.
    pub live_tokens: u64,
}

/// The outcome of retiring a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRetired {
    /// The key no longer signs, by this request or an earlier one.
    Retired,
    /// The key is the signing key: it retires when its successor begins to sign.
    Signs,
    /// No such key.
    Unknown,
}

/// The outcome of withdrawing a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRevoked {
    /// The key and everything it signed are revoked.
    Revoked,
    /// The key and everything it signed are revoked. It was the signing key, and no successor could be created: no key
    /// signs.
    RevokedWithoutSuccessor,
    /// The key was withdrawn before.
    AlreadyRevoked,
    /// No such key.
    Unknown,
}

impl Authority {
    /// Returns the key set as it is sent.
    ///
    /// # Errors
    ///
    /// [`Error::Busy`] while this server may not know which keys others have withdrawn.
    pub fn jwks(&self) -> Result<Jwks> {
        self.active.check_index()?;
        Ok(self.keys.jwks())
    }

    /// Returns all keys ever published, the oldest first.
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

    /// Creates and publishes a successor of the signing key. [`Authority::tend_keys`] lets it sign once every
    /// cached copy of the JWKS contains it.
    pub async fn rotate_key(&self) -> Result<KeyRow> {
        let made = self.keys.make().await;
        let key = &made.map_err(|error| Error::NoNewKey(Box::new(error)))?;
        self.attempt(move |view| {
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

    async fn published<T>(&self, row: &KeyRow, published: &Attempt<T>) -> Result<()> {
        if let Attempt::Done(_) = published {
            tracing::info!(kid = row.key.kid, signs_from = %row.signs_from, "signing key published");
            self.follow_keys().await?;
        }
        Ok(())
    }

    /// Retires a published key, which then never signs.
    pub async fn retire_key(&self, kid: &KeyId) -> Result<KeyRetired> {
        self.attempt(move |view| {
            Box::pin(async move {
                let (keys, cause) = (self.store.keys().await?, Cause::operator(self.clock.now()));
                let Some(order) = rules::advance(cause, &keys, kid.as_str(), KeyStep::Retire) else {
                    let row = keys.value.row(kid.as_str());
                    return Ok(Attempt::Done(match row.map(|row| row.state) {
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

    /// Withdraws a compromised key and revokes everything it signed. The signing key is replaced by a new one
    /// at once; verifiers whose cached JWKS lacks it must fetch the JWKS again. If no new key can be created, the key is
    /// withdrawn all the same.
    pub async fn revoke_key(&self, kid: &KeyId, reason: Option<String>, by: Actor) -> Result<KeyRevoked> {
        let cause = &Cause {
            by,
            ..Cause::operator(self.clock.now()).because(reason)
        };
        let mut successor = Successor::Undecided;
        let mut outcome = self.withdraw(kid, cause, &successor).await?;
        if outcome == Err(NotWithdrawn::SuccessorNeeded) {
            // Not a key that is already published: an attacker who read one key file may have read them all.
            successor = match self.keys.make().await {
                Ok(key) => Successor::New(key),
                Err(error) => {
                    let error = error_chain(&error);
                    tracing::error!(
                        error,
                        "the signing key is revoked without a successor: no key can be created"
                    );
                    Successor::Nothing
                }
            };
            outcome = self.withdraw(kid, cause, &successor).await?;
        }
        self.follow_keys().await?;
        match outcome {
            Ok(()) => {
                tracing::warn!(%kid, "signing key withdrawn and all tokens it signed revoked");
                Ok(match successor {
                    Successor::Nothing => KeyRevoked::RevokedWithoutSuccessor,
                    Successor::New(_) | Successor::Undecided => KeyRevoked::Revoked,
                })
            }
            Err(NotWithdrawn::AlreadyWithdrawn) => Ok(KeyRevoked::AlreadyRevoked),
            Err(NotWithdrawn::Unknown) => Ok(KeyRevoked::Unknown),
            // The key has begun to sign since the check whether a successor is needed.
            Err(NotWithdrawn::SuccessorNeeded) => Err(Error::Busy),
        }
    }

    async fn withdraw(
        &self,
        kid: &KeyId,
        cause: &Cause,
        successor: &Successor,
    ) -> Result<std::result::Result<(), NotWithdrawn>> {
        self.attempt(move |view| {
            Box::pin(async move {
                let keys = self.store.keys().await?;
                // The clock is read after the slow creation of the key.
                let at = self.clock.now();
                let cause = Cause { at, ..cause.clone() };
                match rules::withdraw(cause, &keys, kid.as_str(), successor.clone()) {
                    Ok(order) => Ok(self.commit(&view, order).await?.map(|_| Ok(()))),
                    Err(not) => Ok(Attempt::Done(Err(not))),
                }
            })
        })
        .await
    }

    /// Carries out the key steps that are due. The server calls it periodically.
    pub async fn tend_keys(&self) -> Result<()> {
        // First, so that a step whose result could not be read the last time is not repeated.
        self.follow_keys().await?;
        while let Some((due, keys)) = self.keys.due(self.clock.now(), self.clock.settled()) {
            // The order is guarded by the keys' generation: of several processes, one carries the step out.
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
                    let is_done = matches!(advanced, Attempt::Done(_));
                    tracing::info!(kid, %step, is_done, "signing key step due");
                    self.follow_keys().await?;
                    advanced
                }
            };
            if let Attempt::Stale = done {
                // Another process was faster; the next call reads the result.
                return Ok(());
            }
        }
        Ok(())
    }

    /// Catches up with the keys in the store.
    pub(super) async fn follow_keys(&self) -> Result<()> {
        let generation = self.index.realms().keys();
        Ok(self
            .keys
            .catch_up(&*self.store, generation, self.clock.now())
            .await?)
    }
}
