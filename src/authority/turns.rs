//! So many at once, so many waiting, and nobody else: for work that strangers can ask for.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Hands out turns.
pub(super) struct Turns {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
}

/// A turn; the next one begins when this is dropped.
#[derive(Debug)]
#[must_use = "a turn ends when it is dropped"]
pub(super) struct Turn {
    _running: OwnedSemaphorePermit,
    _admitted: OwnedSemaphorePermit,
}

impl std::fmt::Debug for Turns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turns")
            .field("free", &self.running.available_permits())
            .finish_non_exhaustive()
    }
}

impl Turns {
    pub(super) fn new(running: usize, waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(running)),
            admitted: Arc::new(Semaphore::new(running + waiting)),
        }
    }

    /// Waits for a turn; `None` at once where as many wait already as may. Who stops waiting gives
    /// the place back.
    pub(super) async fn take(&self) -> Option<Turn> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().ok()?;
        // Nothing closes the semaphore, so that this never fails.
        let running = Arc::clone(&self.running).acquire_owned().await.ok()?;
        Some(Turn {
            _running: running,
            _admitted: admitted,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::Poll;

    use super::*;

    async fn is_waiting(turn: &mut Pin<&mut impl Future<Output = Option<Turn>>>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(turn.as_mut().poll(context).is_pending())).await
    }

    #[tokio::test]
    async fn beyond_those_who_run_and_those_who_wait_nobody_is_taken_on() {
        let turns = Turns::new(1, 1);
        let first = turns.take().await.unwrap();
        let mut second = pin!(turns.take());
        assert!(is_waiting(&mut second).await);
        assert!(turns.take().await.is_none());
        drop(first);
        assert!(second.await.is_some());
    }

    #[tokio::test]
    async fn who_leaves_gives_the_place_back() {
        let turns = Turns::new(1, 1);
        let first = turns.take().await.unwrap();
        {
            let mut second = pin!(turns.take());
            assert!(is_waiting(&mut second).await);
        }
        let mut third = pin!(turns.take());
        assert!(is_waiting(&mut third).await);
        drop(first);
        assert!(third.await.is_some());
    }
}
