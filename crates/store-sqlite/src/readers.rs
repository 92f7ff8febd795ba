//! Read-only connections, shared fairly.
//!
//! A look-up takes microseconds and runs at once. A long read has a purpose, and waits for a permit
//! ([`jeton_store::reads`]).

use std::convert::Infallible;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use r2d2::{ManageConnection, Pool};
use rusqlite::{Connection, OpenFlags};

use crate::failure::Failure;
use crate::metrics::Metrics;
use crate::open::configure_reader;
use jeton_store::reads::LongReads;
pub(super) use jeton_store::reads::{Purpose, Tenant};
use jeton_store::{Result, StoreError};

/// How many long reads of one purpose run at once. More would only compete for the same cores.
const LONG_READS: u32 = 4;

/// How long closing waits for the last read.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many instructions of SQLite's virtual machine run between two looks at the budget.
const STEP: i32 = 10_000;

/// The most steps of a list: a few seconds, in which SQLite reads more than a million rows.
const BUDGET: u32 = 20_000;

pub(super) struct Readers {
    pool: Pool<Opening>,
    /// Dropped after the pool.
    _closed: Closed,
    /// There are fewer than connections: taking a connection would block the thread while none is free.
    long_reads: LongReads,
    metrics: Metrics,
}

impl Readers {
    /// Opens the connections to a file that the writer has prepared.
    pub(super) fn open(path: &Path, metrics: Metrics) -> std::result::Result<Self, r2d2::Error> {
        let (open, closed) = channel();
        let opening = Opening {
            path: path.to_owned(),
            open,
        };
        // A look-up does not wait while it holds a connection, so that one connection a thread suffices.
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = u32::try_from(threads).unwrap_or(u32::MAX).min(64);
        let pool = Pool::builder()
            .max_size(Purpose::COUNT as u32 * LONG_READS + threads)
            .test_on_check_out(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .build(opening)?;
        Ok(Self {
            pool,
            _closed: Closed(Mutex::new(closed)),
            long_reads: LongReads::new(LONG_READS as usize),
            metrics,
        })
    }

    /// Looks something up by a key: a handful of pages, mostly in memory. Moving that to another thread would
    /// cost several times as much.
    pub(super) async fn look_up<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        match self.pool.try_get() {
            Some(reader) => Ok(query(&reader.connection)?),
            None => self.read(Purpose::Following, query).await,
        }
    }

    /// Runs a read of many rows, on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        purpose: Purpose,
        query: impl FnOnce(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let budget = purpose.has_budget().then_some(BUDGET);
        let permit = self.long_reads.acquire(purpose).await;
        let permit = permit.inspect_err(|_| _ = self.metrics.readers_busy.inc())?;
        let pool = self.pool.clone();
        let answer = tokio::task::spawn_blocking(move || {
            // Dropped after the connection: every holder of a permit finds a connection.
            let _permit = permit;
            let reader = pool.get().map_err(|error| StoreError::Failed(Box::new(error)))?;
            let _limited = budget.map(|steps| reader.limited(steps));
            query(&reader.connection).map_err(StoreError::from)
        })
        .await
        .map_err(|error| StoreError::Failed(Box::new(error)))?;
        if let Err(StoreError::TooCostly) = &answer {
            self.metrics.too_costly.inc();
        }
        answer
    }
}

/// The settings with which a reader is opened.
struct Opening {
    path: PathBuf,
    open: Sender<Infallible>,
}

/// A read-only connection.
struct Reader {
    connection: Connection,
    /// How many steps its query may still take, plus one; 0 is any number.
    steps: Arc<AtomicU32>,
    /// Dropped after the connection.
    _open: Sender<Infallible>,
}

impl Reader {
    /// Interrupts queries that take more steps, until the result is dropped.
    fn limited(&self, steps: u32) -> Limited<'_> {
        self.steps.store(steps + 1, Ordering::Relaxed);
        Limited(&self.steps)
    }
}

struct Limited<'a>(&'a AtomicU32);

impl Drop for Limited<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Takes one step. Returns whether the query must end.
fn exceeds(steps: &AtomicU32) -> bool {
    match steps.load(Ordering::Relaxed) {
        0 => false,
        1 => true,
        left => {
            steps.store(left - 1, Ordering::Relaxed);
            false
        }
    }
}

impl ManageConnection for Opening {
    type Connection = Reader;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Reader> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        configure_reader(&connection)?;
        let steps = Arc::new(AtomicU32::new(0));
        let taken = Arc::clone(&steps);
        connection.progress_handler(STEP, Some(move || exceeds(&taken)))?;
        Ok(Reader {
            connection,
            steps,
            _open: self.open.clone(),
        })
    }

    fn is_valid(&self, _: &mut Reader) -> rusqlite::Result<()> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Reader) -> bool {
        false
    }
}

/// Waits, when dropped, until every reader is closed. The pool's own threads may hold a reader a little longer
/// than its owner, and a reader that outlives the writer leaves the WAL beside the file.
struct Closed(Mutex<Receiver<Infallible>>);

impl Drop for Closed {
    fn drop(&mut self) {
        let closed = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = closed.recv_timeout(PATIENCE);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::mpsc;

    use tempfile::TempDir;
    use uuid::Uuid;

    use jeton_core::directory::OrganizationId;
    use jeton_store::reads::MOST_WAITING;
    use tokio::time::timeout;

    use super::*;
    use crate::chance::SystemEntropy;
    use crate::open;
    use crate::values::get;
    use jeton_journal::JournalMetrics;

    fn readers() -> (Arc<Readers>, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jeton.db");
        // Kept open: reading needs the WAL that the last connection removes.
        std::mem::forget(open::writer(&path, &SystemEntropy).unwrap());
        (
            Arc::new(Readers::open(&path, Metrics::new(&JournalMetrics::default())).unwrap()),
            folder,
        )
    }

    fn organization(number: u32) -> Tenant {
        Tenant::Organization(OrganizationId(Uuid::from_u128(number.into())))
    }

    /// Counts to a number, in at least as many instructions.
    fn count(connection: &Connection, to: u32) -> std::result::Result<u32, Failure> {
        let query = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1)
            SELECT count(*) FROM c";
        Ok(connection
            .prepare_cached(query)?
            .query_row((to,), |row| get(row, 0))?)
    }

    /// Starts reads that last until their senders are dropped.
    async fn occupied(
        readers: &Arc<Readers>,
        purposes: impl IntoIterator<Item = Purpose>,
    ) -> Vec<mpsc::Sender<()>> {
        let begin = |purpose| {
            let (end, ends) = mpsc::channel::<()>();
            let readers = Arc::clone(readers);
            tokio::spawn(async move {
                let read = readers.read(purpose, move |_| {
                    let _ = ends.recv();
                    Ok(())
                });
                read.await.unwrap();
            });
            end
        };
        let ends = purposes.into_iter().map(begin).collect();
        // All of them have a permit or wait for one.
        tokio::task::yield_now().await;
        ends
    }

    async fn is_answered(readers: &Readers, purpose: Purpose) -> bool {
        let read = readers.read(purpose, |connection| count(connection, 3));
        timeout(Duration::from_millis(500), read)
            .await
            .is_ok_and(|read| read.unwrap() == 3)
    }

    #[tokio::test]
    async fn an_organization_has_one_long_read_at_a_time() {
        let (readers, _folder) = readers();
        let ends = occupied(
            &readers,
            std::iter::repeat_n(Purpose::Listing(organization(1)), MOST_WAITING - 1),
        )
        .await;
        assert!(!is_answered(&readers, Purpose::Listing(organization(1))).await);
        let more = occupied(&readers, [Purpose::Listing(organization(1))]).await;
        let beyond = readers.read(Purpose::Listing(organization(1)), |_| Ok(()));
        assert!(matches!(beyond.await, Err(StoreError::Busy)), "not after a wait");
        drop(more);
        assert!(is_answered(&readers, Purpose::Writing(organization(1))).await);
        assert!(is_answered(&readers, Purpose::Listing(organization(2))).await);
        assert!(is_answered(&readers, Purpose::Writing(organization(2))).await);
        assert!(is_answered(&readers, Purpose::Revoking(organization(1))).await);
        drop(ends);
        // They end one after the other, and those that wait still count.
        while readers
            .read(Purpose::Listing(organization(1)), |_| Ok(()))
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn no_purpose_waits_for_another() {
        let (readers, _folder) = readers();
        let ends = occupied(
            &readers,
            (0..50).map(|number| Purpose::Listing(organization(number))),
        )
        .await;
        assert!(!is_answered(&readers, Purpose::Listing(organization(99))).await);
        assert!(is_answered(&readers, Purpose::Following).await);
        assert!(is_answered(&readers, Purpose::Upkeep).await);
        assert!(is_answered(&readers, Purpose::Revoking(organization(1))).await);
        assert_eq!(
            readers.look_up(|connection| count(connection, 3)).await.unwrap(),
            3
        );
        drop(ends);
    }

    #[tokio::test]
    async fn every_permit_has_a_connection() {
        let (readers, _folder) = readers();
        let purposes = (0..LONG_READS).flat_map(|number| {
            let tenant = organization(number);
            let listing = Purpose::Listing(tenant.clone());
            [
                listing,
                Purpose::Revoking(tenant),
                Purpose::Following,
                Purpose::Upkeep,
            ]
        });
        let ends = occupied(&readers, purposes).await;
        assert!(!is_answered(&readers, Purpose::Upkeep).await);
        assert_eq!(
            readers.look_up(|connection| count(connection, 3)).await.unwrap(),
            3
        );
        drop(ends);
        assert!(is_answered(&readers, Purpose::Upkeep).await);
    }

    #[tokio::test]
    async fn only_lists_have_a_budget() {
        let (readers, _folder) = readers();
        let beyond = BUDGET * STEP.unsigned_abs() / 8;
        let listing = || Purpose::Listing(organization(1));
        let listed = readers.read(listing(), move |connection| count(connection, beyond));
        assert!(matches!(listed.await, Err(StoreError::TooCostly)));
        // Each list has the whole budget.
        for _ in 0..2 {
            let half = readers.read(listing(), move |connection| count(connection, beyond / 4));
            assert_eq!(half.await.unwrap(), beyond / 4);
        }
        let writing = Purpose::Writing(organization(1));
        let written = readers.read(writing, move |connection| count(connection, beyond));
        assert_eq!(written.await.unwrap(), beyond);
    }
}
