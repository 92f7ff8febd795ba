//! One server a file.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The right to serve from a database, until it is dropped.
///
/// Two servers would each keep their own rate limits, caches and streams and believe themselves
/// alone. A command beside a running server takes no such lock; SQLite keeps their writes apart.
#[derive(Debug)]
pub struct ServeLock {
    _file: File,
}

/// Why a server cannot have the database for itself.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another server has it.
    #[error("another server is running on the database {}", .0.display())]
    Taken(PathBuf),
    /// There is no place for either.
    #[error("the folder of the database {} does not exist: create it first", .0.display())]
    FolderMissing(PathBuf),
    /// The lock's file cannot be made or locked.
    #[error("cannot lock the file {}", path.display())]
    Failed {
        /// The lock's file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ServeLock {
    /// Takes the lock beside the database. It goes with the process, however that ends.
    pub fn acquire(database: &Path) -> Result<Self, LockError> {
        let mut path = database.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
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
