//! Reading: a few connections that can do nothing else.

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use r2d2::Pool;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::open::configure_reader;
use crate::store::{Result, StoreError};

/// How many long reads run at once. More would only wait for the same cores.
const LONG_READS: u32 = 4;

/// How long a long read waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Readers {
    pool: Pool<SqliteConnectionManager>,
    /// Fewer than there are connections: taking one would block the thread while none is free.
    turns: Arc<Semaphore>,
}

impl Readers {
    /// Opens the connections to a file that the writer has prepared.
    pub(super) fn open(path: &Path) -> std::result::Result<Self, r2d2::Error> {
        let manager = SqliteConnectionManager::file(path)
            .with_flags(OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .with_init(|connection| configure_reader(connection));
        // A look-up does not wait while it holds a connection: there are never more than threads.
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = u32::try_from(threads).unwrap_or(u32::MAX).min(64);
        let pool = Pool::builder()
            .max_size(LONG_READS + threads)
            .test_on_check_out(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .build(manager)?;
        Ok(Self {
            pool,
            turns: Arc::new(Semaphore::new(LONG_READS as usize)),
        })
    }

    /// Looks something up by a key: a handful of pages, mostly in memory. Handing that to another
    /// thread costs several times what it takes.
    pub(super) async fn look_up<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        match self.pool.try_get() {
            Some(connection) => Ok(query(&connection)?),
            None => self.read(query).await,
        }
    }

    /// Reads what may be much, on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let turn = match timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) | Err(_) => return Err(StoreError::Busy),
        };
        let pool = self.pool.clone();
        tokio::task::spawn_blocking(move || {
            // Dropped after the connection: whoever has a turn finds one.
            let _turn = turn;
            let connection = pool.get().map_err(|error| StoreError::Failed(Box::new(error)))?;
            query(&connection).map_err(StoreError::from)
        })
        .await
        .map_err(|error| StoreError::Failed(Box::new(error)))?
    }
}
