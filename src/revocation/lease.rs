//! For how long this process may answer for revocations without news of the others.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jeton_core::clock::Timestamp;
use jeton_core::deployment_clock::DeploymentClock;

/// A lease, which ends unless it is renewed. A new one never ends: a process that is alone needs none.
#[derive(Debug)]
pub(super) struct Lease {
    /// When it ends: by the time since the start, which nobody can set but which a suspended machine does not count, and
    /// by the wall clock. Whichever is sooner.
    uptime_millis: AtomicU64,
    wall_millis: AtomicI64,
}

/// An instant by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    uptime: Duration,
    wall: Timestamp,
}

impl Moment {
    pub(super) fn now(clock: &DeploymentClock) -> Self {
        Self {
            uptime: clock.uptime(),
            wall: clock.now(),
        }
    }
}

impl Default for Lease {
    fn default() -> Self {
        Self {
            uptime_millis: AtomicU64::new(u64::MAX),
            wall_millis: AtomicI64::new(i64::MAX),
        }
    }
}

impl Lease {
    /// Lets it end some time after a moment.
    pub(super) fn set(&self, from: Moment, lasts: Duration) {
        let lasts_millis = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let uptime = u64::try_from(from.uptime.as_millis()).unwrap_or(u64::MAX);
        let wall = i64::try_from(lasts_millis).unwrap_or(i64::MAX);
        self.wall_millis
            .store(from.wall.millis().saturating_add(wall), Ordering::Release);
        self.uptime_millis
            .store(uptime.saturating_add(lasts_millis), Ordering::Release);
    }

    /// Returns whether it has not ended.
    pub(super) fn is_held(&self, clock: &DeploymentClock) -> bool {
        let until = self.uptime_millis.load(Ordering::Acquire);
        // The clocks are read only if there is an end.
        until == u64::MAX
            || (clock.uptime().as_millis() < u128::from(until)
                && clock.now().millis() < self.wall_millis.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jeton_core::clock::Clock;

    use super::*;

    /// A machine's clocks, in seconds.
    #[derive(Default)]
    struct Machine {
        uptime: AtomicU64,
        wall: AtomicI64,
    }

    impl Machine {
        /// Lets time pass: by the uptime, and by the wall clock.
        fn pass(&self, uptime: u64, wall: i64) {
            self.uptime.fetch_add(uptime, Ordering::SeqCst);
            self.wall.fetch_add(wall, Ordering::SeqCst);
        }
    }

    impl Clock for Machine {
        fn now(&self) -> Timestamp {
            Timestamp::EPOCH.plus_seconds(self.wall.load(Ordering::SeqCst))
        }

        fn uptime(&self) -> Duration {
            Duration::from_secs(self.uptime.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn a_lease_ends_by_the_clock_that_is_further() {
        let machine = Arc::new(Machine::default());
        let clock = DeploymentClock::new(Arc::clone(&machine) as _);
        let lease = Lease::default();
        machine.pass(3_600, 3_600);
        assert!(lease.is_held(&clock), "it has no end");
        let five = Duration::from_secs(5);
        lease.set(Moment::now(&clock), five);
        machine.pass(4, 4);
        assert!(lease.is_held(&clock));
        machine.pass(1, 1);
        assert!(!lease.is_held(&clock));
        // The machine was suspended.
        lease.set(Moment::now(&clock), five);
        machine.pass(0, 5);
        assert!(!lease.is_held(&clock));
        // The wall clock was set back.
        lease.set(Moment::now(&clock), five);
        machine.pass(5, -3_600);
        assert!(!lease.is_held(&clock));
    }
}
