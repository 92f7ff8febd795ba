//! Slows down those who guess passwords, without shutting out those who know them.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest;

use jeton_core::clock::Timestamp;

/// A soft lock: after some failures each further attempt has to wait, longer each time, and nothing
/// is ever locked for good.
///
/// A failure counts in three places, and an attempt waits for the longest of their delays:
///
/// | counted per | free failures | longest delay | stops |
/// |---|---|---|---|
/// | account and network | 5 | 15 minutes | somebody who guesses one person's password |
/// | network | 50 | 15 minutes | somebody who tries one password on many people |
/// | account | 50 | 1 minute | many machines that guess one person's password |
///
/// After the free failures the delays are 1, 3, 5, 10, 30 seconds and 1, 5, 15 minutes, up to the
/// longest of the row. A day without a failure forgets them. An attempt that was turned away counts
/// nowhere, so that knocking on a closed door does not keep it closed.
///
/// **The owner is not shut out.** A network from which somebody logged in to this account within
/// thirty days is asked only for its own failures with this account, whatever goes on elsewhere. An
/// owner who comes from a network never seen waits at most a minute for the guesses of strangers, then
/// competes with them for the next attempt; and longer only where strangers share that network. All
/// of this is in memory: a restart forgives everyone.
///
/// A success clears the count of its account and network and no other: were the network's cleared
/// too, a guesser could wash it with an account of their own.
///
/// Guesses sent all at once gain nothing: an attempt under way counts like a failure until it ends,
/// so that a person can have five logins under way from one network, and the next waits a second.
///
/// A network is an IPv4 address or the first 64 bits of an IPv6 address, since whoever has one
/// address there has all of them.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Memory>);

/// Leave to check one password. Dropped without a word it counts as a failure, so that a guesser who
/// hangs up, and a path in the code that forgets, are on the safe side.
#[derive(Debug)]
#[must_use = "an attempt that is dropped counts as a failed login"]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    pair: (Account, Network),
    began: Timestamp,
    outcome: Outcome,
}

/// This attempt comes too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed logins; try again in {retry_after} s")]
pub struct Throttled {
    /// Whole seconds until an attempt can be let through: at least 1, at most 900.
    pub retry_after: u32,
}

impl Throttle {
    /// How many counts, and how many remembered logins, are kept. The oldest tenth goes when one more comes.
    pub const CAPACITY: usize = 65_536;

    /// Asks for leave to check a password of `account`, which is the canonical form of what was
    /// asked for, whether such a person exists or not: with another spelling a guesser would have
    /// another five guesses.
    pub fn attempt(&self, account: &str, address: IpAddr, now: Timestamp) -> Result<Attempt<'_>, Throttled> {
        let pair = (Account::of(account), Network::of(address));
        self.memory().begin(pair, now)?;
        Ok(Attempt {
            throttle: self,
            pair,
            began: now,
            outcome: Outcome::Failure,
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Every change under the lock leaves the counts usable, so a panic elsewhere is no reason to stop.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// The password was right.
    pub fn succeeded(mut self) {
        self.outcome = Outcome::Success;
    }

    /// Nothing was judged (the store did not answer, the server was busy): as if it had not been.
    pub fn abandoned(mut self) {
        self.outcome = Outcome::None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.throttle.memory().end(self.pair, self.outcome, self.began);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    Failure,
    None,
}

/// A digest of the account's name: of one size however long a name somebody sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Account([u8; digest::SHA256_OUTPUT_LEN]);

impl Account {
    fn of(name: &str) -> Self {
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, name.as_bytes()).as_ref());
        Self(bytes)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        // A socket that listens on both families shows IPv4 peers as ::ffff:a.b.c.d, all in one /64.
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        })
    }
}

/// What failures are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Pair(Account, Network),
    Network(Network),
    Account(Account),
}

/// Seconds to wait after each failure beyond the free ones.
const DELAYS: [u32; 8] = [1, 3, 5, 10, 30, 60, 300, 900];
const DAY: i64 = 86_400;
const KNOWN_FOR: i64 = 30 * DAY;

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

    /// Seconds to wait after so many failures.
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
    /// Attempts that have begun and not ended.
    pending: u32,
    /// When the last failure was, or the last attempt where there was none.
    last: Timestamp,
}

impl Count {
    fn forget_what_is_old(&mut self, now: Timestamp) {
        // After the clock was set back the rest of a delay would be as long as the step.
        self.last = self.last.min(now);
        if self.last.plus_seconds(DAY) <= now {
            self.failures = 0;
        }
    }

    /// Seconds until this count lets an attempt through.
    fn wait(&self, key: Key, now: Timestamp) -> u32 {
        let until = self.last.plus_seconds(key.delay(self.failures).into());
        let left = until.millis().saturating_sub(now.millis());
        if left > 0 {
            return u32::try_from(left.unsigned_abs().div_ceil(1000)).unwrap_or(key.longest_delay());
        }
        // Once the free failures are used up, or would be by those under way, it is one at a time.
        let one_too_many =
            self.pending > 0 && self.failures.saturating_add(self.pending) >= key.free_failures();
        u32::from(one_too_many)
    }
}

#[derive(Debug, Default)]
struct Memory {
    counts: HashMap<Key, Count>,
    /// When a password last was right, per account and network. Apart from the counts, so that no
    /// flood of failures can push it out.
    known: HashMap<(Account, Network), Timestamp>,
}

impl Memory {
    fn begin(&mut self, pair: (Account, Network), now: Timestamp) -> Result<(), Throttled> {
        let retry_after = self
            .keys_that_bind(pair, now)
            .into_iter()
            .flatten()
            .filter_map(|key| {
                let count = self.counts.get_mut(&key)?;
                count.forget_what_is_old(now);
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

    fn end(&mut self, pair: (Account, Network), outcome: Outcome, began: Timestamp) {
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
                make_room(&mut self.known, |at| *at);
            }
            self.known.insert(pair, began);
        }
    }

    /// A network that has shown that it knows the password answers for itself alone.
    fn keys_that_bind(&self, pair: (Account, Network), now: Timestamp) -> [Option<Key>; 3] {
        let known = self
            .known
            .get(&pair)
            .is_some_and(|at| now < at.plus_seconds(KNOWN_FOR));
        keys(pair).map(|key| (!known || matches!(key, Key::Pair(..))).then_some(key))
    }

    fn count(&mut self, key: Key, now: Timestamp) -> &mut Count {
        if !self.counts.contains_key(&key) {
            make_room(&mut self.counts, |count| count.last);
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

/// Drops the oldest tenth of a full map: finding the oldest costs a walk, and this way it is walked
/// once in thousands of insertions.
fn make_room<K: Eq + Hash, V>(map: &mut HashMap<K, V>, age: impl Fn(&V) -> Timestamp) {
    if map.len() < Throttle::CAPACITY {
        return;
    }
    let mut ages: Vec<_> = map.values().map(&age).collect();
    let (older, newest_to_go, _) = ages.select_nth_unstable(Throttle::CAPACITY / 10);
    let newest_to_go = *newest_to_go;
    // Of those of the last instant only as many go as must, after all that are older.
    let mut last_to_go = 1 + older.iter().filter(|age| **age == newest_to_go).count();
    map.retain(|_, value| {
        let age = age(value);
        let is_last_to_go = age == newest_to_go && last_to_go > 0;
        last_to_go -= usize::from(is_last_to_go);
        age > newest_to_go || (age == newest_to_go && !is_last_to_go)
    });
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_767_323_045 + seconds).unwrap()
    }

    /// The address of one of many networks.
    fn stranger(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0A00_0000 + number))
    }

    fn fail(throttle: &Throttle, account: &str, address: IpAddr, now: Timestamp) -> Result<(), u32> {
        match throttle.attempt(account, address, now) {
            Ok(attempt) => {
                drop(attempt);
                Ok(())
            }
            Err(Throttled { retry_after }) => Err(retry_after),
        }
    }

    fn succeed(throttle: &Throttle, account: &str, address: IpAddr, now: Timestamp) -> Result<(), Throttled> {
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
            now += i64::from(delay) - 1;
            assert_eq!(
                fail(&throttle, "a", HOME, at(now)),
                Err(1),
                "turned away attempts do not prolong"
            );
            now += 1;
            assert_eq!(fail(&throttle, "a", HOME, at(now)), Ok(()), "after {delay} s");
        }
        assert_eq!(
            fail(&throttle, "b", HOME, at(now)),
            Ok(()),
            "another account is free"
        );
        assert_eq!(fail(&throttle, "a", HOME, at(now + DAY)), Ok(()));
        assert_eq!(fail(&throttle, "a", HOME, at(now + DAY)), Ok(()), "a day forgets");
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
    fn an_account_of_ones_own_does_not_wash_the_network() {
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
            "who logged in here before is free"
        );
    }

    #[test]
    fn many_networks_do_not_shut_the_owner_out() {
        let throttle = Throttle::default();
        assert_eq!(succeed(&throttle, "a", HOME, at(0)), Ok(()));
        let mut turned_away = 0;
        for number in 0..200 {
            match fail(&throttle, "a", stranger(number), at(1)) {
                Ok(()) => {}
                Err(wait) => {
                    turned_away += 1;
                    assert!(wait <= 60, "{wait}");
                }
            }
        }
        assert_eq!(turned_away, 150, "fifty guesses are free");
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
        assert!(fail(&throttle, "a", HOME, at(1 + 31 * DAY)).is_ok());
    }

    #[test]
    fn guesses_at_once_are_no_more_than_guesses_in_a_row() {
        let throttle = Throttle::default();
        let under_way: Vec<_> = (0..100)
            .filter_map(|_| throttle.attempt("a", HOME, at(0)).ok())
            .collect();
        assert_eq!(under_way.len(), 5);
        drop(under_way);
        assert_eq!(fail(&throttle, "a", HOME, at(0)), Err(1));

        let one = throttle.attempt("a", HOME, at(1)).unwrap();
        assert!(throttle.attempt("a", HOME, at(1)).is_err(), "then one at a time");
        one.succeeded();
        assert!(throttle.attempt("a", HOME, at(1)).is_ok());
    }

    #[test]
    fn a_network_is_a_whole_64_and_ipv4_is_not_one_of_them() {
        let network = |text: &str| Network::of(text.parse().unwrap());
        assert_eq!(
            network("2001:db8:1:2::1"),
            network("2001:db8:1:2:ffff:ffff:ffff:ffff")
        );
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("::ffff:192.0.2.1"), network("::ffff:192.0.2.2"));
    }

    #[test]
    fn a_clock_set_back_does_not_prolong_a_lock() {
        let throttle = Throttle::default();
        for _ in 0..5 {
            assert_eq!(fail(&throttle, "a", HOME, at(100_000)), Ok(()));
        }
        assert_eq!(fail(&throttle, "a", HOME, at(0)), Err(1));
        assert_eq!(fail(&throttle, "a", HOME, at(1)), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let throttle = Throttle::default();
        for number in 0..100_000_u32 {
            let account = number.to_string();
            let now = at(i64::from(number) / 1000);
            let _ = fail(&throttle, &account, stranger(number), now);
            let _ = succeed(&throttle, &account, stranger(number), now);
        }
        let memory = throttle.memory();
        assert!(
            memory.counts.len() <= Throttle::CAPACITY,
            "{}",
            memory.counts.len()
        );
        assert!(
            memory.counts.len() > Throttle::CAPACITY / 2,
            "{}",
            memory.counts.len()
        );
        assert!(memory.known.len() <= Throttle::CAPACITY, "{}", memory.known.len());
        assert!(
            memory.known.len() > Throttle::CAPACITY / 2,
            "{}",
            memory.known.len()
        );
        let key = |number: u32| (Account::of(&number.to_string()), Network::of(stranger(number)));
        // All of a second before any of the next one.
        let oldest = memory.known.values().min().copied().unwrap();
        assert!((1..100_000).all(|number| {
            let is_known = memory.known.contains_key(&key(number));
            let at = at(i64::from(number) / 1000);
            at == oldest || is_known == (at > oldest)
        }));
        assert!(!memory.known.contains_key(&key(0)));
    }

    #[test]
    fn nothing_is_kept_of_logins_that_go_well_but_that_they_did() {
        let throttle = Throttle::default();
        assert_eq!(succeed(&throttle, "a", HOME, at(0)), Ok(()));
        assert!(throttle.memory().counts.is_empty());
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_the_longest_and_waiting_helps(
            steps in proptest::collection::vec((0..3_u8, 0..3_u32, 0..3_u8, -2_000_i64..2_000), 1..400),
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
                        let then = at(now + i64::from(retry_after));
                        let attempt = throttle.attempt(&account, stranger(network), then);
                        prop_assert!(attempt.is_ok(), "{:?} after {} s", attempt, retry_after);
                        attempt.unwrap().abandoned();
                    }
                }
            }
        }
    }
}
