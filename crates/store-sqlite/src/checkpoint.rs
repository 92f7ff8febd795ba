//! Checkpoints: a thread that copies committed pages from the WAL into the database, apart from the writer.
//!
//! SQLite's automatic checkpoint runs within a commit, and every order in the queue would wait for it. It also
//! hides a failed sync: after the next one, which seems to succeed, it overwrites the WAL, and the pages that
//! the disk lost are in neither file. A new process reads the WAL from its beginning and writes all of it
//! again, if no other process has the database open: the number of checkpointed pages is in memory that
//! processes share, and lives as long as any of them.

use crate::values::get;
use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::watch;

use crate::failure::Failure;
use crate::metrics::Metrics;

/// The number of pages in the WAL that justifies a checkpoint's syncs, and the most that the writer
/// checkpoints.
const ENOUGH: u32 = 4000;

/// The number of pages in the WAL at which the writer waits and checkpoints all of them: the thread has fallen
/// behind a writer that never pauses. Only reads let the WAL grow further, one long or many that overlap; the writer
/// tries again after [`AGAIN`] pages.
const MOST: u32 = 2 * ENOUGH;

/// How many pages the WAL grows before the writer tries again.
const AGAIN: u32 = 1000;

/// The number of pages that are left to the writer.
const FEW: u32 = 64;

/// How many passes the thread makes over pages added meanwhile, before it leaves more than [`FEW`].
const PASSES: usize = 4;

/// How long the thread pauses after each look at the WAL: under load it would otherwise look after every
/// commit.
const PAUSE: Duration = Duration::from_millis(5);

/// How long it pauses after a failure, mostly a full disk: all pages stay in the WAL meanwhile.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(250);

/// The checkpoint thread, with a connection of its own.
///
/// SQLite restarts the WAL only if all of it is checkpointed when a transaction begins, which never happens
/// while the writer adds to it. So the thread leaves the last few pages to the writer.
pub(super) struct Checkpoints {
    commits: Option<SyncSender<()>>,
    rest_is_the_writers: Arc<AtomicBool>,
    /// The number of pages in the WAL at which the writer waits next.
    waits_at: Cell<u32>,
    running: Arc<Running>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread and the writer share.
struct Running {
    /// Held during a checkpoint: one that begins beside another does nothing.
    alone: Mutex<()>,
    metrics: Metrics,
}

impl Checkpoints {
    /// Starts the thread. It sets `died` if the disk fails or the thread panics.
    pub(super) fn start(
        connection: Connection,
        died: Arc<watch::Sender<bool>>,
        metrics: Metrics,
    ) -> io::Result<Self> {
        let (commits, committed) = mpsc::sync_channel(1);
        let rest_is_the_writers = Arc::new(AtomicBool::new(false));
        let rest = Arc::clone(&rest_is_the_writers);
        let running = Arc::new(Running {
            alone: Mutex::new(()),
            metrics,
        });
        let runs = Arc::clone(&running);
        let thread = thread::Builder::new()
            .name("jeton-checkpoint".to_owned())
            .spawn(move || {
                let served = catch_unwind(AssertUnwindSafe(|| serve(&connection, &committed, &rest, &runs)));
                if !matches!(served, Ok(Ok(()))) {
                    died.send_replace(true);
                }
            })?;
        Ok(Self {
            commits: Some(commits),
            rest_is_the_writers,
            waits_at: Cell::new(MOST),
            running,
            thread: Some(thread),
        })
    }

    /// Tells the thread that something was committed on this connection, the writer's.
    pub(super) fn committed(&self, connection: &Connection) -> Result<(), Failure> {
        let in_wal = look(connection)?.in_wal;
        if in_wal < MOST {
            self.waits_at.set(MOST);
        }
        let waits = in_wal >= self.waits_at.get();
        if waits {
            self.waits_at.set(in_wal + AGAIN);
        }
        if waits || self.rest_is_the_writers.load(Ordering::Acquire) {
            checkpoint(connection, &self.running)?;
            self.rest_is_the_writers.store(false, Ordering::Release);
        }
        if let Some(commits) = &self.commits {
            // A full channel means that the thread has yet to look at the previous commit.
            let _ = commits.try_send(());
        }
        Ok(())
    }

    /// Waits until the thread has ended, and reported whether the disk failed.
    pub(super) fn end(&mut self) {
        self.commits = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Checkpoints until the writer ends or the disk fails.
fn serve(
    connection: &Connection,
    committed: &Receiver<()>,
    rest: &AtomicBool,
    running: &Running,
) -> Result<(), Failure> {
    while committed.recv().is_ok() {
        if rest.load(Ordering::Acquire) {
            continue;
        }
        let pause = match bring_most(connection, running) {
            Ok(is_rest_left) => {
                rest.store(is_rest_left, Ordering::Release);
                PAUSE
            }
            Err(failure) if failure.is_fatal() => return Err(failure),
            Err(_) => PAUSE_AFTER_FAILURE,
        };
        thread::sleep(pause);
    }
    Ok(())
}

/// Checkpoints a WAL that is long enough, except for the last few pages. Returns whether those are left to the
/// writer: not during a long read, which keeps the pages written since in the WAL.
fn bring_most(connection: &Connection, running: &Running) -> Result<bool, Failure> {
    let mut pages = look(connection)?;
    if pages.in_wal < ENOUGH {
        return Ok(false);
    }
    for _ in 0..PASSES {
        checkpoint(connection, running)?;
        pages = look(connection)?;
        if pages.rest() <= FEW {
            break;
        }
    }
    Ok(pages.rest() <= ENOUGH)
}

/// Checkpoints the pages that no reader needs in the WAL.
fn checkpoint(connection: &Connection, running: &Running) -> Result<(), Failure> {
    let _alone = running.alone.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = Instant::now();
    let mut pragma = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
    pragma.query_row((), |_| Ok(()))?;
    running.metrics.checkpointed(begun.elapsed());
    Ok(())
}

/// The number of pages in the WAL, and how many of them are checkpointed.
struct Pages {
    in_wal: u32,
    brought: u32,
}

impl Pages {
    fn rest(&self) -> u32 {
        // The two numbers are not of one instant.
        self.in_wal.saturating_sub(self.brought)
    }
}

fn look(connection: &Connection) -> Result<Pages, Failure> {
    let mut pragma = connection.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
    Ok(pragma.query_row((), |row| {
        Ok(Pages {
            in_wal: get(row, "log")?,
            brought: get(row, "checkpointed")?,
        })
    })?)
}
