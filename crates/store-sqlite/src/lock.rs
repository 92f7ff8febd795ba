//! The serve lock: at most one server a database.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::open::{self, OpenError};

/// The exclusive right to serve from a database, held until it is dropped.
///
/// Two servers would each keep their own rate limits, caches and streams. A command beside a running server
/// takes no such lock; SQLite keeps their writes apart.
#[derive(Debug)]
pub struct ServeLock {
    _file: File,
}

/// The reason why a server cannot lock the database.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another server holds the lock.
    #[error("another server is running on the database {}", .0.display())]
    Taken(PathBuf),
    /// The folder of database and lock is missing.
    #[error("the folder of the database {} does not exist: create it first", .0.display())]
    FolderMissing(PathBuf),
    /// The database cannot be locked by its file.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The lock file cannot be created or locked.
    #[error("cannot lock the file {}", path.display())]
    Failed {
        /// The lock file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl ServeLock {
    /// Takes the lock beside the database. The operating system releases it when the process ends.
    pub fn acquire(database: &Path) -> Result<Self, LockError> {
        let database = &open::resolved(database)?;
        let path = open::beside(database, ".lock");
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => LockError::FolderMissing(database.to_owned()),
            _ => LockError::Failed {
                path: path.clone(),
                source,
            },
        };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken(database.to_owned())),
            Err(TryLockError::Error(source)) => Err(failed(source)),
        }
    }
}
