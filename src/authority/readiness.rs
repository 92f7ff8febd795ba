//! Readiness: whether this server can serve every request, and why not.

use std::time::Duration;

use crate::authority::{Authority, Error, Result};

/// The reason why a server is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unready {
    /// The history of the store does not continue the one that was followed.
    Forked,
    /// The revocation index was not built yet.
    IndexIncomplete,
    /// The private key of the signing key is missing.
    SigningKeyMissing,
    /// The store cannot be read or does not accept writes.
    DatabaseUnavailable,
    /// The system clock is this long behind the latest recorded instant: nothing is issued.
    ClockBehind(Duration),
}

impl Unready {
    /// Returns the reason for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Forked => "the database was replaced by an older copy or has lost commits",
            Self::IndexIncomplete => "the revocation index is not complete",
            Self::SigningKeyMissing => "the private key of the signing key is missing",
            Self::DatabaseUnavailable => "the database does not accept writes",
            Self::ClockBehind(_) => {
                "the clock is behind the latest recorded instant, and nothing is issued: correct it, or lower that \
                 instant with `jeton clock accept`"
            }
        }
    }

    /// Returns the reason for programs. It never changes.
    pub fn code(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::IndexIncomplete => "index_incomplete",
            Self::SigningKeyMissing => "signing_key_missing",
            Self::DatabaseUnavailable => "database_unavailable",
            Self::ClockBehind(_) => "clock_behind",
        }
    }
}

impl Authority {
    /// Returns why the server is not ready; `None` if it is.
    pub async fn unready(&self) -> Option<Unready> {
        if self.has_forked() {
            return Some(Unready::Forked);
        }
        if !self.index.is_ready() {
            return Some(Unready::IndexIncomplete);
        }
        if self.keys.signing_kid().is_err() {
            return Some(Unready::SigningKeyMissing);
        }
        if self.store.ready().await.is_err() {
            return Some(Unready::DatabaseUnavailable);
        }
        self.clock.behind().map(Unready::ClockBehind)
    }

    /// Fails if the system clock is behind the latest recorded instant.
    pub fn check_clock(&self) -> Result<()> {
        match self.clock.behind() {
            Some(behind) => Err(Error::ClockBehind(behind)),
            None => Ok(()),
        }
    }
}
