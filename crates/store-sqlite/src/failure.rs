//! The error of a job or a query inside this backend, apart from the store's public error.

use std::sync::Arc;

use jeton_journal::InvalidId;
use rusqlite::ErrorCode;

use jeton_store::StoreError;

/// The reason why a job or a query failed. Cloned for every job of a failed batch.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    /// SQLite returned an error.
    #[error("SQLite failed")]
    Sqlite(#[source] Arc<rusqlite::Error>),
    /// An order names something that was never in this database.
    #[error("the write refers to {0} that does not exist in the database")]
    Unknown(&'static str),
    /// A state that only a bug of the caller or of this crate can cause.
    #[error("{0}")]
    Impossible(&'static str),
    /// The journal could not be written, so that no token was revoked.
    #[error("the journal of revocations cannot be written")]
    Journal(#[source] Arc<std::io::Error>),
    /// The WAL left by the previous process could not be rewritten.
    #[error("the WAL cannot be written")]
    Wal(#[source] Arc<std::io::Error>),
    /// The records of revoked tokens are not those that were revoked.
    #[error("the records of revoked tokens are damaged: restore a backup with `jeton restore`")]
    Damaged,
    /// A job panicked; the panic's message is on standard error.
    #[error("a database job panicked")]
    Panicked,
    /// The writer has stopped.
    #[error("the database writer has stopped")]
    Stopped,
}

impl Failure {
    /// Returns whether this process can no longer trust its view of the file.
    ///
    /// After a failed sync the kernel may have dropped the pages that were not written, and report success for
    /// the next sync.
    pub(super) fn is_fatal(&self) -> bool {
        match self {
            Self::Journal(error) | Self::Wal(error) => {
                error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
            }
            _ => matches!(
                self.code(),
                Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
        }
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Unknown(_)
            | Self::Impossible(_)
            | Self::Journal(_)
            | Self::Wal(_)
            | Self::Damaged
            | Self::Panicked
            | Self::Stopped => None,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Journal(Arc::new(error))
    }
}

impl From<InvalidId> for Failure {
    fn from(_: InvalidId) -> Self {
        Self::Impossible("the journal contains an invalid id")
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure.code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            // Only the budget of a list interrupts.
            Some(ErrorCode::OperationInterrupted) => Self::TooCostly,
            _ => Self::Failed(Box::new(failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_full_disk_is_no_broken_one() {
        for (error, is_fatal) in [(Errno::NOSPC, false), (Errno::DQUOT, false), (Errno::IO, true)] {
            let failure = Failure::from(std::io::Error::from(error));
            assert_eq!(failure.is_fatal(), is_fatal, "{error}");
        }
    }
}
