//! Connections: the statements of this crate on one connection, and the pool of those that read.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{Connect, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::future::{BoxFuture, join};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Config, Row};

use crate::failure::Failure;
use crate::route::{Route, Tls};
use crate::values::Bound;
use jeton_store::StoreError;
use jeton_store::reads::{LongRead, LongReads, Purpose};

/// How long a list may take. Longer ones are refused: a narrower one succeeds.
const BUDGET: Duration = Duration::from_secs(5);

/// How long a request waits for a connection.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How long a statement of a look-up may take.
const LOOK_UP: Duration = Duration::from_secs(5);

/// A connection of a pool.
pub(super) struct Connection {
    /// `None` once it was closed.
    object: Option<Object>,
    /// Whether a transaction is open: what drops the connection meanwhile closes it.
    is_within: bool,
    /// The right to a long read. Dropped after the connection: every holder finds one.
    permit: Option<LongRead>,
    warnings: Warnings,
    route: Route,
    /// The host of the connection.
    host: usize,
    only_reads: bool,
    /// Whether an answer was not waited for: the connection is no use for others.
    is_lost: AtomicBool,
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
        if (self.is_within || *self.is_lost.get_mut())
            && let Some(object) = self.object.take()
        {
            // A connection amid a transaction or an answer is no use for others. Closing it undoes what was done.
            drop(Object::take(object));
        }
    }
}

impl Connection {
    /// Returns the rows of a query.
    pub(super) async fn rows(&self, query: &str, params: &[Bound]) -> Result<Vec<Row>, Failure> {
        let object = self.object.as_ref().ok_or(Failure::Stopped)?;
        let statement = self.answer(object.prepare_cached(query)).await?;
        self.answer(object.query(&statement, &as_params(params)?)).await
    }

    /// Returns the only row of a query, if there is one.
    pub(super) async fn optional(&self, query: &str, params: &[Bound]) -> Result<Option<Row>, Failure> {
        let object = self.object.as_ref().ok_or(Failure::Stopped)?;
        let statement = self.answer(object.prepare_cached(query)).await?;
        self.answer(object.query_opt(&statement, &as_params(params)?))
            .await
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
        self.answer(object.query(query, &as_params(params)?)).await
    }

    /// Returns the row of such a query that always has one.
    pub(super) async fn row_once(&self, query: &str, params: &[Bound]) -> Result<Row, Failure> {
        let mut rows = self.rows_once(query, params).await?;
        rows.pop().ok_or(Failure::Impossible("a query had no row"))
    }

    /// Executes a statement, and returns the number of rows that it changed.
    pub(super) async fn execute(&self, statement: &str, params: &[Bound]) -> Result<u64, Failure> {
        let object = self.object.as_ref().ok_or(Failure::Stopped)?;
        let statement = self.answer(object.prepare_cached(statement)).await?;
        self.answer(object.execute(&statement, &as_params(params)?)).await
    }

    /// Executes statements without parameters in one round trip.
    pub(super) async fn batch(&self, statements: &str) -> Result<(), Failure> {
        let object = self.object.as_ref().ok_or(Failure::Stopped)?;
        self.answer(object.batch_execute(statements)).await
    }

    /// Waits for an answer. A read is given up when its server is left, and a look-up also when it takes too long. What may
    /// commit is given up when another server is the primary, since its outcome is unknown then.
    async fn answer<T>(
        &self,
        answer: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        let limit = match (self.only_reads, &self.permit) {
            (true, None) => LOOK_UP,
            _ => Duration::MAX,
        };
        let answered = tokio::select! {
            answered = timeout(limit, answer) => answered.ok(),
            () = self.route.is_left(), if self.only_reads => None,
            () = self.route.is_replaced(self.host) => None,
        };
        match answered {
            Some(answered) => Ok(answered?),
            None => {
                self.is_lost.store(true, Ordering::Release);
                Err(Failure::Late)
            }
        }
    }

    /// Begins a transaction with these statements.
    pub(super) async fn begin(&mut self, statements: &str) -> Result<(), Failure> {
        self.is_within = true;
        self.batch(statements).await
    }

    /// Begins a transaction with these statements, and sends with them what reads first.
    pub(super) async fn begin_and<T>(
        &mut self,
        statements: &str,
        read: impl AsyncFnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.is_within = true;
        let this = &*self;
        // Sent in this order. If the transaction cannot begin, what follows fails too.
        let (begun, read) = join(this.batch(statements), read(this)).await;
        begun.and(read)
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
        self.replicated(before)
    }

    /// Executes the last statement of the transaction, commits with it, and returns its rows.
    pub(super) async fn commit_after(&mut self, last: &str, params: &[Bound]) -> Result<Vec<Row>, Failure> {
        let object = self.object.as_ref().ok_or(Failure::Stopped)?;
        let params = as_params(params)?;
        // Before both are sent: the statement comes first, and nothing between it and COMMIT.
        let statement = self.answer(object.prepare_cached(last)).await?;
        let before = self.warnings.count();
        let both = join(object.query(&statement, &params), object.batch_execute("COMMIT"));
        let (rows, committed) = self.answer(async { Ok(both.await) }).await?;
        committed?;
        self.is_within = false;
        let rows = rows?;
        self.replicated(before)?;
        Ok(rows)
    }

    /// Fails if there was a warning since so many, as when the wait for the standby was cancelled. One of a neighbour counts
    /// too: an error where there was none is the lesser evil.
    fn replicated(&self, before: u64) -> Result<(), Failure> {
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
    route: Route,
}

/// How many look-ups there are at once.
const LOOK_UPS: usize = 4;

/// How many long reads of one purpose there are at once.
const LONG_READS: usize = 2;

/// How many connections commit: the writer, the lane of issues, the audit, and the lease.
const WRITERS: usize = 4;

/// How many connections count failed logins. Apart from others, since clients without a credential cause it.
const LOGINS: usize = 2;

/// The settings of all connections. Compiling a plan takes longer than the statements here. PostgreSQL ends the connection
/// of a server that is cut off or hangs within a transaction: until then, the lock of the writers lets no other server
/// write. A command that computes for longer within a transaction sets another limit in it.
const SETTINGS: &str = "-c jit=off -c idle_in_transaction_session_timeout=2s -c lock_timeout=10s";

impl Connections {
    pub(super) fn new(config: &Config, tls: &Tls) -> Result<Self, deadpool_postgres::BuildError> {
        let warnings = Warnings::default();
        let given = config.get_options().unwrap_or_default();
        let mut all = config.clone();
        all.options(format!("{SETTINGS} {given}"));
        let route = Route::new(&all, tls.clone());
        let connecting = Connecting {
            route: route.clone(),
            warnings: warnings.clone(),
        };
        Ok(Self {
            looking: pool(all.clone(), connecting.clone(), LOOK_UPS)?,
            reading: pool(all.clone(), connecting.clone(), LONG_READS * Purpose::COUNT)?,
            writing: pool(all.clone(), connecting.clone(), WRITERS)?,
            logins: pool(all, connecting, LOGINS)?,
            long_reads: Arc::new(LongReads::new(LONG_READS)),
            warnings,
            route,
        })
    }

    async fn connection(&self, pool: &Pool, only_reads: bool) -> Result<Connection, Failure> {
        let object = loop {
            let object = pool.get().await?;
            match self.route.is_used_since(Object::metrics(&object).created) {
                true => break object,
                false => drop(Object::take(object)),
            }
        };
        Ok(Connection {
            object: Some(object),
            is_within: false,
            permit: None,
            warnings: self.warnings.clone(),
            route: self.route.clone(),
            host: self.route.connected(),
            only_reads,
            is_lost: AtomicBool::new(false),
        })
    }

    /// Returns the way to the server, for a connection that is none of a pool.
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// Returns a connection for queries by keys.
    pub(super) async fn read(&self) -> Result<Connection, Failure> {
        self.connection(&self.looking, true).await
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
        let mut connection = self.connection(&self.reading, true).await?;
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
        self.connection(&self.logins, false).await
    }

    /// Returns a connection that writes.
    pub(super) async fn write(&self) -> Result<Connection, Failure> {
        self.connection(&self.writing, false).await
    }
}

const ONE_INSTANT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

fn pool(config: Config, connecting: Connecting, size: usize) -> Result<Pool, deadpool_postgres::BuildError> {
    let patience = connecting.route.patience();
    let manager = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    Pool::builder(Manager::from_connect(config, connecting, manager))
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(patience))
        .build()
}

/// Makes the connections of a pool.
#[derive(Clone)]
struct Connecting {
    route: Route,
    warnings: Warnings,
}

impl Connect for Connecting {
    fn connect(
        &self,
        // The route has it, host by host.
        _: &Config,
    ) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), tokio_postgres::Error>> {
        Box::pin(async move {
            let (client, mut connection) = self.route.connect().await?;
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
