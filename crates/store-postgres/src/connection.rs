//! Connections: the statements of this crate on one connection, and the pool of those that read.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::failure::Failure;
use crate::values::Bound;
use jeton_store::StoreError;
use jeton_store::reads::{LongRead, LongReads, Purpose};

/// How long a list may take. Longer ones are refused: a narrower one succeeds.
const BUDGET: Duration = Duration::from_secs(5);

/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// For how long a server may leave what was sent without a receipt.
const SILENCE: Duration = Duration::from_secs(10);

/// How connections are encrypted, if the configuration of the database asks for that.
pub(super) type Tls = MakeRustlsConnect;

/// A connection of a pool.
pub(super) struct Connection {
    /// `None` once it was closed.
    object: Option<Object>,
    /// Whether a transaction is open: what drops the connection meanwhile closes it.
    is_within: bool,
    /// The right to a long read. Dropped after the connection: every holder finds one.
    permit: Option<LongRead>,
    warnings: Warnings,
}

/// The number of warnings that the server has sent on connections of a pool. A commit whose wait for the standby was
/// cancelled is answered as a success, with a warning before it.
#[derive(Debug, Clone, Default)]
struct Warnings(Arc<AtomicU64>);

impl Warnings {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_within
            && let Some(object) = self.object.take()
        {
            // A connection amid a transaction is no use for others. Closing it undoes what was done.
            drop(Object::take(object));
        }
    }
}

impl Connection {
    /// Returns the rows of a query.
    pub(super) async fn rows(&self, query: &str, params: &[Bound]) -> Result<Vec<Row>, Failure> {
        let object = self.object.as_ref().ok_or(Failure::Stopped)?;
        let statement = object.prepare_cached(query).await?;
        Ok(object.query(&statement, &as_params(params)?).await?)
    }

    /// Returns the only row of a query, if there is one.
    pub(super) async fn optional(&self, query: &str, params: &[Bound]) -> Result<Option<Row>, Failure> {
        let object = self.object.as_ref().ok_or(Failure::Stopped)?;
        let statement = object.prepare_cached(query).await?;
        Ok(object.query_opt(&statement, &as_params(params)?).await?)
    }

    /// Returns the row of a query that always has one.
    pub(super) async fn row(&self, query: &str, params: &[Bound]) -> Result<Row, Failure> {
        self.optional(query, params)
            .await?
            .ok_or(Failure::Impossible("a query had no row"))
    }

    /// Returns the rows of a query whose text is put together from the parts of a request. Its statement is not kept: the
    /// server has 200 KB of memory for each, on each connection, and there are thousands of texts.
    pub(super) async fn rows_once(&self, query: &str, params: &[Bound]) -> Result<Vec<Row>, Failure> {
        let object = self.object.as_ref().ok_or(Failure::Stopped)?;
        Ok(object.query(query, &as_params(params)?).await?)
    }

    /// Returns the row of such a query that always has one.
    pub(super) async fn row_once(&self, query: &str, params: &[Bound]) -> Result<Row, Failure> {
        let mut rows = self.rows_once(query, params).await?;
        rows.pop().ok_or(Failure::Impossible("a query had no row"))
    }

    /// Executes a statement, and returns the number of rows that it changed.
    pub(super) async fn execute(&self, statement: &str, params: &[Bound]) -> Result<u64, Failure> {
        let object = self.object.as_ref().ok_or(Failure::Stopped)?;
        let statement = object.prepare_cached(statement).await?;
        Ok(object.execute(&statement, &as_params(params)?).await?)
    }

    /// Executes statements without parameters in one round trip.
    pub(super) async fn batch(&self, statements: &str) -> Result<(), Failure> {
        let object = self.object.as_ref().ok_or(Failure::Stopped)?;
        Ok(object.batch_execute(statements).await?)
    }

    /// Begins a transaction with these statements.
    pub(super) async fn begin(&mut self, statements: &str) -> Result<(), Failure> {
        self.is_within = true;
        self.batch(statements).await
    }

    /// Ends a transaction that only read, so that the connection is kept.
    pub(super) async fn end(&mut self) -> Result<(), Failure> {
        self.batch("COMMIT").await?;
        self.is_within = false;
        Ok(())
    }

    /// Undoes the transaction.
    pub(super) async fn undo(&mut self) -> Result<(), Failure> {
        self.batch("ROLLBACK").await?;
        self.is_within = false;
        Ok(())
    }

    /// Commits the transaction. A failed one answers COMMIT with success too (as ROLLBACK): all of its statements must
    /// have succeeded.
    pub(super) async fn commit(&mut self) -> Result<(), Failure> {
        let before = self.warnings.count();
        self.end().await?;
        // A warning of a neighbour counts too: an error where there was none is the lesser evil.
        match self.warnings.count() == before {
            true => Ok(()),
            false => Err(Failure::Unreplicated),
        }
    }
}

/// Returns parameters as the driver takes them. One that cannot be stored is known before anything is sent.
fn as_params(params: &[Bound]) -> Result<Vec<&(dyn ToSql + Sync)>, Failure> {
    if let Some(reason) = params.iter().find_map(Bound::unfit) {
        return Err(Failure::Impossible(reason));
    }
    Ok(params.iter().map(|param| param as &(dyn ToSql + Sync)).collect())
}

/// The connections of a server: for look-ups, for long reads, and for what commits. Apart, so that none of them waits for
/// another.
#[derive(Clone)]
pub(super) struct Connections {
    looking: Pool,
    reading: Pool,
    writing: Pool,
    logins: Pool,
    long_reads: Arc<LongReads>,
    warnings: Warnings,
}

/// How many look-ups there are at once.
const LOOK_UPS: usize = 4;

/// How many long reads of one purpose there are at once.
const LONG_READS: usize = 2;

/// How many connections commit: the writer, two lanes of issues, and the lease.
const WRITERS: usize = 4;

/// How many connections count failed logins. Apart from others, since clients without a credential cause it.
const LOGINS: usize = 2;

/// The settings of all connections. Compiling a plan takes longer than the statements here.
const SETTINGS: &str = "-c jit=off";

impl Connections {
    pub(super) fn new(config: &Config, tls: &Tls) -> Result<Self, deadpool_postgres::BuildError> {
        let warnings = Warnings::default();
        let given = config.get_options().unwrap_or_default();
        let mut all = config.clone();
        all.options(format!("{given} {SETTINGS}"));
        // A server that is gone without a word is noticed, unless the configuration has other values.
        if config.get_connect_timeout().is_none() {
            all.connect_timeout(PATIENCE);
        }
        if config.get_tcp_user_timeout().is_none() {
            all.tcp_user_timeout(SILENCE);
        }
        let connecting = Connecting {
            tls: tls.clone(),
            warnings: warnings.clone(),
        };
        Ok(Self {
            looking: pool(all.clone(), connecting.clone(), LOOK_UPS)?,
            reading: pool(all.clone(), connecting.clone(), LONG_READS * Purpose::COUNT)?,
            writing: pool(all.clone(), connecting.clone(), WRITERS)?,
            logins: pool(all, connecting, LOGINS)?,
            long_reads: Arc::new(LongReads::new(LONG_READS)),
            warnings,
        })
    }

    async fn connection(&self, pool: &Pool) -> Result<Connection, Failure> {
        Ok(Connection {
            object: Some(pool.get().await?),
            is_within: false,
            permit: None,
            warnings: self.warnings.clone(),
        })
    }

    /// Returns a connection for queries by keys.
    pub(super) async fn read(&self) -> Result<Connection, Failure> {
        self.connection(&self.looking).await
    }

    /// Returns a connection for queries by keys that read one instant, until [`Connection::end`].
    pub(super) async fn read_at_once(&self) -> Result<Connection, Failure> {
        let mut connection = self.read().await?;
        connection.begin(ONE_INSTANT).await?;
        Ok(connection)
    }

    /// Returns a connection for queries of many rows that read one instant, until [`Connection::end`].
    pub(super) async fn long(&self, purpose: Purpose) -> Result<Connection, StoreError> {
        let has_budget = purpose.has_budget();
        let permit = self.long_reads.acquire(purpose).await?;
        let mut connection = self.connection(&self.reading).await?;
        connection.permit = Some(permit);
        let begin = match has_budget {
            true => format!(
                "{ONE_INSTANT}; SET LOCAL statement_timeout = {}",
                BUDGET.as_millis()
            ),
            false => ONE_INSTANT.to_owned(),
        };
        connection.begin(&begin).await?;
        Ok(connection)
    }

    /// Returns the rows of one query that reads many rows.
    pub(super) async fn long_rows(
        &self,
        purpose: Purpose,
        query: &str,
        params: &[Bound],
    ) -> Result<Vec<Row>, StoreError> {
        let mut connection = self.long(purpose).await?;
        let rows = connection.rows(query, params).await?;
        connection.end().await?;
        Ok(rows)
    }

    /// Returns a connection for the counters of failed logins.
    pub(super) async fn logins(&self) -> Result<Connection, Failure> {
        self.connection(&self.logins).await
    }

    /// Returns a connection that writes.
    pub(super) async fn write(&self) -> Result<Connection, Failure> {
        self.connection(&self.writing).await
    }
}

const ONE_INSTANT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

fn pool(config: Config, connecting: Connecting, size: usize) -> Result<Pool, deadpool_postgres::BuildError> {
    let manager = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    Pool::builder(Manager::from_connect(config, connecting, manager))
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .build()
}

/// Makes the connections of a pool.
#[derive(Clone)]
struct Connecting {
    tls: Tls,
    warnings: Warnings,
}

impl Connect for Connecting {
    fn connect(
        &self,
        config: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        let config = config.clone();
        Box::pin(async move {
            let (client, mut connection) = config.connect(self.tls.clone()).await?;
            let warnings = self.warnings.clone();
            let receiving = tokio::spawn(async move {
                while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                    if let AsyncMessage::Notice(notice) = message
                        && notice.severity() == "WARNING"
                    {
                        warnings.0.fetch_add(1, Ordering::AcqRel);
                        tracing::warn!(%notice, "a warning of PostgreSQL");
                    }
                }
            });
            Ok((client, receiving))
        })
    }
}
