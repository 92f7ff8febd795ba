//! The PostgreSQL backend: several machines, one database.
//!
//! Every transaction that writes begins with a lock (`writer`), so that guards and effects see what SQLite's only writer
//! sees. The schema refuses states that must never occur, whichever process writes: see the triggers in `migrations/`.

mod active;
mod audit;
mod bulk;
mod chain;
#[cfg(feature = "cluster")]
pub mod cluster;
mod connection;
mod counts;
mod covered;
mod cut_offs;
mod facts;
mod failure;
mod feed;
mod guards;
mod history;
mod idempotency;
mod invitations;
mod issuing;
mod journal;
mod keys;
mod list;
mod list_indexes;
mod logins;
mod members;
mod memory;
mod moving;
mod nodes;
mod open;
mod orders;
mod organizations;
mod people;
mod projects;
mod reconcile;
mod records;
mod replay;
mod retention;
mod revocable;
mod revocations;
mod revoking;
mod route;
mod search;
mod settings;
mod statistics;
mod teams;
mod tokens;
mod usage;
mod values;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use async_trait::async_trait;
use prometheus_client::registry::Registry;
use rustls::ClientConfig;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
pub use tokio_postgres::Config;
pub use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

pub use journal::NodeJournalError;
pub use moving::MovingDatabase;
pub use open::OpenError;
pub use reconcile::{ReconcileError, Reconciled, Reconciling, reconcile};
pub use settings::settings;

use connection::Connections;
use history::SeenHistory;
use issuing::Issuing;
use jeton_core::entropy::Entropy;
use jeton_store::list_indexes::ListIndexes;
use jeton_store::{LoginCounts, Medium, Nodes, Observer, SealedKeys};
use journal::NodeJournal;
use nodes::Notices;
use writer::Writer;

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    connections: Connections,
    writer: Arc<Writer>,
    issuing: Issuing,
    notices: Notices,
    stale_after: Duration,
    /// The number of the last event when the lease was renewed.
    seen: AtomicU64,
    /// The status list indexes for new tokens.
    list_indexes: Arc<ListIndexes>,
    /// What this server has seen of the history of the database.
    history: SeenHistory,
    /// The journal of this server, if it keeps one, and the task that follows the other servers.
    journal: Option<NodeJournal>,
    keeping: Option<AbortHandle>,
    /// Held by the readiness probe that is running; there is at most one.
    probe: Mutex<()>,
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        if let Some(keeping) = &self.keeping {
            keeping.abort();
        }
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens a database, and creates its tables if it is empty. Refuses other databases and leaves them unchanged.
    ///
    /// Its tasks run on the runtime that calls this.
    ///
    /// # Errors
    ///
    /// Fails if the database cannot be used.
    pub async fn open(
        settings: &Settings,
        entropy: Arc<dyn Entropy>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, OpenError> {
        let Settings {
            config,
            tls,
            stale_after,
            journal,
        } = settings;
        let tls = MakeRustlsConnect::new(tls.clone());
        let connections = open::open(config, &tls, &*entropy).await?;
        let history = SeenHistory::default();
        let journal = match journal {
            Some(folder) => Some(NodeJournal::open(folder, &connections, &*entropy, history.clone()).await?),
            None => None,
        };
        let writer = Writer::start(connections.clone(), entropy, observer, journal.clone());
        let writer = Arc::new(writer);
        Ok(Self {
            issuing: Issuing::start(&connections, &writer),
            notices: Notices::listen(connections.route().clone()),
            writer,
            keeping: journal.as_ref().map(|journal| journal.keep(&connections)),
            history,
            journal,
            connections,
            stale_after: *stale_after,
            seen: AtomicU64::new(0),
            list_indexes: Arc::default(),
            probe: Mutex::new(()),
        })
    }
}

/// How a database is reached, and for how long a server may go without it.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The servers, the database, the role and its password. `sslmode` says whether connections are encrypted.
    pub config: Config,
    /// What certificates are trusted, and the client's own.
    pub tls: ClientConfig,
    /// How long a server may answer for revocations after it has renewed its lease.
    pub stale_after: Duration,
    /// The folder of the server's journal of revocations; `None` if it keeps none.
    pub journal: Option<PathBuf>,
}

#[async_trait]
impl Medium for PostgresStore {
    async fn settle(&self) -> jeton_store::Result<()> {
        // What reads return is committed, and the server has it on disk.
        Ok(())
    }

    async fn started(&self) -> jeton_store::Result<()> {
        Ok(())
    }

    async fn stopped(&self) -> jeton_store::Result<()> {
        Ok(())
    }

    async fn changed_elsewhere(&self) {
        self.notices.next().await;
    }

    fn nodes(&self) -> Option<&dyn Nodes> {
        Some(self)
    }

    fn sealed_keys(&self) -> Option<&dyn SealedKeys> {
        Some(self)
    }

    fn login_counts(&self) -> Option<&dyn LoginCounts> {
        Some(self)
    }

    async fn died(&self) {
        self.writer.died().await;
    }

    async fn responds(&self) -> bool {
        // A database that does not answer is no reason to start this process again.
        !self.writer.has_died()
    }

    fn has_died(&self) -> bool {
        self.writer.has_died()
    }

    fn register_metrics(&self, registry: &mut Registry) {
        if let Some(journal) = &self.journal {
            journal.metrics().register(registry);
        }
    }
}
