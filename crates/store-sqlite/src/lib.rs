//! The SQLite backend: one machine, one database file.
//!
//! One thread performs all writes and commits them in batches (`writer`); a pool of read-only connections
//! performs the reads (`readers`). The schema itself refuses states that must never occur, whichever process
//! writes: see the triggers in `migrations/`.

mod active;
mod audit;
mod backup;
mod bulk;
mod chain;
#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod chance;
mod checkpoint;
mod clock;
mod counts;
mod covered;
mod cut_offs;
mod doctor;
mod drill;
mod ended;
mod failure;
mod feed;
mod guards;
mod idempotency;
mod invitations;
mod journal;
mod keys;
mod leap;
mod list;
mod list_indexes;
mod lock;
mod members;
mod memory;
mod metrics;
mod moving;
mod names;
mod open;
mod orders;
mod organizations;
mod people;
mod projects;
mod readers;
mod reconcile;
mod records;
mod replay;
mod retention;
mod revocable;
mod revocations;
mod search;
mod statistics;
mod teams;
mod tokens;
mod usage;
mod values;
mod wal;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

pub use audit::{AuditExamined, AuditFlaw, AuditReader, KeyOfCheckpoint};
pub use backup::{BackupError, Progress, backup, is_remains, restore, sync_folder};
pub use clock::{AcceptedClock, accept_clock};
pub use doctor::{DatabaseCheck, DatabaseExamined, DatabasePart, examine, keys};
pub use drill::{DrillError, DrillFolder, Examined, backed_up_at, issuer};
pub use journal::journal_of;
pub use lock::{LockError, ServeLock};
pub use moving::MovingFile;
pub use open::{OpenError, check_private};
pub use reconcile::{Missing, begin_journal, check_journal};

use failure::Failure;
use jeton_core::entropy::Entropy;
use jeton_journal::Entry;
use jeton_store::list_indexes::ListIndexes;
use jeton_store::{LoginCounts, Medium, Nodes, Observer, SealedKeys};
use metrics::{Gauges, Metrics};
use prometheus_client::registry::Registry;
use readers::Readers;
use values::{get, params};
use writer::{Batch, Undo, Writer};

/// How often commits of other processes are looked for.
const FOLLOWED_EACH: Duration = Duration::from_millis(250);

/// A store in one database file.
pub struct SqliteStore {
    // Closed before the writer: only the last connection can move the WAL's content into the file.
    readers: Readers,
    writer: Writer,
    /// The status list indexes for new tokens.
    list_indexes: Arc<ListIndexes>,
    database: PathBuf,
    /// The folder of the journal of revocations.
    journal: PathBuf,
    metrics: Metrics,
    /// No token has a higher number, if the last server did not stop in order.
    tokens_through: Option<i64>,
    /// Held by the readiness probe that is running; there is at most one.
    probe: Mutex<()>,
}

impl SqliteStore {
    /// Opens a database, or creates it if there is none. Refuses other files and leaves them unchanged.
    pub fn open(
        path: &Path,
        entropy: Arc<dyn Entropy>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, OpenError> {
        let path = &open::resolved(path)?;
        let connection = open::writer(path, &*entropy)?;
        // It may have been created just now.
        let path = &open::resolved(path)?;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Failed {
            path: path.to_owned(),
            source,
        };
        let (memory, journal) = reconcile::served(path, &connection, &*entropy)?;
        let metrics = Metrics::new(&journal.metrics);
        let readers = Readers::open(path, metrics.clone()).map_err(|error| failed(Box::new(error)))?;
        let tokens_through = journal.given.tokens_through();
        let checkpointer = open::checkpointer(path).map_err(|error| failed(Box::new(error)))?;
        let writer = Writer::start(
            connection,
            checkpointer,
            memory,
            journal,
            entropy,
            observer,
            metrics.clone(),
        )
        .map_err(|error| failed(Box::new(error)))?;
        Ok(Self {
            readers,
            writer,
            list_indexes: Arc::default(),
            database: path.clone(),
            journal: journal::folder_of(path),
            metrics,
            tokens_through,
            probe: Mutex::new(()),
        })
    }
}

#[async_trait]
impl Medium for SqliteStore {
    async fn settle(&self) -> jeton_store::Result<()> {
        self.writer
            .run(Undo::Statement, |batch| {
                wal::rewrite(batch.connection).map_err(|error| Failure::Wal(Arc::new(error)))
            })
            .await
    }

    async fn started(&self) -> jeton_store::Result<()> {
        let through = self.tokens_through;
        self.writer
            .run(Undo::Savepoint, move |batch| batch.start(through))
            .await
    }

    async fn stopped(&self) -> jeton_store::Result<()> {
        self.writer
            .run(Undo::Statement, |batch| {
                let tokens = journal::last_token(batch.connection)?;
                batch.notes.push(Entry::Stopped { tokens });
                Ok(())
            })
            .await
    }

    async fn changed_elsewhere(&self) {
        // Commands and servers of the same machine, which read the file at each write.
        tokio::time::sleep(FOLLOWED_EACH).await;
    }

    fn nodes(&self) -> Option<&dyn Nodes> {
        None
    }

    fn sealed_keys(&self) -> Option<&dyn SealedKeys> {
        None
    }

    fn login_counts(&self) -> Option<&dyn LoginCounts> {
        None
    }

    async fn died(&self) {
        self.writer.died().await;
    }

    async fn responds(&self) -> bool {
        self.writer.responds().await
    }

    fn has_died(&self) -> bool {
        self.writer.has_died()
    }

    fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
        if let Some(waiting) = self.writer.waiting() {
            registry.register_collector(Box::new(Gauges {
                database: self.database.clone(),
                journal: self.journal.clone(),
                waiting,
            }));
        }
    }
}

impl Batch<'_> {
    /// Records the start of a server. If the last one did not stop in order, tokens get numbers beyond all that it
    /// may have given: lost commits that only issued leave no other trace.
    fn start(&mut self, tokens_through: Option<i64>) -> Result<(), Failure> {
        if let Some(through) = tokens_through {
            self.connection
                .prepare_cached("UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'tokens'")?
                .execute(params![through])?;
        }
        let number = self
            .connection
            .prepare_cached("UPDATE meta SET starts = starts + 1 RETURNING starts")?
            .query_row((), |row| get(row, 0))?;
        self.notes.push(Entry::Started { number });
        Ok(())
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteStore")
    }
}
