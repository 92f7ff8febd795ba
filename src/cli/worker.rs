//! Threads for work on files that may block for long, such as on a disk in the network: the end of the process does
//! not wait for them, as it would for a blocking task of the runtime.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// How long the server waits for the end of a thread when it stops.
const PATIENCE: Duration = Duration::from_secs(1);

/// The handle of a thread.
pub(super) struct Worker {
    wake: SyncSender<()>,
    is_stopped: Arc<AtomicBool>,
    ended: oneshot::Receiver<()>,
}

/// The thread's own side of the handle.
pub(super) struct Calls {
    woken: Receiver<()>,
    is_stopped: Arc<AtomicBool>,
}

impl Worker {
    /// Starts a thread.
    pub(super) fn start(name: &str, work: impl FnOnce(&Calls) + Send + 'static) -> io::Result<Self> {
        let (wake, woken) = mpsc::sync_channel(1);
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (ends, ended) = oneshot::channel();
        let calls = Calls {
            woken,
            is_stopped: Arc::clone(&is_stopped),
        };
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            work(&calls);
            // Nobody waits for it while the server runs.
            let _ = ends.send(());
        })?;
        Ok(Self {
            wake,
            is_stopped,
            ended,
        })
    }

    /// Returns what wakes the thread when something is sent.
    pub(super) fn waker(&self) -> SyncSender<()> {
        self.wake.clone()
    }

    /// Asks the thread to stop, and waits a little until it has.
    pub(super) async fn stop(self) {
        self.is_stopped.store(true, Ordering::Release);
        // A full channel wakes it too.
        let _ = self.wake.try_send(());
        let _ = tokio::time::timeout(PATIENCE, self.ended).await;
    }
}

impl Calls {
    /// Waits until the thread is woken or the time is over.
    pub(super) fn wait(&self, time: Duration) {
        if self.woken.recv_timeout(time) == Err(RecvTimeoutError::Disconnected) {
            self.is_stopped.store(true, Ordering::Release);
        }
    }

    /// Waits until the time is over or the thread is to stop.
    pub(super) fn pause(&self, time: Duration) {
        let begun = Instant::now();
        while !self.is_stopped() {
            let left = time.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            self.wait(left);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Acquire)
    }
}
