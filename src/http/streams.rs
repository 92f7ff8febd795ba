//! The number of open streams, and their end at a shutdown.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// The open streams. They are counted apart from other connections: many followers leave room for requests.
#[derive(Debug)]
pub struct Streams {
    permits: Arc<Semaphore>,
    most: usize,
    stopping: watch::Sender<bool>,
}

/// The right to one stream.
#[derive(Debug)]
pub(super) struct Permit {
    _permit: OwnedSemaphorePermit,
    stopping: watch::Receiver<bool>,
}

impl Streams {
    /// Allows a number of streams at once.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(most)),
            most,
            stopping: watch::Sender::new(false),
        })
    }

    /// Returns how many streams there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Returns how many streams there are.
    pub fn open(&self) -> usize {
        self.most.saturating_sub(self.permits.available_permits())
    }

    /// Returns the right to one stream; `None` if there are as many as allowed, or the server stops.
    pub(super) fn permit(&self) -> Option<Permit> {
        let stopping = self.stopping.subscribe();
        if *stopping.borrow() {
            return None;
        }
        Some(Permit {
            _permit: Arc::clone(&self.permits).try_acquire_owned().ok()?,
            stopping,
        })
    }

    /// Ends all streams, and allows no further ones.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

impl Permit {
    /// Waits until the server stops.
    pub(super) async fn stopped(&mut self) {
        // An error means that the server is gone.
        let _ = self.stopping.wait_for(|stopping| *stopping).await;
    }
}
