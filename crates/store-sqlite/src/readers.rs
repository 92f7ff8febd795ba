//! Read-only connections.

use std::convert::Infallible;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use r2d2::{ManageConnection, Pool};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::failure::Failure;
use crate::open::configure_reader;
use jeton_store::{Result, StoreError};

/// How many long reads run at once. More would only compete for the same cores.
const LONG_READS: u32 = 4;

/// How long a long read waits for a permit, and closing waits for the last read.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Readers {
    pool: Pool<Opening>,
    /// Dropped after the pool.
    _closed: Closed,
    /// Permits for long reads, fewer than connections: taking a connection would block the thread while none is
    /// free.
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Opens the connections to a file that the writer has prepared.
    pub(super) fn open(path: &Path) -> std::result::Result<Self, r2d2::Error> {
        let (open, closed) = channel();
        let opening = Opening {
            path: path.to_owned(),
            open,
        };
        // A look-up does not wait while it holds a connection, so that one connection a thread suffices.
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = u32::try_from(threads).unwrap_or(u32::MAX).min(64);
        let pool = Pool::builder()
            .max_size(LONG_READS + threads)
            .test_on_check_out(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .build(opening)?;
        Ok(Self {
            pool,
            _closed: Closed(Mutex::new(closed)),
            permits: Arc::new(Semaphore::new(LONG_READS as usize)),
        })
    }

    /// Looks something up by a key: a handful of pages, mostly in memory. Moving that to another thread would
    /// cost several times as much.
    pub(super) async fn look_up<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        match self.pool.try_get() {
            Some(reader) => Ok(query(&reader.connection)?),
            None => self.read(query).await,
        }
    }

    /// Runs a read of many rows, on a thread that may block.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> std::result::Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let permit = match timeout(PATIENCE, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => return Err(StoreError::Busy),
        };
        let pool = self.pool.clone();
        tokio::task::spawn_blocking(move || {
            // Dropped after the connection: every holder of a permit finds a connection.
            let _permit = permit;
            let reader = pool.get().map_err(|error| StoreError::Failed(Box::new(error)))?;
            query(&reader.connection).map_err(StoreError::from)
        })
        .await
        .map_err(|error| StoreError::Failed(Box::new(error)))?
    }
}

/// The settings with which a reader is opened.
struct Opening {
    path: PathBuf,
    open: Sender<Infallible>,
}

/// A read-only connection.
struct Reader {
    connection: Connection,
    /// Dropped after the connection.
    _open: Sender<Infallible>,
}

impl ManageConnection for Opening {
    type Connection = Reader;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Reader> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        configure_reader(&connection)?;
        Ok(Reader {
            connection,
            _open: self.open.clone(),
        })
    }

    fn is_valid(&self, _: &mut Reader) -> rusqlite::Result<()> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Reader) -> bool {
        false
    }
}

/// Waits, when dropped, until every reader is closed. The pool's own threads may hold a reader a little longer
/// than its owner, and a reader that outlives the writer leaves the WAL beside the file.
struct Closed(Mutex<Receiver<Infallible>>);

impl Drop for Closed {
    fn drop(&mut self) {
        let closed = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = closed.recv_timeout(PATIENCE);
    }
}
