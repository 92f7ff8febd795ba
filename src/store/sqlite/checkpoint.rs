//! Bringing what is committed from the WAL into the database, beside the writer.
//!
//! SQLite would do so by itself at a commit, and everybody whose order waits would wait for that too. It also
//! says nothing of a sync that fails then. After the next one, which seems to succeed, it overwrites the
//! WAL, and what the disk has lost of the database is in neither file. A fresh process reads the WAL from its
//! beginning and writes all of it once more, if it is the only one that has the database open: how far the
//! WAL has been brought over stands in memory that processes share, and lives as long as any of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::watch;

use crate::store::sqlite::failure::Failure;

/// How many pages the WAL holds before that is worth its syncs, and how many the writer brings over at most.
const ENOUGH: u32 = 4000;

/// How many pages are gladly left to the writer.
const FEW: u32 = 64;

/// How often the thread goes over what the writer has added meanwhile, before it leaves more than that.
const PASSES: usize = 4;

/// How long the thread rests after each look at the WAL. A look costs as much as a small write.
const PAUSE: Duration = Duration::from_millis(5);

/// The thread that does it, on a connection of its own.
///
/// The WAL begins anew only if all of it has been brought over when a transaction begins, which never
/// happens while the writer adds to it. So the thread leaves the last few pages to the writer.
pub(super) struct Checkpoints {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    rest_is_the_writers: AtomicBool,
    is_closed: AtomicBool,
}

impl Checkpoints {
    /// `died` is told if the disk fails.
    pub(super) fn start(connection: Connection, died: Arc<watch::Sender<bool>>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name("jeton-checkpoint".to_owned())
                .spawn(move || serve(&connection, &shared, &died))?
        };
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Something was committed on this connection, the writer's.
    pub(super) fn committed(&self, connection: &Connection) -> Result<(), Failure> {
        if self.shared.rest_is_the_writers.load(Ordering::Acquire) {
            checkpoint(connection)?;
            self.shared.rest_is_the_writers.store(false, Ordering::Release);
        }
        self.wake();
        Ok(())
    }

    /// Waits until the thread has ended, and said whether the disk failed.
    pub(super) fn end(&mut self) {
        self.shared.is_closed.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

fn serve(connection: &Connection, shared: &Shared, died: &watch::Sender<bool>) {
    loop {
        thread::park();
        if shared.is_closed.load(Ordering::Acquire) {
            return;
        }
        if shared.rest_is_the_writers.load(Ordering::Acquire) {
            continue;
        }
        match bring_most(connection) {
            Ok(is_rest_left) => shared.rest_is_the_writers.store(is_rest_left, Ordering::Release),
            Err(failure) if failure.is_fatal() => {
                died.send_replace(true);
                return;
            }
            // A full disk, mostly: everything stays in the WAL.
            Err(_) => {}
        }
        thread::sleep(PAUSE);
    }
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
            in_wal: row.get("log")?,
            brought: row.get("checkpointed")?,
        })
    })?)
}
