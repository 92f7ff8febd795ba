//! Optimistic concurrency: evaluates an operation again when the data it relied on has changed.

use std::pin::Pin;
use std::time::Duration;

use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result};
use jeton_core::deployment_clock::DeploymentClock;
use jeton_store::{Committed, Continuation, Generation, Guard, Order, Refused, Store};

/// The outcome of one attempt of an operation.
#[derive(Debug)]
pub(super) enum Attempt<T> {
    /// The order was committed, with this result.
    Done(T),
    /// The data it relied on has changed; evaluate it again.
    Stale,
    /// A count that refused it was too high and has been renewed, or its name was used since it was read;
    /// evaluate it again at once.
    Again,
}

impl<T> Attempt<T> {
    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> Attempt<U> {
        match self {
            Self::Done(done) => Attempt::Done(map(done)),
            Self::Stale => Attempt::Stale,
            Self::Again => Attempt::Again,
        }
    }
}

/// The number of attempts before the request fails with [`Error::Busy`].
pub(super) const ATTEMPTS: usize = 32;

/// The pause before the next attempt if this process has not yet seen another process's change.
const PAUSE: Duration = Duration::from_millis(20);

/// One attempt. Boxed: a closure that borrows could not otherwise promise a `Send` future.
pub(super) type Operation<'a, T> = Pin<Box<dyn Future<Output = Result<Attempt<T>>> + Send + 'a>>;

impl Authority {
    /// Runs an operation until its order commits against the directory in which it was evaluated. Each attempt
    /// authenticates the caller again and gets a new view.
    ///
    /// A request authenticates once and can wait long after that: to hash a password, for the second after a
    /// cut-off, for the successor of a withdrawn key. A caller who was revoked or demoted meanwhile must not
    /// act any more.
    pub(super) async fn attempt_for<'a, T>(
        &'a self,
        caller: &'a Caller,
        operation: impl Fn(Caller, View<'a>) -> Operation<'a, T> + Send + Sync,
    ) -> Result<T> {
        let mut is_stale = false;
        for attempt in 0..ATTEMPTS {
            self.wait_for_changes(is_stale).await?;
            let found = self.active.again(caller.active(), self.clock.now()).await?;
            let current = caller.renewed(found.map_err(Error::BadCredential)?);
            if attempt > 0 {
                self.refuse_if_done(&current).await?;
            }
            let view = self.view_of(&current);
            match operation(current, view).await {
                Ok(Attempt::Done(outcome)) => return Ok(outcome),
                Ok(Attempt::Stale) => is_stale = true,
                Ok(Attempt::Again) => is_stale = false,
                // What another request with the same key has made can be the reason, such as a name that is taken.
                Err(error) if error.is_refusal() => {
                    self.refuse_if_done(caller).await?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Busy)
    }

    /// Runs an operation without a caller likewise.
    pub(super) async fn attempt<'a, T>(
        &'a self,
        operation: impl Fn(View<'a>) -> Operation<'a, T> + Send + Sync,
    ) -> Result<T> {
        let mut is_stale = false;
        for _ in 0..ATTEMPTS {
            self.wait_for_changes(is_stale).await?;
            match operation(self.view()).await? {
                Attempt::Done(outcome) => return Ok(outcome),
                Attempt::Stale => is_stale = true,
                Attempt::Again => is_stale = false,
            }
        }
        Err(Error::Busy)
    }

    /// Commits an order with the generations that the view recorded. A refused guard is an error, or
    /// [`Attempt::Stale`] if the data has changed since it was read.
    pub(super) async fn commit(&self, view: &View<'_>, order: Order) -> Result<Attempt<Committed>> {
        match self.write(view.guard(order)).await? {
            Ok(committed) => Ok(Attempt::Done(committed)),
            Err(Refused(guard)) => match refusal(guard) {
                Some(error) => Err(error),
                None => Ok(Attempt::Stale),
            },
        }
    }

    /// Commits an order, as [`write()`].
    pub(super) async fn write(&self, order: Order) -> Result<std::result::Result<Committed, Refused>> {
        write(&*self.store, &self.clock, order).await
    }

    /// Waits, after a stale attempt, for the changes that made it stale.
    async fn wait_for_changes(&self, is_stale: bool) -> Result<()> {
        if is_stale {
            let before = self.versions();
            self.catch_up().await?;
            if self.versions() == before {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Catches up with the commits of other processes, and with this process's own changes of keys, whose files
    /// must be read.
    pub async fn catch_up(&self) -> Result<()> {
        self.follow().await?;
        self.follow_keys().await
    }

    fn versions(&self) -> (Generation, Generation) {
        (self.index.realms().as_of(), self.keys.generation())
    }

    /// Catches up with the commits in the store: the index in memory lags a moment behind each one.
    ///
    /// If the store's history is not a continuation of the one followed so far, the index stops for good and
    /// the server ends ([`Authority::has_forked`]).
    pub(super) async fn follow(&self) -> Result<()> {
        while !self.has_forked() {
            let position = self.index.reached().ok_or(Error::Busy)?;
            let edit = self.index.realms().as_of();
            let asked_at = self.clock.shown();
            match self.store.changes_after(position, edit).await? {
                Continuation::Changes(changes) => {
                    self.index.follow(position, &changes, asked_at);
                    if !changes.has_more {
                        return Ok(());
                    }
                }
                // This process lagged so far behind that the feed has been pruned beyond its position.
                Continuation::Pruned => self.index.rebuild(self.store.snapshot().await?),
                Continuation::Forked => match self.store.nodes() {
                    Some(nodes) if !nodes.prove_loss(position, edit).await? => return Err(Error::Busy),
                    _ => self.index.fork(),
                },
            }
        }
        Err(Error::Unavailable(Box::new(Forked)))
    }

    /// Returns whether the store's history does not continue the one that this process followed. No token is
    /// active from then on, and the process must end.
    pub fn has_forked(&self) -> bool {
        self.index.has_forked()
    }
}

/// Commits an order, if the clock agrees with that of a store that other servers write too: with another time, a
/// revocation would begin later at the other servers, and records would be deleted early.
pub(super) async fn write(
    store: &dyn Store,
    clock: &DeploymentClock,
    order: Order,
) -> Result<std::result::Result<Committed, Refused>> {
    if clock.differs() {
        return Err(Error::ClockDiffers);
    }
    Ok(store.commit(order).await?)
}

/// The store's history does not continue the one that this process has followed.
#[derive(Debug, thiserror::Error)]
#[error("the database was replaced by an older copy or has lost commits")]
struct Forked;

/// Returns the error for a refused guard; `None` if the guard says that data has changed since it was read.
pub(super) fn refusal(guard: Guard) -> Option<Error> {
    match guard {
        Guard::OrganizationNameFree(..) | Guard::TeamNameFree(..) | Guard::ProjectNameFree(..) => {
            Some(Error::NameTaken)
        }
        Guard::AnotherAdmin(..) => Some(Error::LastAdmin),
        Guard::AnotherSiteAdministrator(_) => Some(Error::LastAdministrator),
        Guard::Standing(..) => Some(Error::NotActive),
        // A count may be too high: see `Authority::recount`.
        Guard::UnderLimit { .. }
        | Guard::CountUnmoved(..)
        | Guard::Unchanged(..)
        | Guard::Signs(_)
        | Guard::AfterCutOffs
        | Guard::SlotHolds { .. }
        | Guard::NameUnusedSince { .. }
        | Guard::NotEndedBy(..)
        | Guard::Active(..)
        | Guard::BulkAt(..)
        | Guard::NoSiteAdministrator
        | Guard::EmailFree(_)
        // The next attempt finds what was done.
        | Guard::NotDone(_) => None,
    }
}
