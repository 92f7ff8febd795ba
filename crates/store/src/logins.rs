//! The contract for counters of failed logins that several servers share.

use async_trait::async_trait;

use crate::Result;
use jeton_core::clock::Timestamp;

/// The key of a counter: a digest of what is counted, so that a long name takes no more room.
pub type LoginKey = [u8; 32];

/// A counter of failed logins. Only its users know the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginCount {
    /// How many attempts have failed.
    pub failures: u32,
    /// How many attempts have begun and not ended.
    pub pending: u32,
    /// When the last of those that failed began.
    pub failed_at: Timestamp,
    /// When the last attempt began.
    pub begun_at: Timestamp,
    /// When the last attempt that succeeded began, if its user has noted that.
    pub succeeded_at: Option<Timestamp>,
}

impl LoginCount {
    /// A counter that counts nothing.
    pub const ZERO: Self = Self {
        failures: 0,
        pending: 0,
        failed_at: Timestamp::EPOCH,
        begun_at: Timestamp::EPOCH,
        succeeded_at: None,
    };
}

/// Changes counters, in the order of their keys.
pub type LoginChange<'a> = &'a mut (dyn FnMut(&mut [LoginCount]) + Send);

/// Counters that a backend for several servers keeps. They need not survive a crash of the database.
#[async_trait]
pub trait LoginCounts: Send + Sync {
    /// Reads counters and replaces them by what `change` makes of them: no other change of them comes in between. Calls it
    /// once. Unknown counters are [`LoginCount::ZERO`].
    ///
    /// # Errors
    ///
    /// Fails if the store does. It is then unknown whether they were replaced.
    async fn change_login_counts(&self, keys: &[LoginKey], change: LoginChange<'_>) -> Result<()>;

    /// Deletes counters without any event since an instant, and the oldest beyond a number: of those with a login that
    /// succeeded, and of those without one.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    async fn prune_login_counts(&self, since: Timestamp, most: usize) -> Result<()>;
}
