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
    /// The lease has ended: revocations by other servers may be missing.
    LeaseEnded,
    /// The private key of the signing key is missing.
    SigningKeyMissing,
    /// The store cannot be read or does not accept writes.
    DatabaseUnavailable,
    /// The system clock is this long behind the latest recorded instant: nothing is issued.
    ClockBehind(Duration),
    /// The clock differs from the store's by more than a second.
    ClockDiffers,
}

/// What a server should be ready for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadyFor {
    /// Every request.
    #[default]
    All,
    /// Requests that only verify tokens.
    Verify,
}

impl Unready {
    /// Returns the reason for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Forked => "the database was replaced by an older copy or has lost commits",
            Self::IndexIncomplete => "the revocation index is not complete",
            Self::LeaseEnded => {
                "the database does not answer, so that revocations by other servers may be missing"
            }
            Self::SigningKeyMissing => "the private key of the signing key is missing",
            Self::DatabaseUnavailable => "the database does not accept writes",
            Self::ClockBehind(_) => {
                "the clock is behind the latest recorded instant, and nothing is issued: correct it, or lower that \
                 instant with `jeton clock accept`"
            }
            Self::ClockDiffers => "the clock differs from that of the database by more than a second",
        }
    }

    /// Returns the reason for programs. It never changes.
    pub fn code(self) -> &'static str {
        match self {
            Self::Forked => "forked",
            Self::IndexIncomplete => "index_incomplete",
            Self::LeaseEnded => "lease_ended",
            Self::SigningKeyMissing => "signing_key_missing",
            Self::DatabaseUnavailable => "database_unavailable",
            Self::ClockBehind(_) => "clock_behind",
            Self::ClockDiffers => "clock_differs",
        }
    }
}

impl Authority {
    /// Returns why the server is not ready; `None` if it is.
    pub async fn unready(&self, purpose: ReadyFor) -> Option<Unready> {
        if self.has_forked() {
            return Some(Unready::Forked);
        }
        if !self.index.is_current() {
            return Some(Unready::LeaseEnded);
        }
        if !self.index.is_ready() {
            return Some(Unready::IndexIncomplete);
        }
        // A database that accepts no writes for a moment must not take all servers out at once.
        if purpose == ReadyFor::Verify {
            return None;
        }
        if self.keys.signing_kid().is_err() {
            return Some(Unready::SigningKeyMissing);
        }
        if self.store.ready().await.is_err() {
            return Some(Unready::DatabaseUnavailable);
        }
        if self.clock.differs() {
            return Some(Unready::ClockDiffers);
        }
        self.clock.behind().map(Unready::ClockBehind)
    }

    /// Fails if nothing is issued since the system clock is behind the latest recorded instant, or differs from the
    /// store's.
    pub fn check_clock(&self) -> Result<()> {
        match self.clock.behind() {
            _ if self.clock.differs() => Err(Error::ClockDiffers),
            Some(behind) => Err(Error::ClockBehind(behind)),
            None => Ok(()),
        }
    }
}
