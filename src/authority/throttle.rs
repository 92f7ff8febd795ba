//! Login throttling: delays password guessing without locking users out.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use jeton_core::network::Network;

/// A back-off for logins: after some failures each further attempt must wait, longer each time. No account
/// is ever locked.
///
/// Three counters count a failure, and an attempt waits for the longest of their delays:
///
/// | counter | free failures | longest delay | attack |
/// |---|---|---|---|
/// | account and network | 5 | 15 minutes | one client guesses one user's password |
/// | network | 50 | 15 minutes | one client tries one password on many users |
/// | account | 50 | 1 minute | many clients guess one user's password |
///
/// After the free failures the delays are 1, 3, 5, 10, 30 seconds and 1, 5, 15 minutes, up to the longest
/// of the row. A day without a failure resets a counter. A refused attempt is not counted, so that early
/// retries do not extend the delay.
///
/// **An attacker cannot lock a user out.** From a network with a successful login to the account in the
/// last 30 days, only the counter of account and network applies. From a new network, a user waits at most
/// a minute for failures of other networks, then competes with them for the next attempt; they wait longer
/// only if an attacker shares their network. All counters are in memory: a restart resets them.
///
/// A success resets the counter of its account and network and no other. Otherwise an attacker could reset
/// the counter of a network with logins to an account of their own.
///
/// Parallel guesses gain nothing: an attempt counts like a failure until it ends. Five logins to one
/// account can run at once from one network; the next must wait for a second.
///
/// Addresses are counted by [`Network`].
#[derive(Debug, Default)]
pub struct Throttle(Mutex<State>);

/// Permission to check one password. Dropping it counts as a failure: a client that disconnects, or a code
/// path without a result, must not give free guesses.
#[derive(Debug)]
#[must_use = "an attempt that is dropped counts as a failed login"]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    pair: (Account, Network),
    began: Duration,
    outcome: Outcome,
}

/// The error of an attempt before the end of a delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed logins; try again in {retry_after} s")]
pub struct Throttled {
    /// Seconds until the next attempt is allowed, from 1 to 900.
    pub retry_after: u32,
}

impl Throttle {
    /// The maximum number of counters, and of networks with a login. A full map drops its oldest tenth.
    pub const CAPACITY: usize = 65_536;

    /// Begins an attempt to check a password of `account`, or returns the delay. `account` must be in
    /// canonical form, since every other spelling would allow another five guesses. It need not exist.
    pub fn attempt(&self, account: &str, address: IpAddr, now: Duration) -> Result<Attempt<'_>, Throttled> {
        let pair = (Account::of(account), Network::of(address));
        self.state().begin(pair, now)?;
        Ok(Attempt {
            throttle: self,
            pair,
            began: now,
            outcome: Outcome::Failure,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock leaves the counters valid, so a poisoned lock can be used.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// Ends the attempt: the password was right.
    pub fn succeeded(mut self) {
        self.outcome = Outcome::Success;
    }

    /// Ends the attempt without counting it: the password was not checked (the store or the server was busy).
    pub fn abandoned(mut self) {
        self.outcome = Outcome::None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.throttle.state().end(self.pair, self.outcome, self.began);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure,
    None,
}

/// The digest of an account's name, so that long names do not take more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Account([u8; digest::SHA256_OUTPUT_LEN]);

impl Account {
    fn of(name: &str) -> Self {
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, name.as_bytes()).as_ref());
        Self(bytes)
    }
}

/// The key of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Pair(Account, Network),
    Network(Network),
    Account(Account),
}

/// The delays in seconds after each failure beyond the free ones.
const DELAYS: [u32; 8] = [1, 3, 5, 10, 30, 60, 300, 900];
const DAY: Duration = Duration::from_hours(24);
/// How long a login makes its network a known one, in seconds.
const KNOWN_FOR: Duration = Duration::from_hours(24 * 30);

impl Key {
    const fn free_failures(self) -> u32 {
        match self {
            Self::Pair(..) => 5,
            Self::Network(_) | Self::Account(_) => 50,
        }
    }

    const fn longest_delay(self) -> u32 {
        match self {
            Self::Pair(..) | Self::Network(_) => 900,
            Self::Account(_) => 60,
        }
    }

    /// Returns the delay in seconds after a number of failures.
    fn delay(self, failures: u32) -> u32 {
        let Some(beyond) = failures.checked_sub(self.free_failures()) else {
            return 0;
        };
        let step = usize::try_from(beyond).unwrap_or(usize::MAX);
        DELAYS
            .get(step)
            .copied()
            .unwrap_or(u32::MAX)
            .min(self.longest_delay())
    }
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    /// Attempts in progress.
    pending: u32,
    /// The time of the last failure, or of the first attempt if there was no failure.
    last: Duration,
}

impl Count {
    fn reset_if_old(&mut self, now: Duration) {
        if self.last + DAY <= now {
            self.failures = 0;
        }
    }

    /// Returns the seconds until this counter allows an attempt.
    fn wait(&self, key: Key, now: Duration) -> u32 {
        let until = self.last + Duration::from_secs(key.delay(self.failures).into());
        let left = until.saturating_sub(now);
        if !left.is_zero() {
            return u32::try_from(left.as_millis().div_ceil(1000)).unwrap_or(key.longest_delay());
        }
        // Once the free failures are used up, counting attempts in progress, attempts run one at a time.
        let one_too_many =
            self.pending > 0 && self.failures.saturating_add(self.pending) >= key.free_failures();
        u32::from(one_too_many)
    }
}

#[derive(Debug, Default)]
struct State {
    counts: HashMap<Key, Count>,
    /// The time of the last successful login by account and network. Apart from the counters, so that a
    /// flood of failures cannot evict it.
    known: HashMap<(Account, Network), Duration>,
}

impl State {
    fn begin(&mut self, pair: (Account, Network), now: Duration) -> Result<(), Throttled> {
        let retry_after = self
            .applicable_keys(pair, now)
            .into_iter()
            .flatten()
            .filter_map(|key| {
                let count = self.counts.get_mut(&key)?;
                count.reset_if_old(now);
                Some(count.wait(key, now))
            })
            .max()
            .unwrap_or(0);
        if retry_after > 0 {
            return Err(Throttled { retry_after });
        }
        for key in keys(pair) {
            self.count(key, now).pending += 1;
        }
        Ok(())
    }

    fn end(&mut self, pair: (Account, Network), outcome: Outcome, began: Duration) {
        for key in keys(pair) {
            let count = self.count(key, began);
            count.pending = count.pending.saturating_sub(1);
            match outcome {
                Outcome::Failure => {
                    count.failures = count.failures.saturating_add(1);
                    count.last = count.last.max(began);
                }
                Outcome::Success if matches!(key, Key::Pair(..)) => count.failures = 0,
                Outcome::Success | Outcome::None => {}
            }
            if count.failures == 0 && count.pending == 0 {
                self.counts.remove(&key);
            }
        }
        if outcome == Outcome::Success {
            if !self.known.contains_key(&pair) {
                evict_oldest(&mut self.known, |at| *at);
            }
            self.known.insert(pair, began);
        }
    }

    /// Returns the keys whose delays apply: for a network with a recent login, only the pair.
    fn applicable_keys(&self, pair: (Account, Network), now: Duration) -> [Option<Key>; 3] {
        let known = self.known.get(&pair).is_some_and(|at| now < *at + KNOWN_FOR);
        keys(pair).map(|key| (!known || matches!(key, Key::Pair(..))).then_some(key))
    }

    fn count(&mut self, key: Key, now: Duration) -> &mut Count {
        if !self.counts.contains_key(&key) {
            evict_oldest(&mut self.counts, |count| count.last);
        }
        self.counts.entry(key).or_insert(Count {
            failures: 0,
            pending: 0,
            last: now,
        })
    }
}

fn keys((account, network): (Account, Network)) -> [Key; 3] {
    [
        Key::Pair(account, network),
        Key::Network(network),
        Key::Account(account),
    ]
}

/// Drops the oldest tenth of a full map. Finding the oldest entry needs a scan of the map, so dropping many
/// at once needs a scan only once in thousands of insertions.
fn evict_oldest<K: Eq + Hash, V>(map: &mut HashMap<K, V>, age: impl Fn(&V) -> Duration) {
    if map.len() < Throttle::CAPACITY {
        return;
    }
    let mut ages: Vec<_> = map.values().map(&age).collect();
    let (older, newest_dropped, _) = ages.select_nth_unstable(Throttle::CAPACITY / 10);
    let newest_dropped = *newest_dropped;
    // Drops all older entries, and of those with the same time only as many as necessary.
    let mut ties_to_drop = 1 + older.iter().filter(|age| **age == newest_dropped).count();
    map.retain(|_, value| {
        let age = age(value);
        let is_dropped_tie = age == newest_dropped && ties_to_drop > 0;
        ties_to_drop -= usize::from(is_dropped_tie);
        age > newest_dropped || (age == newest_dropped && !is_dropped_tie)
    });
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1_000 + seconds)
    }

    /// Returns an address in one of many networks.
    fn stranger(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0A00_0000 + number))
    }

    fn fail(throttle: &Throttle, account: &str, address: IpAddr, now: Duration) -> Result<(), u32> {
        match throttle.attempt(account, address, now) {
            Ok(attempt) => {
                drop(attempt);
                Ok(())
            }
            Err(Throttled { retry_after }) => Err(retry_after),
        }
    }

    fn succeed(throttle: &Throttle, account: &str, address: IpAddr, now: Duration) -> Result<(), Throttled> {
        throttle.attempt(account, address, now).map(Attempt::succeeded)
    }

    #[test]
    fn five_failures_are_free_and_then_the_wait_grows_to_a_quarter_of_an_hour() {
        let throttle = Throttle::default();
        let mut now = 0;
        for _ in 0..5 {
            assert_eq!(fail(&throttle, "a", HOME, at(now)), Ok(()));
        }
        for delay in [1, 3, 5, 10, 30, 60, 300, 900, 900, 900] {
            assert_eq!(fail(&throttle, "a", HOME, at(now)), Err(delay));
            now += u64::from(delay) - 1;
            assert_eq!(
                fail(&throttle, "a", HOME, at(now)),
                Err(1),
                "refused attempts do not extend the delay"
            );
            now += 1;
            assert_eq!(fail(&throttle, "a", HOME, at(now)), Ok(()), "after {delay} s");
        }
        assert_eq!(
            fail(&throttle, "b", HOME, at(now)),
            Ok(()),
            "another account is free"
        );
        assert_eq!(fail(&throttle, "a", HOME, at(now + DAY.as_secs())), Ok(()));
        assert_eq!(
            fail(&throttle, "a", HOME, at(now + DAY.as_secs())),
            Ok(()),
            "a day without a failure resets the counter"
        );
    }

    #[test]
    fn a_success_clears_its_own_count_and_an_abandoned_attempt_changes_none() {
        let throttle = Throttle::default();
        for _ in 0..4 {
            assert_eq!(fail(&throttle, "a", HOME, at(0)), Ok(()));
        }
        for _ in 0..20 {
            throttle.attempt("a", HOME, at(0)).unwrap().abandoned();
        }
        assert_eq!(succeed(&throttle, "a", HOME, at(0)), Ok(()));
        for _ in 0..5 {
            assert_eq!(fail(&throttle, "a", HOME, at(0)), Ok(()));
        }
        assert_eq!(fail(&throttle, "a", HOME, at(0)), Err(1));
    }

    #[test]
    fn a_login_to_another_account_does_not_reset_the_network() {
        let throttle = Throttle::default();
        for victim in 0..50 {
            assert_eq!(fail(&throttle, &format!("victim{victim}"), HOME, at(0)), Ok(()));
            if victim < 49 {
                assert_eq!(succeed(&throttle, "mine", HOME, at(0)), Ok(()));
            }
        }
        assert_eq!(fail(&throttle, "victim50", HOME, at(0)), Err(1));
        assert_eq!(
            fail(&throttle, "victim50", stranger(1), at(0)),
            Ok(()),
            "another network is free"
        );
        assert_eq!(
            succeed(&throttle, "mine", HOME, at(0)),
            Ok(()),
            "a login from a known network is free"
        );
    }

    #[test]
    fn many_networks_do_not_lock_a_user_out() {
        let throttle = Throttle::default();
        assert_eq!(succeed(&throttle, "a", HOME, at(0)), Ok(()));
        let mut refused = 0;
        for number in 0..200 {
            match fail(&throttle, "a", stranger(number), at(1)) {
                Ok(()) => {}
                Err(wait) => {
                    refused += 1;
                    assert!(wait <= 60, "{wait}");
                }
            }
        }
        assert_eq!(refused, 150, "fifty guesses are free");
        assert_eq!(succeed(&throttle, "a", HOME, at(1)), Ok(()), "a known network");
        assert!(
            succeed(&throttle, "a", stranger(1000), at(1)).is_err(),
            "a new one waits"
        );
        assert_eq!(
            succeed(&throttle, "a", stranger(1000), at(61)),
            Ok(()),
            "at most a minute"
        );
        assert!(fail(&throttle, "a", HOME, at(1 + 31 * DAY.as_secs())).is_ok());
    }

    #[test]
    fn parallel_guesses_gain_nothing() {
        let throttle = Throttle::default();
        let in_progress: Vec<_> = (0..100)
            .filter_map(|_| throttle.attempt("a", HOME, at(0)).ok())
            .collect();
        assert_eq!(in_progress.len(), 5);
        drop(in_progress);
        assert_eq!(fail(&throttle, "a", HOME, at(0)), Err(1));

        let one = throttle.attempt("a", HOME, at(1)).unwrap();
        assert!(throttle.attempt("a", HOME, at(1)).is_err(), "then one at a time");
        one.succeeded();
        assert!(throttle.attempt("a", HOME, at(1)).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let throttle = Throttle::default();
        for number in 0..100_000_u32 {
            let account = number.to_string();
            let now = at(u64::from(number) / 1000);
            let _ = fail(&throttle, &account, stranger(number), now);
            let _ = succeed(&throttle, &account, stranger(number), now);
        }
        let state = throttle.state();
        assert!(state.counts.len() <= Throttle::CAPACITY, "{}", state.counts.len());
        assert!(
            state.counts.len() > Throttle::CAPACITY / 2,
            "{}",
            state.counts.len()
        );
        assert!(state.known.len() <= Throttle::CAPACITY, "{}", state.known.len());
        assert!(
            state.known.len() > Throttle::CAPACITY / 2,
            "{}",
            state.known.len()
        );
        let key = |number: u32| (Account::of(&number.to_string()), Network::of(stranger(number)));
        // All entries of one second are dropped before any of the next.
        let oldest = state.known.values().min().copied().unwrap();
        assert!((1..100_000).all(|number| {
            let is_known = state.known.contains_key(&key(number));
            let at = at(u64::from(number) / 1000);
            at == oldest || is_known == (at > oldest)
        }));
        assert!(!state.known.contains_key(&key(0)));
    }

    #[test]
    fn a_successful_login_leaves_no_counter() {
        let throttle = Throttle::default();
        assert_eq!(succeed(&throttle, "a", HOME, at(0)), Ok(()));
        assert!(throttle.state().counts.is_empty());
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_longest_and_waiting_helps(
            steps in proptest::collection::vec((0..3_u8, 0..3_u32, 0..3_u8, 0..4_000_u64), 1..400),
        ) {
            let throttle = Throttle::default();
            let mut now = 1_000_000;
            for (account, network, outcome, step) in steps {
                now += step;
                let account = account.to_string();
                match throttle.attempt(&account, stranger(network), at(now)) {
                    Ok(attempt) => match outcome {
                        0 => attempt.succeeded(),
                        1 => attempt.abandoned(),
                        _ => drop(attempt),
                    },
                    Err(Throttled { retry_after }) => {
                        prop_assert!((1..=900).contains(&retry_after));
                        now += u64::from(retry_after);
                        let attempt = throttle.attempt(&account, stranger(network), at(now));
                        prop_assert!(attempt.is_ok(), "{:?} after {} s", attempt, retry_after);
                        attempt.unwrap().abandoned();
                    }
                }
            }
        }
    }
}
