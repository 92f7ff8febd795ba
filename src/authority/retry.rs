//! Optimistic concurrency: an operation is judged again when what it relied on has changed.

use std::pin::Pin;
use std::time::Duration;

use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result};
use jeton_store::{Committed, Generation, Guard, Order, Refused};

/// What became of one attempt of an operation.
#[derive(Debug)]
pub(super) enum Judged<T> {
    /// It is carried out, with this result.
    Done(T),
    /// What it relied on has changed; judge again.
    Stale,
}

impl<T> Judged<T> {
    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> Judged<U> {
        match self {
            Self::Done(done) => Judged::Done(map(done)),
            Self::Stale => Judged::Stale,
        }
    }
}

/// How often an order is judged before the caller is told to come back.
pub(super) const ATTEMPTS: usize = 32;

/// How long an operation waits for a change that another process has made to reach this one's memory.
const PAUSE: Duration = Duration::from_millis(20);

/// One attempt. Boxed, since a closure that borrows could not promise otherwise that its future may
/// move between threads.
type Operation<'a, T> = Pin<Box<dyn Future<Output = Result<Judged<T>>> + Send + 'a>>;

impl Authority {
    /// Runs an operation that judges and orders, until its order is carried out in the directory in
    /// which it was judged. Each attempt is given that directory, and the caller as they are in it:
    /// what ended their token, or what they were, while the request waited has ended the request.
    ///
    /// A request authenticates once, and can wait long after that: for its turn to hash a password, for
    /// the second after a cut-off, for a successor of a withdrawn key. What was shut out meanwhile would
    /// otherwise act once more.
    pub(super) async fn judged_for<'a, T>(
        &'a self,
        caller: &'a Caller,
        operation: impl Fn(Caller, View<'a>) -> Operation<'a, T> + Send + Sync,
    ) -> Result<T> {
        for attempt in 0..ATTEMPTS {
            self.wait_for(attempt).await?;
            let found = self.active.again(caller.active(), self.clock.now()).await?;
            let active = found.map_err(Error::BadCredential)?;
            let caller = Caller::new(active, caller.origin().clone());
            let view = self.view_of(&caller);
            if let Judged::Done(outcome) = operation(caller, view).await? {
                return Ok(outcome);
            }
        }
        Err(Error::Busy)
    }

    /// The same for what is done in nobody's name who has a token.
    pub(super) async fn judged<'a, T>(
        &'a self,
        operation: impl Fn(View<'a>) -> Operation<'a, T> + Send + Sync,
    ) -> Result<T> {
        for attempt in 0..ATTEMPTS {
            self.wait_for(attempt).await?;
            if let Judged::Done(outcome) = operation(self.view()).await? {
                return Ok(outcome);
            }
        }
        Err(Error::Busy)
    }

    /// Carries an order out, which carries what the view was asked for. What refuses it is an error, or has
    /// changed since it was looked at.
    pub(super) async fn commit(&self, view: &View<'_>, order: Order) -> Result<Judged<Committed>> {
        match self.store.commit(order.judged_at(view.judged_at())).await? {
            Ok(committed) => Ok(Judged::Done(committed)),
            Err(Refused(guard)) => match refusal(guard) {
                Some(error) => Err(error),
                None => Ok(Judged::Stale),
            },
        }
    }

    /// For another attempt, waits for what made that necessary.
    async fn wait_for(&self, attempt: usize) -> Result<()> {
        if attempt > 0 {
            let before = self.versions();
            self.catch_up().await?;
            if self.versions() == before {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Takes over what other processes have committed. Own changes are there already, but for those of
    /// the keys, whose files must be read.
    pub async fn catch_up(&self) -> Result<()> {
        self.follow().await?;
        self.follow_keys().await
    }

    fn versions(&self) -> (Generation, Generation) {
        (self.index.realms().as_of(), self.keys.generation())
    }

    /// Takes over what is committed. Whoever has just read the store may be ahead of the memory, which
    /// follows a moment after each commit.
    pub(super) async fn follow(&self) -> Result<()> {
        let changes = self
            .store
            .changes_after(self.index.sequence(), self.index.realms().as_of())
            .await?;
        if self.index.sequence() < changes.pruned_through {
            // Away for so long that the feed no longer tells all of it.
            self.index.rebuild(self.store.snapshot(self.clock.now()).await?);
        }
        self.index.follow(&changes);
        Ok(())
    }
}

/// The error that a guard stands for; `None` where it says that a fact has changed since it was read.
pub(super) fn refusal(guard: Guard) -> Option<Error> {
    match guard {
        Guard::OrganizationNameFree(..)
        | Guard::TeamNameFree(..)
        | Guard::ProjectNameFree(..)
        | Guard::TokenNameFree { .. } => Some(Error::NameTaken),
        Guard::AnotherAdmin(..) => Some(Error::LastAdmin),
        Guard::AnotherSiteAdministrator(_) => Some(Error::LastAdministrator),
        Guard::Standing(..) => Some(Error::NotActive),
        Guard::UnderLimit { owner, most, .. } => Some(Error::LimitReached {
            owner: owner.kind(),
            limit: most,
        }),
        Guard::Unchanged(..)
        | Guard::Signs(_)
        | Guard::AfterCutOffs
        | Guard::SlotHolds { .. }
        | Guard::NotEndedBy(..)
        | Guard::BulkAt(..)
        | Guard::NotLast(..)
        | Guard::NoSiteAdministrator
        | Guard::EmailFree(_) => None,
    }
}
