//! Limits concurrent work that clients can trigger: at most `running` at a time,
//! `waiting` queued, the rest refused.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A limit for concurrent work, with a bounded queue. Copies are the same limit.
#[derive(Clone)]
pub(super) struct ConcurrencyLimit {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    /// How many may wait.
    most_waiting: usize,
}

/// Permission to run one piece of work; dropping it lets the next one run.
#[derive(Debug)]
#[must_use = "a permit is released when it is dropped"]
pub(super) struct Permit {
    _running: OwnedSemaphorePermit,
    _admitted: OwnedSemaphorePermit,
}

impl std::fmt::Debug for ConcurrencyLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConcurrencyLimit")
            .field("free", &self.running.available_permits())
            .finish_non_exhaustive()
    }
}

impl ConcurrencyLimit {
    pub(super) fn new(running: usize, waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(running)),
            admitted: Arc::new(Semaphore::new(running + waiting)),
            most_waiting: waiting,
        }
    }

    /// Returns how many wait now.
    pub(super) fn waiting(&self) -> usize {
        // All that are admitted less all that run. The two numbers are not of one instant.
        let free = self.admitted.available_permits();
        (self.most_waiting + self.running.available_permits()).saturating_sub(free)
    }

    /// Waits for a permit; returns `None` at once if the queue is full. Dropping the future leaves the
    /// queue.
    pub(super) async fn acquire(&self) -> Option<Permit> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().ok()?;
        // Cannot fail: the semaphore is never closed.
        let running = Arc::clone(&self.running).acquire_owned().await.ok()?;
        Some(Permit {
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

    async fn is_waiting(permit: &mut Pin<&mut impl Future<Output = Option<Permit>>>) -> bool {
        std::future::poll_fn(|context| Poll::Ready(permit.as_mut().poll(context).is_pending())).await
    }

    #[tokio::test]
    async fn a_full_queue_refuses() {
        let limit = ConcurrencyLimit::new(1, 1);
        let first = limit.acquire().await.unwrap();
        assert_eq!(limit.waiting(), 0);
        let mut second = pin!(limit.acquire());
        assert!(is_waiting(&mut second).await);
        assert_eq!(limit.waiting(), 1);
        assert!(limit.acquire().await.is_none());
        drop(first);
        assert!(second.await.is_some());
        assert_eq!(limit.waiting(), 0);
    }

    #[tokio::test]
    async fn a_dropped_future_leaves_the_queue() {
        let limit = ConcurrencyLimit::new(1, 1);
        let first = limit.acquire().await.unwrap();
        {
            let mut second = pin!(limit.acquire());
            assert!(is_waiting(&mut second).await);
        }
        let mut third = pin!(limit.acquire());
        assert!(is_waiting(&mut third).await);
        drop(first);
        assert!(third.await.is_some());
    }
}
