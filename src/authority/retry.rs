//! Optimistic concurrency: an operation is judged again when what it relied on has changed.

use std::pin::Pin;
use std::time::Duration;

use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result};
use jeton_store::{Committed, Continuation, Generation, Guard, Order, Refused};

/// What became of one attempt of an operation.
#[derive(Debug)]
pub(super) enum Judged<T> {
    /// It is carried out, with this result.
    Done(T),
    /// What it relied on has changed; judge again.
    Stale,
    /// A count that refused it was too high and has been renewed; judge again at once.
    Recounted,
}

impl<T> Judged<T> {
    pub(super) fn map<U>(self, map: impl FnOnce(T) -> U) -> Judged<U> {
        match self {
            Self::Done(done) => Judged::Done(map(done)),
            Self::Stale => Judged::Stale,
            Self::Recounted => Judged::Recounted,
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
        let mut is_stale = false;
        for _ in 0..ATTEMPTS {
            self.wait_for_changes(is_stale).await?;
            let found = self.active.again(caller.active(), self.clock.now()).await?;
            let active = found.map_err(Error::BadCredential)?;
            let caller = Caller::new(active, caller.origin().clone());
            let view = self.view_of(&caller);
            match operation(caller, view).await? {
                Judged::Done(outcome) => return Ok(outcome),
                Judged::Stale => is_stale = true,
                Judged::Recounted => is_stale = false,
            }
        }
        Err(Error::Busy)
    }

    /// The same for what is done in nobody's name who has a token.
    pub(super) async fn judged<'a, T>(
        &'a self,
        operation: impl Fn(View<'a>) -> Operation<'a, T> + Send + Sync,
    ) -> Result<T> {
        let mut is_stale = false;
        for _ in 0..ATTEMPTS {
            self.wait_for_changes(is_stale).await?;
            match operation(self.view()).await? {
                Judged::Done(outcome) => return Ok(outcome),
                Judged::Stale => is_stale = true,
                Judged::Recounted => is_stale = false,
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

    /// After a stale attempt, waits for the changes that made it stale.
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
    ///
    /// Where the store's history is not the one that was followed, nothing is taken over, now or later, and
    /// the server ends ([`Authority::has_forked`]).
    pub(super) async fn follow(&self) -> Result<()> {
        while !self.has_forked() {
            let position = self.index.reached().ok_or(Error::Busy)?;
            let edit = self.index.realms().as_of();
            match self.store.changes_after(position, edit).await? {
                Continuation::Changes(changes) => {
                    self.index.follow(position, &changes);
                    return Ok(());
                }
                // Away for so long that the feed no longer tells all of it.
                Continuation::Pruned => self.index.rebuild(self.store.snapshot(self.clock.now()).await?),
                Continuation::Forked => self.index.fork(),
            }
        }
        Err(Error::Unavailable(Box::new(Forked)))
    }

    /// Whether the store's history has turned out not to continue the one that this process has followed.
    /// Nothing is called active from then on, and the process must end.
    pub fn has_forked(&self) -> bool {
        self.index.has_forked()
    }
}

/// The store's history does not continue the one that this process has followed.
#[derive(Debug, thiserror::Error)]
#[error("the database was replaced by an older copy or has lost commits")]
struct Forked;

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
        // A count may be too high: see `Authority::recount`.
        Guard::UnderLimit { .. }
        | Guard::CountUnmoved(..)
        | Guard::Unchanged(..)
        | Guard::Signs(_)
        | Guard::AfterCutOffs
        | Guard::SlotHolds { .. }
        | Guard::NotEndedBy(..)
        | Guard::BulkAt(..)
        | Guard::NoSiteAdministrator
        | Guard::EmailFree(_) => None,
    }
}
