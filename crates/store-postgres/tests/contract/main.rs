//! The conformance suite over PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod nodes;

use std::sync::{Arc, LazyLock};
use std::thread;

use jeton_store::suite::Backend;
use jeton_store::suite::world::Seeded;
use jeton_store::{Observer, SharedStore};
use jeton_store_postgres::cluster::Cluster;
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

/// A database of its own, dropped with its last copy.
#[derive(Clone)]
struct Postgres {
    database: Arc<Database>,
}

struct Database(String);

impl Drop for Database {
    fn drop(&mut self) {
        wait(CLUSTER.drop_database(&self.0)).unwrap();
    }
}

impl Postgres {
    /// Returns how the database is reached.
    fn connection(&self) -> (Config, ClientConfig) {
        let settings = CLUSTER.settings(&self.database.0, &[]).unwrap();
        (settings.config, settings.tls)
    }

    /// Returns a separate connection, like that of psql.
    async fn raw(&self) -> tokio_postgres::Client {
        let (client, connection) = CLUSTER.config(&self.database.0).connect(NoTls).await.unwrap();
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
        let database = Database(wait(CLUSTER.create_database()).unwrap());
        Self {
            database: Arc::new(database),
        }
    }

    fn open(&self, observer: Arc<dyn Observer>) -> SharedStore {
        let settings = CLUSTER.settings(&self.database.0, &[]).unwrap();
        Arc::new(wait(PostgresStore::open(&settings, Arc::new(Seeded), observer)).unwrap())
    }
}

jeton_store::contract!(Postgres);
