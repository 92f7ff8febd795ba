//! The SQLite backend: one machine, one database file.
//!
//! One thread performs all writes and commits them in batches (`writer`); a pool of read-only connections
//! performs the reads (`readers`). The schema itself refuses states that must never occur, whichever process
//! writes: see the triggers in `migrations/`.

mod active;
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
mod ended;
mod failure;
mod feed;
mod guards;
mod journal;
mod keys;
mod list;
mod lock;
mod members;
mod memory;
mod open;
mod orders;
mod organizations;
mod people;
mod places;
mod projects;
mod readers;
mod reconcile;
mod records;
mod replay;
mod retention;
mod revocable;
mod revocations;
mod search;
mod teams;
mod tokens;
mod usage;
mod values;
mod wal;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

pub use backup::{BackupError, Progress, backup, restore};
pub use clock::{AcceptedClock, accept_clock};
pub use journal::JournalError;
pub use lock::{LockError, ServeLock};
pub use open::OpenError;
pub use reconcile::Missing;
pub use replay::Replayed;

use failure::Failure;
use jeton_core::entropy::Entropy;
use jeton_store::{Medium, Observer};
use places::Places;
use readers::Readers;
use writer::{Undo, Writer};

/// A store in one database file.
pub struct SqliteStore {
    // Closed before the writer: only the last connection can move the WAL's content into the file.
    readers: Readers,
    writer: Writer,
    /// The status list indexes for new tokens.
    places: Arc<Places>,
    /// The folder of the journal of revocations.
    journal: PathBuf,
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
        let connection = open::writer(path, &*entropy)?;
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| OpenError::Failed {
            path: path.to_owned(),
            source,
        };
        let readers = Readers::open(path).map_err(|error| failed(Box::new(error)))?;
        let (memory, journal) = reconcile::served(path, &connection, &*entropy)?;
        let checkpointer = open::checkpointer(path).map_err(|error| failed(Box::new(error)))?;
        let writer = Writer::start(connection, checkpointer, memory, journal, entropy, observer)
            .map_err(|error| failed(Box::new(error)))?;
        Ok(Self {
            readers,
            writer,
            places: Arc::default(),
            journal: journal::folder_of(path),
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

    async fn died(&self) {
        self.writer.died().await;
    }

    fn has_died(&self) -> bool {
        self.writer.has_died()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteStore")
    }
}
