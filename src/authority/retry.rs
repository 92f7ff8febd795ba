//! Judging again when the directory has changed under an order.

use std::pin::Pin;
use std::time::Duration;

use crate::authority::view::View;
use crate::authority::{Authority, Caller, Error, Result};
use jeton_store::{Generation, Judged};

/// How often an order is judged before the caller is told to come back.
const ATTEMPTS: usize = 32;

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
            let view = self.view_for(attempt).await?;
            let found = self.active.again(caller.active(), self.clock.now()).await?;
            let caller = found.map(Caller::new).map_err(Error::BadCredential)?;
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
            let view = self.view_for(attempt).await?;
            if let Judged::Done(outcome) = operation(view).await? {
                return Ok(outcome);
            }
        }
        Err(Error::Busy)
    }

    /// The directory as it is now; for another attempt, with what made that necessary.
    async fn view_for(&self, attempt: usize) -> Result<View<'_>> {
        if attempt > 0 {
            let before = self.versions();
            self.catch_up().await?;
            if self.versions() == before {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(self.view())
    }

    /// Takes over what other processes have committed. Own changes are there already, but for those of
    /// the keys, whose files must be read.
    pub async fn catch_up(&self) -> Result<()> {
        self.follow().await?;
        self.follow_keys().await
    }

    fn versions(&self) -> (Generation, Generation) {
        (self.index.generation(), self.keys.generation())
    }

    /// Takes over what is committed. Whoever has just read the store may be ahead of the memory, which
    /// follows a moment after each commit.
    pub(super) async fn follow(&self) -> Result<()> {
        let changes = self.store.changes_after(self.index.sequence()).await?;
        if self.index.sequence() < changes.pruned_through {
            // Away for so long that the feed no longer tells all of it.
            self.index.rebuild(self.store.snapshot(self.clock.now()).await?);
        }
        self.index.follow(&changes);
        Ok(())
    }
}
