//! Opening the database: its schema, and the identity of the deployment.

use tokio_postgres::Config;

use crate::connection::{Connection, Connections};
use crate::failure::Failure;
use crate::journal::{NodeJournalError, OpenFailure};
use crate::route::Tls;
use crate::values::{get, params};
use jeton_core::entropy::Entropy;

/// The steps of the schema, in order, each with the oldest version of it whose servers may serve the database from then
/// on. A step that only adds lets those of the former version go on; what they used is removed by a later one.
const MIGRATIONS: [(&str, usize); 1] = [(include_str!("migrations/0001_begin.sql"), 1)];

/// The version of the schema that this program knows.
pub(super) const KNOWN: usize = MIGRATIONS.len();

/// The settings of a transaction of a command that may compute for long, and may execute long statements.
pub(super) const UNHURRIED: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/// The lock that one program has while it prepares the schema, for which others wait however long it takes.
const PREPARING: &str =
    "SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(4779010, 0); SET LOCAL lock_timeout = '10s'";

/// The oldest server that works: `server_version_num`.
const OLDEST_SERVER: i64 = 150_000;

/// The reason why a database cannot be used. It was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The server is too old.
    #[error("the PostgreSQL server is of version {0}: 15 or later is needed")]
    OldServer(String),
    /// The server would lose acknowledged data in a crash.
    #[error(
        "the PostgreSQL server has {setting} = {value}: a crash would lose tokens and revocations; set it to on"
    )]
    Unsafe {
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// The encoding of the database is not UTF-8.
    #[error("the encoding of the database is {0}: create it with ENCODING 'UTF8'")]
    Encoding(String),
    /// The database has tables of another program.
    #[error("the database has tables of another program: create one for jeton alone")]
    Foreign,
    /// A later version of jeton has written the database, and this one can no longer serve it.
    #[error(
        "the database was written by a newer version of jeton (its schema is {found}, this version supports up to {KNOWN})"
    )]
    Newer {
        /// The version of its schema.
        found: usize,
    },
    /// The deployment has moved.
    #[error("the deployment has moved to {0}, and nothing serves this database any more")]
    Moved(String),
    /// A move into the database was not finished.
    #[error(
        "the database is the copy of a move from {0} that was not finished: run the same `jeton move` again if {0} has \
         moved, or drop this database"
    )]
    Arriving(String),
    /// A database to move from has no deployment.
    #[error("the database is empty: there is nothing to move")]
    Empty,
    /// A database to move into has tables.
    #[error("the database has tables: create an empty one to move into")]
    NotEmpty,
    /// A database to move from is served.
    #[error(
        "the server {0} is running on the database, or has just ended: stop all servers, and wait until their leases end"
    )]
    Served(String),
    /// A database to move from lacks revocations, which a reconciliation repeats.
    #[error("the database has lost history: reconcile it by `jeton reconcile` before it moves")]
    LostHistory,
    /// The journal of this server cannot be used.
    #[error(transparent)]
    Journal(#[from] NodeJournalError),
    /// PostgreSQL cannot be reached, or failed.
    #[error("the PostgreSQL database cannot be opened")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure))
    }
}

impl From<OpenFailure> for OpenError {
    fn from(failure: OpenFailure) -> Self {
        match failure {
            OpenFailure::Journal(error) => Self::Journal(error),
            OpenFailure::Database(failure) => failure.into(),
        }
    }
}

/// Connects, brings the schema up to date, and gives an empty database its identity.
pub(super) async fn open(
    config: &Config,
    tls: &Tls,
    entropy: &dyn Entropy,
) -> Result<Connections, OpenError> {
    let connections = connect(config, tls)?;
    let mut connection = connections.write().await?;
    begin(&mut connection).await?;
    migrate(&connection).await?;
    let origin = entropy.uuid_v4();
    connection
        .execute(
            "INSERT INTO meta (one, origin, epoch) VALUES (1, $1, $1) ON CONFLICT DO NOTHING",
            params![origin],
        )
        .await?;
    refuse_moved(&connection).await?;
    connection.commit().await?;
    Ok(connections)
}

/// Returns connections to a database, which is not accessed yet.
pub(super) fn connect(config: &Config, tls: &Tls) -> Result<Connections, OpenError> {
    Connections::new(config, tls).map_err(|error| OpenError::Failed(Box::new(error)))
}

/// Begins a transaction that prepares the database.
pub(super) async fn begin(connection: &mut Connection) -> Result<(), OpenError> {
    check_server(connection).await?;
    Ok(connection
        .begin(&format!("BEGIN; {UNHURRIED}; {PREPARING}"))
        .await?)
}

/// Refuses a database that a move has left, or not finished.
pub(super) async fn refuse_moved(connection: &Connection) -> Result<(), OpenError> {
    let row = connection
        .row("SELECT moved_to, arrives_from FROM meta", &[])
        .await?;
    match (get(&row, 0)?, get(&row, 1)?) {
        (Some(to), _) => Err(OpenError::Moved(to)),
        (_, Some(from)) => Err(OpenError::Arriving(from)),
        (None, None) => Ok(()),
    }
}

/// Returns whether the database has no tables.
///
/// # Errors
///
/// Fails if they are those of another program.
pub(super) async fn is_empty(connection: &Connection) -> Result<bool, OpenError> {
    let tables = "SELECT count(*) FILTER (WHERE table_name = 'jeton_schema'), count(*)
        FROM information_schema.tables WHERE table_schema = current_schema()";
    let row = connection.row(tables, &[]).await?;
    match (get::<i64>(&row, 0)?, get::<i64>(&row, 1)?) {
        (_, 0) => Ok(true),
        (0, _) => Err(OpenError::Foreign),
        _ => Ok(false),
    }
}

async fn check_server(connection: &Connection) -> Result<(), OpenError> {
    let row = connection
        .row(
            "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'),
                current_setting('fsync'), current_setting('synchronous_commit'), current_setting('full_page_writes'),
                current_setting('server_encoding')",
            &[],
        )
        .await?;
    if get::<i64>(&row, 0)? < OLDEST_SERVER {
        return Err(OpenError::OldServer(get(&row, 1)?));
    }
    for (column, setting) in [(2, "fsync"), (3, "synchronous_commit"), (4, "full_page_writes")] {
        let value: String = get(&row, column)?;
        if value == "off" {
            return Err(OpenError::Unsafe { setting, value });
        }
    }
    let encoding: String = get(&row, 5)?;
    match encoding.as_str() {
        "UTF8" => Ok(()),
        _ => Err(OpenError::Encoding(encoding)),
    }
}

/// Carries out the steps that the database lacks, and returns the version of the schema. The caller has the lock, and
/// commits.
///
/// # Errors
///
/// Fails if a later version has excluded this one.
pub(super) async fn migrate(connection: &Connection) -> Result<usize, OpenError> {
    if is_empty(connection).await? {
        connection
            .batch(
                "CREATE TABLE jeton_schema (version bigint NOT NULL, served_from bigint NOT NULL);
                 INSERT INTO jeton_schema VALUES (0, 0)",
            )
            .await?;
    }
    let row = connection
        .row("SELECT version, served_from FROM jeton_schema", &[])
        .await?;
    let (found, served_from): (usize, usize) = (get(&row, 0)?, get(&row, 1)?);
    if served_from > KNOWN {
        return Err(OpenError::Newer { found });
    }
    for (step, served_from) in MIGRATIONS.iter().skip(found) {
        connection.batch(step).await?;
        connection
            .execute(
                "UPDATE jeton_schema SET version = version + 1, served_from = $1",
                params![*served_from],
            )
            .await?;
    }
    Ok(found.max(KNOWN))
}

/// Carries out the steps that the database lacks, for a program that must know all of its tables.
///
/// # Errors
///
/// Fails if a later version has written the database.
pub(super) async fn migrate_all(connection: &Connection) -> Result<(), OpenError> {
    match migrate(connection).await? {
        KNOWN => Ok(()),
        found => Err(OpenError::Newer { found }),
    }
}
