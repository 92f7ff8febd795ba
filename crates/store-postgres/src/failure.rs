//! The error of a job or a query inside this backend, apart from the store's public error.

use std::io;
use std::sync::Arc;

use deadpool_postgres::PoolError;
use jeton_journal::InvalidId;
use tokio_postgres::error::SqlState;

use jeton_store::StoreError;

/// The reason why a job or a query failed. Cloned for every job of a failed batch.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    /// PostgreSQL returned an error, or the connection broke.
    #[error("PostgreSQL failed")]
    Postgres(#[source] Arc<tokio_postgres::Error>),
    /// No connection could be had.
    #[error("PostgreSQL cannot be reached")]
    Pool(#[source] Arc<PoolError>),
    /// The server has committed, and a second machine may not have it.
    #[error("PostgreSQL has ended the wait for the synchronous standby")]
    Unreplicated,
    /// The server did not answer in time.
    #[error("PostgreSQL does not answer")]
    Late,
    /// A column holds what this version cannot read.
    #[error("column {0} of a row cannot be read")]
    Value(usize),
    /// An order names something that was never in this database.
    #[error("the write refers to {0} that does not exist in the database")]
    Unknown(&'static str),
    /// The journal could not be written, so that no token was revoked.
    #[error("the journal of revocations cannot be written")]
    Journal(#[source] Arc<io::Error>),
    /// The database does not have what was committed to it.
    #[error("the database has lost history that this server has")]
    HistoryLost,
    /// A later version has changed the schema, and excluded servers of this one.
    #[error("a newer version of jeton has changed the database, and this one can no longer serve it")]
    Excluded,
    /// A state that only a bug of the caller or of this crate can cause.
    #[error("{0}")]
    Impossible(&'static str),
    /// A job panicked; the panic's message is on standard error.
    #[error("a database job panicked")]
    Panicked,
    /// The writer has stopped.
    #[error("the database writer has stopped")]
    Stopped,
}

impl Failure {
    /// Returns whether the transaction as a whole is lost, and its connection with it: during a commit, whether it was
    /// committed is then unknown. Otherwise a statement has failed, and the transaction is undone.
    pub(super) fn is_of_connection(&self) -> bool {
        match self {
            // Connection exceptions, insufficient resources, operator intervention, system and internal errors.
            Self::Postgres(error) => error.code().is_none_or(|code| {
                ["08", "53", "57", "58", "XX"].contains(&code.code().get(..2).unwrap_or("08"))
            }),
            Self::Pool(_) | Self::Unreplicated | Self::Late | Self::Panicked => true,
            Self::Value(_)
            | Self::Unknown(_)
            | Self::Journal(_)
            | Self::HistoryLost
            | Self::Excluded
            | Self::Impossible(_)
            | Self::Stopped => false,
        }
    }

    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Postgres(error) => error.code(),
            _ => None,
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(Arc::new(error))
    }
}

impl From<PoolError> for Failure {
    fn from(error: PoolError) -> Self {
        Self::Pool(Arc::new(error))
    }
}

impl From<InvalidId> for Failure {
    fn from(_: InvalidId) -> Self {
        Self::Impossible("the journal contains an invalid id")
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        if matches!(&failure, Failure::Pool(error) if matches!(**error, PoolError::Timeout(_))) {
            return Self::Busy;
        }
        match failure.code() {
            // Only the budget of a read cancels.
            Some(&SqlState::QUERY_CANCELED) => Self::TooCostly,
            Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED) => Self::Busy,
            _ => Self::Failed(Box::new(failure)),
        }
    }
}
