//! Where the store of a server is: in a file, or, with `DATABASE=postgres`, in a database of a PostgreSQL cluster that
//! ends with the tests.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use jeton_core::entropy::Entropy;
use jeton_store::{Observer, SharedStore};
use jeton_store_postgres::PostgresStore;
use jeton_store_postgres::cluster::{Cluster, Row};
use jeton_store_sqlite::SqliteStore;
use rusqlite::types::ValueRef;
use tokio::runtime::Runtime;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start().unwrap());

/// Where connections live: longer than the runtime of a test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// Returns whether the tests run on PostgreSQL.
fn is_postgres() -> bool {
    match env::var("DATABASE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("DATABASE must be postgres or sqlite, not {other}"),
    }
}

/// Returns whether a test must be skipped since it is about the database file, and says so.
pub(crate) fn needs_a_file(test: &str) -> bool {
    if is_postgres() {
        // Not by `eprintln`, which the test harness hides.
        let _ = writeln!(
            io::stderr(),
            "skipped on PostgreSQL, which has no database file: {test}"
        );
    }
    is_postgres()
}

/// The database of a server.
pub(super) enum Database {
    /// `jeton.db` in the server's folder.
    File,
    Postgres(Postgres),
}

/// A database of the cluster, dropped at the end.
pub(super) struct Postgres(String);

impl Drop for Postgres {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.0);
        // Nobody waits for it: the folder of the cluster is removed in any case.
        RUNTIME.spawn(async move { CLUSTER.drop_database(&name).await });
    }
}

impl Database {
    /// Creates an empty database.
    pub(super) fn new() -> Self {
        match is_postgres() {
            true => Self::Postgres(Postgres(wait(CLUSTER.create_database()).unwrap())),
            false => Self::File,
        }
    }

    /// Copies a database that nobody uses. A file is copied with its folder.
    pub(super) fn copy(&self) -> Self {
        match self {
            Self::File => Self::File,
            Self::Postgres(Postgres(name)) => {
                Self::Postgres(Postgres(wait(CLUSTER.copy_database(name)).unwrap()))
            }
        }
    }

    /// Copies a database that its server uses, whose connections break.
    pub(super) fn copy_used(&self) -> Self {
        if let Self::Postgres(Postgres(name)) = self {
            wait(CLUSTER.close_database(name)).unwrap();
            let copy = self.copy();
            wait(CLUSTER.open_database(name)).unwrap();
            return copy;
        }
        self.copy()
    }

    /// Ends all connections, and refuses further ones.
    pub(super) fn close(&self) {
        if let Self::Postgres(Postgres(name)) = self {
            wait(CLUSTER.close_database(name)).unwrap();
        }
    }

    /// Executes a query or statements in SQL of this database's own kind. Returns the columns of all rows as texts, and
    /// the number of rows that the last statement has changed.
    pub(super) fn sql(&self, folder: &Path, sqlite: &str, postgres: &str) -> (Vec<Row>, u64) {
        match self {
            Self::File => {
                let file = rusqlite::Connection::open(folder.join("jeton.db")).unwrap();
                if !sqlite.starts_with("SELECT") {
                    file.execute_batch(sqlite).unwrap();
                    return (Vec::new(), file.changes());
                }
                let mut query = file.prepare(sqlite).unwrap();
                let columns = query.column_count();
                let rows = query.query_map((), |row| {
                    (0..columns)
                        .map(|column| Ok(text(row.get_ref(column)?)))
                        .collect()
                });
                (rows.unwrap().map(Result::unwrap).collect(), 0)
            }
            Self::Postgres(Postgres(name)) => wait(CLUSTER.sql(name, postgres)).unwrap(),
        }
    }

    /// Opens the store.
    pub(super) async fn open(
        &self,
        folder: &Path,
        entropy: Arc<dyn Entropy>,
        observer: Arc<dyn Observer>,
    ) -> SharedStore {
        match self {
            Self::File => {
                let store = SqliteStore::open(&folder.join("jeton.db"), entropy, observer);
                Arc::new(store.unwrap())
            }
            Self::Postgres(Postgres(name)) => {
                let mut settings = CLUSTER.settings(name, &[]).unwrap();
                // No server is cut off: a key signs as soon as with a database file.
                settings.stale_after = Duration::ZERO;
                let opened =
                    RUNTIME.spawn(async move { PostgresStore::open(&settings, entropy, observer).await });
                Arc::new(opened.await.unwrap().unwrap())
            }
        }
    }
}

/// Returns a value as PostgreSQL writes it.
fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(text) => Some(String::from_utf8(text.to_vec()).unwrap()),
        ValueRef::Blob(bytes) => {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            Some(format!("\\x{}", digits.collect::<String>()))
        }
    }
}

/// Waits for work in the runtime of the connections, within that of a test.
fn wait<T: Send>(work: impl Future<Output = T> + Send) -> T {
    thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(work)).join().unwrap())
}
