//! The conformance suite over PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, LazyLock};
use std::thread;

use jeton_store::suite::Backend;
use jeton_store::suite::world::Seeded;
use jeton_store::{Observer, SharedStore};
use jeton_store_postgres::PostgresStore;
use jeton_store_postgres::cluster::Cluster;
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

/// A database of its own.
struct Postgres {
    database: String,
}

/// Waits for work in the runtime of the connections, within that of a test.
fn wait<T: Send>(work: impl Future<Output = T> + Send) -> T {
    thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(work)).join().unwrap())
}

impl Backend for Postgres {
    fn create() -> Self {
        Self {
            database: wait(CLUSTER.create_database()).unwrap(),
        }
    }

    fn open(&self, observer: Arc<dyn Observer>) -> SharedStore {
        let settings = CLUSTER.settings(&self.database).unwrap();
        Arc::new(wait(PostgresStore::open(&settings, Arc::new(Seeded), observer)).unwrap())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        wait(CLUSTER.drop_database(&self.database)).unwrap();
    }
}

jeton_store::contract!(Postgres);
