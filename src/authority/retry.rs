//! Judging again when the directory has changed under an order.

use std::pin::Pin;
use std::time::Duration;

use crate::authority::{Authority, Error, Result};
use crate::store::{Generation, Judged};

/// How often an order is judged before the caller is told to come back.
const ATTEMPTS: usize = 8;

/// How long an operation waits for a change that another process has made to reach this one's memory.
const PAUSE: Duration = Duration::from_millis(20);

/// One attempt. Boxed, since a closure that borrows could not promise otherwise that its future may
/// move between threads.
type Operation<'a, T> = Pin<Box<dyn Future<Output = Result<Judged<T>>> + Send + 'a>>;

impl Authority {
    /// Runs an operation that judges and orders, until its order is carried out in the directory in
    /// which it was judged.
    pub(super) async fn judged<'a, T>(
        &self,
        operation: impl Fn() -> Operation<'a, T> + Send + Sync,
    ) -> Result<T> {
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                let before = self.versions();
                self.catch_up().await?;
                if self.versions() == before {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            if let Judged::Done(outcome) = operation().await? {
                return Ok(outcome);
            }
        }
        Err(Error::Busy)
    }

    /// Takes over what other processes have committed. Own changes are there already, but for those of
    /// the keys, whose files must be read.
    pub async fn catch_up(&self) -> Result<()> {
        let changes = self.store.changes_after(self.index.sequence()).await?;
        self.index.follow(&changes);
        self.follow_keys().await
    }

    fn versions(&self) -> (Generation, Generation) {
        (self.index.generation(), self.keys.generation())
    }
}
