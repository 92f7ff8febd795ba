//! The storage backends. Apart, so that no other module of the program names SQLite or PostgreSQL's driver.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jeton_core::entropy::Entropy;
pub use jeton_journal::{JournalCopy, JournalCopyError, Replayed, install_journal, uninstall_journal};
use jeton_store::moving::Side;
use jeton_store::{SharedStore, StoredSettings, Versioned};
pub use jeton_store_postgres::{
    Config as PostgresConfig, Host, OpenError as PostgresError, ReconcileError, Reconciled, Reconciling,
};
use jeton_store_postgres::{MovingDatabase, PostgresStore, Settings, SslMode};
pub use jeton_store_sqlite::{
    AcceptedClock, AuditExamined, AuditReader, BackupError, DatabaseCheck, DatabaseExamined, DatabasePart,
    DrillError, DrillFolder, Examined, KeyOfCheckpoint, LockError, Missing, OpenError, Progress, ServeLock,
    accept_clock, backed_up_at, backup, begin_journal, check_journal, check_private, examine, is_remains,
    issuer, journal_of, keys, restore, sync_folder,
};
use jeton_store_sqlite::{MovingFile, SqliteStore};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{Config, Database, Postgres};
use crate::revocation::Index;
use crate::tls::{self, TlsError};

/// The reason why the store of a deployment cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] OpenError),
    /// The PostgreSQL database cannot be used.
    #[error("the database {database} cannot be used")]
    Postgres {
        /// The database, without the role and its password.
        database: Database,
        /// The cause.
        source: PostgresError,
    },
    /// A deployment cannot move into the file.
    #[error(transparent)]
    Copy(#[from] BackupError),
    /// The PostgreSQL database was not reconciled.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// The certificates for PostgreSQL cannot be used.
    #[error("connections to PostgreSQL cannot be encrypted: see `[postgresql]` in the configuration")]
    Tls(#[from] TlsError),
}

impl BackendError {
    /// Returns the name of the database to which the deployment has moved, if that is the reason.
    pub fn moved_to(&self) -> Option<&str> {
        match self {
            Self::File(OpenError::Moved { to, .. })
            | Self::Postgres {
                source: PostgresError::Moved(to),
                ..
            } => Some(to),
            _ => None,
        }
    }
}

/// Opens the store of a deployment, or creates it if it does not exist. The store passes every commit to the index. A
/// server keeps a journal, and follows in it what commands commit.
pub async fn open(
    config: &Config,
    entropy: &Arc<dyn Entropy>,
    index: &Arc<Index>,
    is_server: bool,
) -> Result<SharedStore, BackendError> {
    match &config.database {
        Database::File(path) => Ok(open_file(path, entropy, index)?),
        Database::Postgres(servers) => {
            let journal = config.postgres.journal.clone().filter(|_| is_server);
            if is_server && journal.is_none() {
                tracing::warn!(
                    "this server keeps no journal of revocations: without one on any server, lost history of the database \
                     is made up for by revoking every token; set `postgresql.journal` to a folder on a local disk"
                );
            }
            let settings = connecting(servers, config, journal)?;
            let opened = PostgresStore::open(&settings, Arc::clone(entropy), Arc::clone(index) as _).await;
            Ok(Arc::new(opened.map_err(of_postgres(&config.database))?))
        }
    }
}

/// Opens the database of a deployment that moves, which nothing writes to until the result is dropped.
pub async fn leave(config: &Config, entropy: &Arc<dyn Entropy>) -> Result<Box<dyn Side>, BackendError> {
    match &config.database {
        Database::File(path) => {
            let copy = config.journal_copy.clone();
            Ok(Box::new(MovingFile::source(path, copy, Arc::clone(entropy))?))
        }
        Database::Postgres(servers) => {
            let opened = MovingDatabase::source(&connecting(servers, config, None)?).await;
            Ok(Box::new(opened.map_err(of_postgres(&config.database))?))
        }
    }
}

/// Opens an empty database to which a deployment moves.
pub async fn enter(
    database: &Database,
    config: &Config,
    entropy: &Arc<dyn Entropy>,
) -> Result<Box<dyn Side>, BackendError> {
    match database {
        Database::File(path) => Ok(Box::new(MovingFile::target(path, Arc::clone(entropy))?)),
        Database::Postgres(servers) => {
            let opened = MovingDatabase::target(&connecting(servers, config, None)?).await;
            Ok(Box::new(opened.map_err(of_postgres(database))?))
        }
    }
}

/// Opens the database that an interrupted move has filled and not released, if it is one.
pub async fn held(
    database: &Database,
    config: &Config,
    entropy: &Arc<dyn Entropy>,
) -> Result<Option<Box<dyn Side>>, BackendError> {
    match database {
        Database::File(path) => {
            Ok(MovingFile::held(path, Arc::clone(entropy))?.map(|held| Box::new(held) as _))
        }
        Database::Postgres(servers) => {
            let opened = MovingDatabase::held(&connecting(servers, config, None)?).await;
            Ok(opened
                .map_err(of_postgres(database))?
                .map(|held| Box::new(held) as _))
        }
    }
}

/// Reconciles a PostgreSQL database that has lost history with the journals of its servers.
pub async fn reconcile(
    servers: &PostgresConfig,
    config: &Config,
    reconciling: Reconciling<'_>,
    entropy: &dyn Entropy,
) -> Result<Reconciled, BackendError> {
    let settings = connecting(servers, config, None)?;
    Ok(jeton_store_postgres::reconcile(&settings, reconciling, entropy).await?)
}

/// Returns the settings of connections to PostgreSQL, and the folder of the server's journal.
fn connecting(
    servers: &PostgresConfig,
    config: &Config,
    journal: Option<PathBuf>,
) -> Result<Settings, TlsError> {
    Ok(Settings {
        config: servers.clone(),
        tls: client(servers, &config.postgres)?,
        stale_after: config.postgres.stale_after,
        journal,
    })
}

/// Names the database in an error.
fn of_postgres(database: &Database) -> impl FnOnce(PostgresError) -> BackendError {
    let database = database.clone();
    |source| BackendError::Postgres { database, source }
}

/// Returns the settings that all servers of a deployment share, as its database has them; `None` if they are in the
/// configuration file, as they are beside a database file.
pub async fn settings(config: &Config) -> Result<Option<Versioned<StoredSettings>>, BackendError> {
    let Database::Postgres(servers) = &config.database else {
        return Ok(None);
    };
    let read = jeton_store_postgres::settings(servers, client(servers, &config.postgres)?).await;
    read.map(Some).map_err(of_postgres(&config.database))
}

/// Opens the store in a file, or creates it if it does not exist.
pub fn open_file(
    path: &Path,
    entropy: &Arc<dyn Entropy>,
    index: &Arc<Index>,
) -> Result<SharedStore, OpenError> {
    let store = SqliteStore::open(path, Arc::clone(entropy), Arc::clone(index) as _)?;
    Ok(Arc::new(store))
}

/// Claims a file for one process that serves or replaces it. Servers share a PostgreSQL database.
pub fn lock(database: &Database) -> Result<Option<ServeLock>, LockError> {
    database.file().map(ServeLock::acquire).transpose()
}

/// Syncs the folder of a file, after the last change of the store. PostgreSQL has synced what it has committed.
pub fn sync(database: &Database) -> io::Result<()> {
    database.file().map_or(Ok(()), sync_folder)
}

/// Returns the TLS of connections to PostgreSQL. Where none is encrypted, no certificate is needed.
fn client(servers: &PostgresConfig, settings: &Postgres) -> Result<ClientConfig, TlsError> {
    let is_remote = |host: &Host| matches!(host, Host::Tcp(_));
    if servers.get_ssl_mode() == SslMode::Disable || !servers.get_hosts().iter().any(is_remote) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        return Ok(builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth());
    }
    tls::client(settings.ca.as_deref(), settings.certificate.as_ref())
}
