//! The deployment's clock: time that never goes back, and time that can be relied on.
//!
//! A system clock may be set back, or leap ahead and come back. Going back, it would make revoked tokens active
//! again; leaping ahead, it would delete what is not old yet. So an instant that was read or recorded is never
//! gone back behind, and nothing is deleted by an instant that the clock has not shown for an hour.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Timestamp};

/// How far the system clock may be behind the latest known instant, in milliseconds, before nothing is issued:
/// a clock that is adjusted steps by less.
const TOLERANCE: i64 = 1_000;

/// How far the system clock may be from that of a store that other machines write too.
pub const SKEW: Duration = Duration::from_millis(1_000);

/// How long the clock must show a time, or a later one, before data are deleted by it.
const PROBATION: Duration = Duration::from_hours(1);

/// How long before documents are dated by it that others compare with their own clocks. They would take a date of a
/// leap for newer than every later one.
const DATING_PROBATION: Duration = Duration::from_mins(1);

/// The time in a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordedTime {
    /// The latest instant of an order.
    pub latest: Timestamp,
    /// The latest instant that was recorded as settled; [`Timestamp::EPOCH`] if none was.
    pub settled: Timestamp,
}

/// Time as a deployment knows it.
pub struct DeploymentClock {
    system: Arc<dyn Clock>,
    /// The latest instant that was read or recorded, in milliseconds.
    latest: AtomicI64,
    /// For deletions.
    readings: Mutex<Readings>,
    /// For dates: without what a former process has recorded.
    recent: Mutex<Readings>,
    /// The clock of a store that other machines write too; `None` until it was asked.
    store: Mutex<Option<StoreClock>>,
}

/// How far another clock is ahead of the uptime, in milliseconds: at least and at most.
#[derive(Debug, Clone, Copy)]
struct StoreClock {
    least: i64,
    most: i64,
}

impl std::fmt::Debug for DeploymentClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeploymentClock")
            .field("latest", &self.latest)
            .finish_non_exhaustive()
    }
}

impl DeploymentClock {
    /// Returns a clock of a deployment whose recorded time is not known yet.
    pub fn new(system: Arc<dyn Clock>) -> Self {
        Self {
            system,
            latest: AtomicI64::new(0),
            readings: Mutex::default(),
            recent: Mutex::default(),
            store: Mutex::default(),
        }
    }

    /// Takes over what the clock of the store showed between an uptime and now.
    pub fn compare(&self, asked_at: Duration, shown: Timestamp) {
        let lead = |uptime| shown.millis().saturating_sub(whole_millis(uptime));
        let store = StoreClock {
            least: lead(self.system.uptime()),
            most: lead(asked_at),
        };
        *lock(&self.store) = Some(store);
    }

    /// Returns whether the system clock differs from the store's by more than [`SKEW`]. What is written then would have a
    /// wrong time for other machines. A clock that is set is noticed at once, by the uptime since the last comparison.
    pub fn differs(&self) -> bool {
        let Some(StoreClock { least, most }) = *lock(&self.store) else {
            return false;
        };
        let lead = self.system.now().millis() - whole_millis(self.system.uptime());
        let skew = whole_millis(SKEW);
        lead < least.saturating_sub(skew) || lead > most.saturating_add(skew)
    }

    /// Takes over the time that a store has recorded.
    pub fn resume(&self, recorded: RecordedTime) {
        self.raise(recorded.latest);
        if recorded.settled > Timestamp::EPOCH {
            let uptime = self.system.uptime();
            lock(&self.readings).add(uptime, recorded.settled, PROBATION);
        }
    }

    /// Takes over an instant that another process has recorded.
    pub fn raise(&self, recorded: Timestamp) {
        self.latest.fetch_max(recorded.millis(), Ordering::AcqRel);
    }

    /// Returns the current instant, or the latest that was read or recorded if the system clock is behind it.
    /// Read once an operation and passed down.
    pub fn now(&self) -> Timestamp {
        let read = self.system.now();
        let latest = self.latest.load(Ordering::Acquire);
        if read.millis() > latest {
            self.raise(read);
            return read;
        }
        Timestamp::from_millis(latest).unwrap_or(read)
    }

    /// Returns the instant for documents that others compare with their own clocks: what the system clock shows, unless
    /// it was set ahead within the last minute.
    pub fn shown(&self) -> Timestamp {
        let (now, uptime) = (self.system.now(), self.system.uptime());
        lock(&self.recent).add(uptime, now, DATING_PROBATION)
    }

    /// Returns the time since a fixed instant, by a clock that nobody sets: for waits and pauses.
    pub fn uptime(&self) -> Duration {
        self.system.uptime()
    }

    /// Returns how long the system clock needs to reach the latest known instant, if that is longer than an
    /// adjusted clock explains. Meanwhile nothing may be issued.
    pub fn behind(&self) -> Option<Duration> {
        let behind = self.latest.load(Ordering::Acquire) - self.system.now().millis();
        let millis = u64::try_from(behind).ok().filter(|_| behind > TOLERANCE)?;
        Some(Duration::from_millis(millis))
    }

    /// Returns the latest instant that the system clock has shown, or gone past, for an hour: the current
    /// instant unless the clock was set ahead since. Data are deleted by this time.
    pub fn settled(&self) -> Timestamp {
        let (now, uptime) = (self.system.now(), self.system.uptime());
        lock(&self.readings).add(uptime, now, PROBATION)
    }
}

fn lock<T>(state: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn whole_millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// How far the clock was ahead of the uptime, in milliseconds, and at which uptime that began: the leads of a
/// probation that no later reading falls below, in ascending order.
#[derive(Debug, Default)]
struct Readings(VecDeque<(Duration, i64)>);

impl Readings {
    /// Adds a reading, and returns the instant by the smallest lead of the probation.
    fn add(&mut self, uptime: Duration, now: Timestamp, probation: Duration) -> Timestamp {
        let up = whole_millis(uptime);
        let lead = now.millis().saturating_sub(up);
        while self.0.back().is_some_and(|(_, known)| *known > lead) {
            self.0.pop_back();
        }
        if self.0.back().is_none_or(|(_, known)| *known < lead) {
            self.0.push_back((uptime, lead));
        }
        // A lead counts until the next one began.
        while self.0.get(1).is_some_and(|(next, _)| *next + probation <= uptime) {
            self.0.pop_front();
        }
        let smallest = self.0.front().map_or(lead, |(_, lead)| *lead);
        Timestamp::from_millis(smallest.saturating_add(up)).unwrap_or(Timestamp::EPOCH)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Hands {
        shown: AtomicI64,
        uptime: AtomicI64,
    }

    impl Hands {
        fn pass(&self, seconds: i64) {
            self.step(seconds);
            self.uptime.fetch_add(seconds, Ordering::SeqCst);
        }

        fn step(&self, seconds: i64) {
            self.step_millis(seconds * 1_000);
        }

        fn step_millis(&self, millis: i64) {
            self.shown.fetch_add(millis, Ordering::SeqCst);
        }
    }

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.shown.load(Ordering::SeqCst)).unwrap()
        }

        fn uptime(&self) -> Duration {
            Duration::from_secs(self.uptime.load(Ordering::SeqCst).unsigned_abs())
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    fn clock(start: i64) -> (Arc<Hands>, DeploymentClock) {
        let hands = Arc::new(Hands::default());
        hands.step(start);
        let clock = DeploymentClock::new(Arc::clone(&hands) as Arc<dyn Clock>);
        (hands, clock)
    }

    #[test]
    fn time_never_goes_back() {
        let (hands, clock) = clock(1_000);
        assert_eq!(clock.now(), at(1_000));
        assert_eq!(clock.behind(), None);
        hands.step(-5);
        assert_eq!(clock.now(), at(1_000));
        assert_eq!(clock.behind(), Some(Duration::from_secs(5)));
        hands.pass(4);
        assert_eq!(clock.behind(), None, "a second is no more than an adjustment");
        hands.pass(2);
        assert_eq!(clock.now(), at(1_001));
        clock.raise(at(2_000));
        assert_eq!(clock.now(), at(2_000));
        assert_eq!(clock.behind(), Some(Duration::from_secs(999)));
    }

    #[test]
    fn a_leap_counts_after_an_hour() {
        let (hands, clock) = clock(1_000);
        assert_eq!(clock.settled(), at(1_000));
        hands.pass(500);
        assert_eq!(clock.settled(), at(1_500));
        hands.step(1_000_000);
        assert_eq!(clock.settled(), at(1_500));
        hands.pass(3_599);
        assert_eq!(clock.settled(), at(5_099));
        hands.pass(1);
        assert_eq!(clock.settled(), at(1_005_100));
    }

    #[test]
    fn a_leap_that_goes_back_never_counts() {
        let (hands, clock) = clock(1_000);
        clock.settled();
        for _ in 0..3 {
            hands.step(1_000_000);
            clock.settled();
            hands.pass(3_000);
            clock.settled();
            hands.step(-1_000_000);
            clock.settled();
            hands.pass(1_000);
        }
        assert_eq!(clock.settled(), at(13_000));
    }

    #[test]
    fn small_steps_add_up_to_a_leap() {
        let (hands, clock) = clock(1_000);
        clock.settled();
        for _ in 0..3_599 {
            hands.pass(1);
            hands.step(1);
            clock.settled();
        }
        assert_eq!(clock.settled(), at(4_599));
    }

    #[test]
    fn documents_are_dated_by_a_leap_after_a_minute_and_by_a_clock_that_was_set_back_at_once() {
        let (hands, clock) = clock(1_000);
        assert_eq!(clock.shown(), at(1_000));
        hands.pass(5);
        hands.step(3_600);
        assert_eq!(clock.shown(), at(1_005));
        hands.pass(59);
        assert_eq!(clock.shown(), at(1_064));
        hands.pass(1);
        assert_eq!(clock.shown(), at(4_665));
        hands.step(-3_600);
        assert_eq!(clock.shown(), at(1_065));
        // A leap that ends in time leaves no trace.
        hands.step(3_600);
        assert_eq!(clock.shown(), at(1_065));
        hands.pass(30);
        hands.step(-3_600);
        assert_eq!(clock.shown(), at(1_095));
        hands.pass(300);
        assert_eq!(clock.shown(), at(1_395));
    }

    #[test]
    fn a_clock_differs_from_the_stores_by_more_than_a_second() {
        let (hands, clock) = clock(1_000);
        assert!(!clock.differs(), "there is no other clock");
        let step = |millis| hands.step_millis(millis);
        let compared = |asked_at: u64, millis: i64| {
            clock.compare(
                Duration::from_secs(asked_at),
                Timestamp::from_millis(millis).unwrap(),
            );
            clock.differs()
        };
        assert!(!compared(0, 999_000));
        assert!(compared(0, 998_999));
        assert!(!compared(0, 1_001_000));
        assert!(compared(0, 1_001_001));
        // The answer took two seconds: the store's clock was read in one of them.
        hands.pass(2);
        assert!(!compared(0, 999_000));
        assert!(compared(0, 998_999));
        assert!(!compared(0, 1_003_000));
        assert!(compared(0, 1_003_001));
        // A clock that is set after the comparison.
        assert!(!compared(2, 1_002_000));
        hands.pass(3_600);
        assert!(!clock.differs());
        for ahead in [1_001, -1_001] {
            step(ahead);
            assert!(clock.differs());
            step(-ahead);
            assert!(!clock.differs());
        }
        assert_eq!(clock.now(), at(4_602), "comparing reads no time");
    }

    #[test]
    fn a_restart_keeps_the_hour() {
        let (hands, clock) = clock(1_000_000);
        clock.resume(RecordedTime {
            latest: at(999_990),
            settled: at(1_000),
        });
        assert_eq!(clock.now(), at(1_000_000));
        assert_eq!(clock.settled(), at(1_000));
        hands.pass(3_599);
        assert_eq!(clock.settled(), at(4_599));
        hands.pass(1);
        assert_eq!(clock.settled(), at(1_003_600));
    }
}
