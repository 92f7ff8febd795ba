//! Bringing what is committed from the WAL into the database, beside the writer.
//!
//! SQLite would do so by itself at a commit, and everybody whose order waits would wait for that too. It also
//! says nothing of a sync that fails then. After the next one, which seems to succeed, it overwrites the
//! WAL, and what the disk has lost of the database is in neither file. A fresh process reads the WAL from its
//! beginning and writes all of it once more, if it is the only one that has the database open: how far the
//! WAL has been brought over stands in memory that processes share, and lives as long as any of them.

use crate::values::get;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use crate::failure::Failure;

/// How many pages the WAL holds before that is worth its syncs, and how many the writer brings over at most.
const ENOUGH: u32 = 4000;

/// How many pages are gladly left to the writer.
const FEW: u32 = 64;

/// How often the thread goes over what the writer has added meanwhile, before it leaves more than that.
const PASSES: usize = 4;

/// How long the thread rests after each look at the WAL: under load it would look after every commit.
const PAUSE: Duration = Duration::from_millis(5);

/// How long it rests after a failure, mostly for want of room: everything stays in the WAL meanwhile.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(250);

/// The thread that does it, on a connection of its own.
///
/// The WAL begins anew only if all of it has been brought over when a transaction begins, which never
/// happens while the writer adds to it. So the thread leaves the last few pages to the writer.
pub(super) struct Checkpoints {
    commits: Option<SyncSender<()>>,
    rest_is_the_writers: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// `died` is told if the disk fails, or the thread panics.
    pub(super) fn start(connection: Connection, died: Arc<watch::Sender<bool>>) -> io::Result<Self> {
        let (commits, committed) = mpsc::sync_channel(1);
        let rest_is_the_writers = Arc::new(AtomicBool::new(false));
        let rest = Arc::clone(&rest_is_the_writers);
        let thread = thread::Builder::new()
            .name("jeton-checkpoint".to_owned())
            .spawn(move || {
                let served = catch_unwind(AssertUnwindSafe(|| serve(&connection, &committed, &rest)));
                if !matches!(served, Ok(Ok(()))) {
                    died.send_replace(true);
                }
            })?;
        Ok(Self {
            commits: Some(commits),
            rest_is_the_writers,
            thread: Some(thread),
        })
    }

    /// Something was committed on this connection, the writer's.
    pub(super) fn committed(&self, connection: &Connection) -> Result<(), Failure> {
        if self.rest_is_the_writers.load(Ordering::Acquire) {
            checkpoint(connection)?;
            self.rest_is_the_writers.store(false, Ordering::Release);
        }
        if let Some(commits) = &self.commits {
            // If it is full, the thread has not yet looked at the one before.
            let _ = commits.try_send(());
        }
        Ok(())
    }

    /// Waits until the thread has ended, and said whether the disk failed.
    pub(super) fn end(&mut self) {
        self.commits = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Until there is no writer any more, or the disk fails.
fn serve(connection: &Connection, committed: &Receiver<()>, rest: &AtomicBool) -> Result<(), Failure> {
    while committed.recv().is_ok() {
        if rest.load(Ordering::Acquire) {
            continue;
        }
        let pause = match bring_most(connection) {
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

/// Brings the WAL over but for a rest, if it holds enough. Says whether that is left to the writer: not
/// while somebody reads for long, who keeps what was written since where it is.
fn bring_most(connection: &Connection) -> Result<bool, Failure> {
    let mut pages = look(connection)?;
    if pages.in_wal < ENOUGH {
        return Ok(false);
    }
    for _ in 0..PASSES {
        checkpoint(connection)?;
        pages = look(connection)?;
        if pages.rest() <= FEW {
            break;
        }
    }
    Ok(pages.rest() <= ENOUGH)
}

/// Brings over what no reader needs from where it is.
fn checkpoint(connection: &Connection) -> Result<(), Failure> {
    let mut pragma = connection.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
    Ok(pragma.query_row((), |_| Ok(()))?)
}

/// How many pages are in the WAL, and how many of them in the database too.
struct Pages {
    in_wal: u32,
    brought: u32,
}

impl Pages {
    fn rest(&self) -> u32 {
        // The two are not of one instant.
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
