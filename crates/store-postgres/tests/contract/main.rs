//! The conformance suite over PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod nodes;
mod refused_writes;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;

use jeton_store::suite::Backend;
use jeton_store::suite::world::{Seeded, Seen};
use jeton_store::{Observer, SharedStore};
use jeton_store_postgres::cluster::{Cluster, Row};
use jeton_store_postgres::{Config, PostgresStore};
use rustls::ClientConfig;
use tokio::runtime::Runtime;
use tokio_postgres::NoTls;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start().unwrap());

/// Where connections live: longer than the runtime of a test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
});

/// A database with the tables. Copies of it have counted nothing: making indexes reads tables whole.
static TEMPLATE: LazyLock<String> = LazyLock::new(|| {
    wait(async {
        let name = CLUSTER.create_database().await.unwrap();
        let settings = CLUSTER.settings(&name, &[]).unwrap();
        let seen = Arc::new(Seen::default());
        drop(
            PostgresStore::open(&settings, Arc::new(Seeded), seen)
                .await
                .unwrap(),
        );
        CLUSTER.close_database(&name).await.unwrap();
        name
    })
});

/// A database of its own, dropped with its last copy.
#[derive(Clone)]
struct Postgres {
    database: Arc<Database>,
}

struct Database {
    name: String,
    /// Whether a test executes statements of its own, which may read whole tables.
    has_others: AtomicBool,
}

/// Each case is a test of plans, too: PostgreSQL reads a whole table only where no index helps.
const BY_INDEXES: &str = "-c enable_seqscan=off";

/// Cases that count what matches, or look for what no index has: within a budget, or rarely.
const READ_WHOLE_TABLES: [&str; 5] = [
    "lists::",
    "finding::",
    "the_model_agrees",
    "keys::live_tokens",
    "audit::lines_are_found",
];

/// Returns the tables that were read whole and can have many rows, with the number of times. `lost_tokens` has rows after a
/// reconciliation, and is read by a server that starts; failed logins are limited in number.
const READ_WHOLE: &str = "SELECT relname, seq_scan::text FROM pg_stat_user_tables WHERE seq_scan > 0
    AND relname NOT IN ('meta', 'jeton_schema', 'keys', 'settings', 'nodes', 'status_lists', 'lost_tokens',
        'login_failures')";

impl Drop for Database {
    fn drop(&mut self) {
        let read_whole = wait(async {
            // What a connection has counted is known when it ends.
            CLUSTER.close_database(&self.name).await?;
            CLUSTER.open_database(&self.name).await?;
            let (rows, _) = CLUSTER.sql(&self.name, READ_WHOLE).await?;
            CLUSTER.drop_database(&self.name).await?;
            Ok::<_, tokio_postgres::Error>(rows)
        });
        let thread = thread::current();
        let case = thread.name().unwrap_or_default();
        let may_read_whole = READ_WHOLE_TABLES.iter().any(|name| case.starts_with(name));
        if !thread::panicking() && !may_read_whole && !self.has_others.load(Ordering::Relaxed) {
            assert_eq!(read_whole.unwrap(), Vec::<Row>::new(), "are read whole");
        }
    }
}

impl Postgres {
    /// Creates a database without tables.
    fn empty() -> Self {
        Self::of(wait(CLUSTER.create_database()).unwrap(), true)
    }

    fn of(name: String, has_others: bool) -> Self {
        Self {
            database: Arc::new(Database {
                name,
                has_others: has_others.into(),
            }),
        }
    }

    /// Returns how the database is reached.
    fn connection(&self) -> (Config, ClientConfig) {
        let settings = CLUSTER.settings(&self.database.name, &[]).unwrap();
        (settings.config, settings.tls)
    }

    /// Returns a separate connection, like that of psql.
    async fn raw(&self) -> tokio_postgres::Client {
        self.database.has_others.store(true, Ordering::Relaxed);
        let (client, connection) = CLUSTER.config(&self.database.name).connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

/// Waits for work in the runtime of the connections, within that of a test.
fn wait<T: Send>(work: impl Future<Output = T> + Send) -> T {
    thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(work)).join().unwrap())
}

impl Backend for Postgres {
    fn create() -> Self {
        Self::of(wait(CLUSTER.copy_database(&TEMPLATE)).unwrap(), false)
    }

    fn open(&self, observer: Arc<dyn Observer>) -> SharedStore {
        let mut settings = CLUSTER.settings(&self.database.name, &[]).unwrap();
        settings.config.options(BY_INDEXES);
        Arc::new(wait(PostgresStore::open(&settings, Arc::new(Seeded), observer)).unwrap())
    }
}

jeton_store::contract!(Postgres);
