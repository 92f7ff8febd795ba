//! The clocks of this machine, and how old something is by both.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Returns the time of the system clock, in milliseconds since the Unix epoch.
#[expect(
    clippy::disallowed_methods,
    reason = "the only place where the client reads the system clock"
)]
pub(super) fn now_ms() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(_) => 0,
    }
}

/// An instant at which something was true, by the authority's clock, and when this machine received it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TrueAt {
    /// In milliseconds since the Unix epoch, by the authority's clock.
    pub(super) time: i64,
    received: Instant,
    age_at_receipt: Duration,
}

impl TrueAt {
    /// Returns the instant for something that is received now. `now` is not before any time that the authority told.
    pub(super) fn received(time: i64, now: i64) -> Self {
        Self {
            time,
            received: Instant::now(),
            age_at_receipt: millis(now.saturating_sub(time)),
        }
    }

    /// Returns how old it is: by the monotonic clock, which no step of the system clock makes younger, or by the
    /// system clock if that says more, since the monotonic one stands still while a machine is suspended.
    pub(super) fn age(&self, now: i64) -> Duration {
        let monotonic = self.age_at_receipt.saturating_add(self.received.elapsed());
        monotonic.max(millis(now.saturating_sub(self.time)))
    }
}

/// The clock of this machine, which no step back since the start makes earlier.
#[derive(Debug)]
pub(super) struct OwnClock {
    started: i64,
    at: Instant,
}

impl OwnClock {
    pub(super) fn start() -> Self {
        Self {
            started: now_ms(),
            at: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> i64 {
        now_ms().max(passed(self.started, self.at))
    }
}

/// Returns the time that passed since an instant, added to a time in milliseconds.
fn passed(time: i64, since: Instant) -> i64 {
    let elapsed = i64::try_from(since.elapsed().as_millis()).unwrap_or(i64::MAX);
    time.saturating_add(elapsed)
}

impl TrueAt {
    /// Returns whether something true at an earlier time is to be believed instead: this lies in the future, and so the
    /// authority's clock was ahead, and is right again. `own` is the time of this machine.
    pub(super) fn is_undone_by(&self, time: i64, own: i64) -> bool {
        self.time > own && time <= own
    }

    /// Returns what the authority's clock shows now at least.
    pub(super) fn now(&self) -> i64 {
        passed(self.time, self.received)
    }
}

fn millis(difference: i64) -> Duration {
    Duration::from_millis(u64::try_from(difference).unwrap_or(0))
}
