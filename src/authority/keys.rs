//! The life cycle of signing keys: rotation, retirement and withdrawal, on request and by schedule.

use jeton_verifier::KeyId;

use crate::authority::retry::{Attempt, Operation};
use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result, policy};
use crate::causes::error_chain;
use crate::keys::{Due, Jwks, PlannedStep};
use jeton_core::clock::Timestamp;
use jeton_store::rules::keys::{self as rules, NotWithdrawn, Successor};
use jeton_store::{Cause, KeyRow, KeyState, KeyStep, SigningKeys};

/// A key, the number of live tokens it signed, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// The key.
    pub row: KeyRow,
    /// The number of live tokens it signed, sessions included; `None`: not counted.
    pub live_tokens: Option<u64>,
    /// Its next regular step, and the instant from which it is due; `None` if none follows without a request.
    pub next_step: Option<(PlannedStep, Timestamp)>,
}

/// A key that was withdrawn, by this request or an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedKey {
    /// The key.
    pub key: ListedKey,
    /// The id of the key that signs now; `None` if no successor could be created.
    pub signing: Option<String>,
}

/// Why the signing keys do not allow an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyStateFault {
    /// A successor of the signing key is published already.
    #[error("a successor of the signing key is published already")]
    SuccessorWaits,
    /// The signing key cannot be retired.
    #[error("the key signs")]
    Signs,
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

/// Who orders a step of a key, and why.
#[derive(Debug)]
struct Ordered<'a> {
    /// The site administrator; `None`: the operator.
    caller: Option<&'a Caller>,
    reason: Option<String>,
}

impl<'a> Ordered<'a> {
    fn by(caller: &'a Caller, reason: Option<String>) -> Self {
        Self {
            caller: Some(caller),
            reason,
        }
    }

    fn by_operator(reason: Option<String>) -> Self {
        Self { caller: None, reason }
    }
}

fn log_published(row: &KeyRow) {
    tracing::info!(kid = row.key.kid, signs_from = %row.signs_from, "signing key published");
}

/// Refuses another successor while one waits.
fn refuse_second(keys: &SigningKeys) -> Result<()> {
    match keys.successor() {
        Some(_) => Err(Error::KeyState(KeyStateFault::SuccessorWaits)),
        None => Ok(()),
    }
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

    /// Returns all keys ever published, the oldest first, to a site administrator.
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] and [`Error::SessionNeeded`] for others; [`Error::Busy`] if too many such lists wait.
    pub async fn list_keys(&self, caller: &Caller) -> Result<Vec<ListedKey>> {
        policy::manage_keys(caller)?;
        let _permit = self.key_lists.acquire().await.ok_or(Error::Busy)?;
        self.operator_lists_keys().await
    }

    /// Returns the same to the operator.
    pub async fn operator_lists_keys(&self) -> Result<Vec<ListedKey>> {
        let counts = self.store.live_tokens(self.clock.now()).await?;
        let live = |kid: &str| counts.iter().find(|(counted, _)| counted == kid);
        let keys = self.store.keys().await?.value;
        let rows = keys.rows.iter();
        Ok(rows
            .map(|row| {
                let count = live(&row.key.kid).map_or(0, |(_, count)| *count);
                self.listed(&keys, row, Some(count))
            })
            .collect())
    }

    fn listed(&self, keys: &SigningKeys, row: &KeyRow, live_tokens: Option<u64>) -> ListedKey {
        ListedKey {
            row: row.clone(),
            live_tokens,
            next_step: self.keys.plan(keys, row),
        }
    }

    /// Creates and publishes a successor of the signing key, at the request of a site administrator.
    /// [`Authority::tend_keys`] puts it into the JWKS, within a second, and lets it sign once every cached copy of the JWKS
    /// contains it.
    ///
    /// # Errors
    ///
    /// [`KeyStateFault::SuccessorWaits`] if there is a successor already: a client that repeats the request must not fill
    /// the JWKS.
    pub async fn rotate_key(&self, caller: &Caller, reason: Option<String>) -> Result<ListedKey> {
        policy::manage_keys(caller)?;
        let _permit = self.key_rotations.acquire().await.ok_or(Error::Busy)?;
        // Before a key is created, which takes up to a second.
        refuse_second(&self.store.keys().await?.value)?;
        self.publish_successor(&Ordered::by(caller, reason)).await
    }

    /// Creates and publishes a successor likewise, also if there is one already.
    pub async fn operator_rotates_key(&self) -> Result<KeyRow> {
        Ok(self.publish_successor(&Ordered::by_operator(None)).await?.row)
    }

    async fn publish_successor(&self, ordered: &Ordered<'_>) -> Result<ListedKey> {
        let made = self.keys.make().await;
        let key = &made.map_err(|error| Error::NoNewKey(Box::new(error)))?;
        let is_operator = ordered.caller.is_none();
        let (row, keys) = self
            .attempt_as(ordered, move |cause, view| {
                Box::pin(async move {
                    let keys = self.store.keys().await?;
                    if !is_operator {
                        refuse_second(&keys.value)?;
                    }
                    let at = self.clock.now();
                    let (order, row) = rules::publish(Cause { at, ..cause }, &keys, key.clone());
                    let published = self.commit(&view, order).await?;
                    Ok(published.map(|_| (row, keys.value)))
                })
            })
            .await?;
        log_published(&row);
        if is_operator {
            self.follow_keys().await?;
        }
        Ok(self.listed(&keys, &row, Some(0)))
    }

    /// Retires a published key, which then never signs, at the request of a site administrator.
    ///
    /// # Errors
    ///
    /// [`KeyStateFault::Signs`] for the signing key; [`Error::Absent`] if there is no such key.
    pub async fn retire_key(
        &self,
        caller: &Caller,
        kid: &KeyId,
        reason: Option<String>,
    ) -> Result<ListedKey> {
        match self.take_out(&Ordered::by(caller, reason), kid).await? {
            KeyRetired::Retired => Ok(self.stored_key(kid, None).await?.0),
            KeyRetired::Signs => Err(Error::KeyState(KeyStateFault::Signs)),
            KeyRetired::Unknown => Err(Error::Absent),
        }
    }

    /// Retires a published key likewise.
    pub async fn operator_retires_key(&self, kid: &KeyId) -> Result<KeyRetired> {
        self.take_out(&Ordered::by_operator(None), kid).await
    }

    async fn take_out(&self, ordered: &Ordered<'_>, kid: &KeyId) -> Result<KeyRetired> {
        self.attempt_as(ordered, move |cause, view| {
            Box::pin(async move {
                let keys = self.store.keys().await?;
                let at = self.clock.now();
                let Some(order) = rules::advance(Cause { at, ..cause }, &keys, kid.as_str(), KeyStep::Retire)
                else {
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

    /// Withdraws a compromised key and revokes everything it signed, at the request of a site administrator. Doing it
    /// again succeeds and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Absent`] if there is no such key.
    pub async fn revoke_key(
        &self,
        caller: &Caller,
        kid: &KeyId,
        reason: Option<String>,
    ) -> Result<RevokedKey> {
        match self.withdraw_key(&Ordered::by(caller, reason), kid).await? {
            KeyRevoked::Unknown => Err(Error::Absent),
            KeyRevoked::Revoked | KeyRevoked::RevokedWithoutSuccessor | KeyRevoked::AlreadyRevoked => {
                // Its cut-off covers all tokens.
                let (key, keys) = self.stored_key(kid, Some(0)).await?;
                Ok(RevokedKey {
                    key,
                    signing: keys.signing().map(|row| row.key.kid.clone()),
                })
            }
        }
    }

    /// Withdraws a compromised key likewise.
    pub async fn operator_revokes_key(&self, kid: &KeyId, reason: Option<String>) -> Result<KeyRevoked> {
        self.withdraw_key(&Ordered::by_operator(reason), kid).await
    }

    /// Returns a key whose live tokens are counted elsewhere, and all keys.
    async fn stored_key(&self, kid: &KeyId, live_tokens: Option<u64>) -> Result<(ListedKey, SigningKeys)> {
        let keys = self.store.keys().await?.value;
        let row = keys.row(kid.as_str()).ok_or(Error::Absent)?;
        Ok((self.listed(&keys, row, live_tokens), keys))
    }

    /// Withdraws a key and revokes everything it signed. The signing key is replaced by a new one at once; verifiers
    /// whose cached JWKS lacks it must fetch the JWKS again. If no new key can be created, the key is withdrawn all the
    /// same.
    async fn withdraw_key(&self, ordered: &Ordered<'_>, kid: &KeyId) -> Result<KeyRevoked> {
        let mut successor = Successor::Undecided;
        let mut outcome = self.withdraw(ordered, kid, &successor).await?;
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
            outcome = self.withdraw(ordered, kid, &successor).await?;
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
        ordered: &Ordered<'_>,
        kid: &KeyId,
        successor: &Successor,
    ) -> Result<std::result::Result<(), NotWithdrawn>> {
        self.attempt_as(ordered, move |cause, view| {
            Box::pin(async move {
                let keys = self.store.keys().await?;
                let at = self.clock.now();
                let cause = Cause { at, ..cause };
                match rules::withdraw(cause, &keys, kid.as_str(), successor.clone()) {
                    Ok(order) => Ok(self.commit(&view, order).await?.map(|_| Ok(()))),
                    Err(not) => Ok(Attempt::Done(Err(not))),
                }
            })
        })
        .await
    }

    /// Runs an operation on keys until its order commits.
    async fn attempt_as<'a, T: Send + 'a>(
        &'a self,
        ordered: &'a Ordered<'_>,
        operation: impl Fn(Cause, View<'a>) -> Operation<'a, T> + Send + Sync,
    ) -> Result<T> {
        let reason = &ordered.reason;
        let Some(caller) = ordered.caller else {
            return self
                .attempt(|view| {
                    let cause = Cause::operator(self.clock.now()).because(reason.clone());
                    operation(cause, view)
                })
                .await;
        };
        self.attempt_for(caller, |caller, view| match policy::manage_keys(&caller) {
            Ok(()) => {
                let cause = caller.cause(self.clock.now()).because(reason.clone());
                operation(cause, view)
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
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
                    if let Attempt::Done(_) = published {
                        log_published(&row);
                        self.follow_keys().await?;
                    }
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
