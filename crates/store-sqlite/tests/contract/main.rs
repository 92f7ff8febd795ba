//! The conformance suite over SQLite, and tests that only apply to a database file.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod audit_of_a_file;
mod damage;
mod files;
mod growth;
mod reads;
mod refused_writes;
mod restore;
mod schema;
mod statistics_of_a_file;

use std::path::PathBuf;
use std::sync::Arc;

use jeton_store::{Observer, SharedStore};
use jeton_store_sqlite::{OpenError, SqliteStore};
use tempfile::TempDir;

use jeton_store::suite::Backend;
use jeton_store::suite::world::{Seeded, Seen};

/// A database file in a temporary folder of its own.
#[derive(Clone)]
pub(crate) struct Sqlite {
    folder: Arc<TempDir>,
}

impl Sqlite {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("jeton.db")
    }

    /// Returns a separate connection, like that of the sqlite3 shell.
    pub(crate) fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path()).unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<SqliteStore, OpenError> {
        SqliteStore::open(&self.path(), Arc::new(Seeded), Arc::new(Seen::default()))
    }
}

impl Backend for Sqlite {
    fn create() -> Self {
        Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
        }
    }

    fn open(&self, observer: Arc<dyn Observer>) -> SharedStore {
        Arc::new(SqliteStore::open(&self.path(), Arc::new(Seeded), observer).unwrap())
    }
}

jeton_store::contract!(Sqlite);
