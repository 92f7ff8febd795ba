//! SQLite: the contract, and what only a file can show.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod doors;
mod files;
mod growth;
mod restore;
mod schema;

use std::path::PathBuf;
use std::sync::Arc;

use jeton_store::{Observer, SharedStore};
use jeton_store_sqlite::{OpenError, SqliteStore};
use tempfile::TempDir;

use jeton_store::suite::Backend;
use jeton_store::suite::world::{Seeded, Seen};

/// A file in a folder of its own.
#[derive(Clone)]
pub(crate) struct Sqlite {
    folder: Arc<TempDir>,
}

impl Sqlite {
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("jeton.db")
    }

    /// A connection of its own, as somebody with a shell on the machine has it.
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
