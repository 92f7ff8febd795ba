//! Login throttling: delays password guessing without locking users out.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use jeton_core::clock::Timestamp;
use jeton_core::network::Network;
use jeton_store::{LoginCount, LoginKey, SharedStore, Store, StoreError};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

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
/// only if an attacker shares their network. All counters are in memory: a restart resets them. Several servers count
/// together, in the store; a crash of its database resets them.
///
/// A success resets the counter of its account and network and no other. Otherwise an attacker could reset
/// the counter of a network with logins to an account of their own.
///
/// Parallel guesses gain nothing: an attempt counts like a failure until it ends. Five logins to one
/// account can run at once from one network; the next must wait for a second.
///
/// Addresses are counted by [`Network`].
#[derive(Default)]
pub struct Throttle {
    /// The counters, unless they are in the store.
    state: Mutex<State>,
    store: Option<SharedStore>,
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle").finish_non_exhaustive()
    }
}

/// Permission to check one password. Dropping it counts as a failure: a client that disconnects, or a code
/// path without a result, must not give free guesses.
#[derive(Debug)]
#[must_use = "an attempt that is dropped counts as a failed login"]
pub struct Attempt<'a> {
    throttle: &'a Throttle,
    pair: (Account, Network),
    began: Duration,
    is_ended: bool,
}

/// The instant of an attempt, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Instants {
    /// That of this process, for counters in memory.
    pub uptime: Duration,
    /// That of the deployment, for counters that servers share.
    pub now: Timestamp,
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

    /// Returns a throttle that counts in the store if servers share that, and otherwise in memory.
    pub fn new(store: &SharedStore) -> Self {
        Self {
            state: Mutex::default(),
            store: store.login_counts().map(|_| Arc::clone(store)),
        }
    }

    /// Begins an attempt to check a password of `account`, or returns the delay. `account` must be in
    /// canonical form, since every other spelling would allow another five guesses. It need not exist.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn attempt(
        &self,
        account: &str,
        address: IpAddr,
        at: Instants,
    ) -> Result<Result<Attempt<'_>, Throttled>, StoreError> {
        let pair = (Account::of(account), Network::of(address));
        let (began, begun) = match &self.store {
            None => (at.uptime, self.state().begin(pair, at.uptime)),
            Some(store) => {
                let now = Duration::from_millis(u64::try_from(at.now.millis()).unwrap_or_default());
                let begun = change(&**store, pair, |state| state.begin(pair, now)).await?;
                (now, begun)
            }
        };
        Ok(begun.map(|()| Attempt {
            throttle: self,
            pair,
            began,
            is_ended: false,
        }))
    }

    /// Deletes counters in the store that are not needed any more. The server calls it periodically.
    ///
    /// # Errors
    ///
    /// Fails if the store does.
    pub async fn prune(&self, now: Timestamp) -> Result<(), StoreError> {
        let counts = self.store.as_ref().and_then(|store| store.login_counts());
        let Some(counts) = counts else { return Ok(()) };
        let kept_for = i64::try_from(KNOWN_FOR.as_secs()).unwrap_or(i64::MAX);
        counts
            .prune_login_counts(now.plus_seconds(-kept_for), Self::CAPACITY)
            .await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock leaves the counters valid, so a poisoned lock can be used.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the end of an attempt. A client that goes away does not interrupt it.
    fn end(
        &self,
        pair: (Account, Network),
        outcome: Outcome,
        began: Duration,
    ) -> Option<JoinHandle<Result<(), StoreError>>> {
        let Some(store) = &self.store else {
            self.state().end(pair, outcome, began);
            return None;
        };
        let store = Arc::clone(store);
        // Without a runtime the process ends, and what is pending expires.
        let runtime = Handle::try_current().ok()?;
        Some(
            runtime
                .spawn(async move { change(&*store, pair, |state| state.end(pair, outcome, began)).await }),
        )
    }
}

/// Changes the counters of an attempt in the store, by the rules for those in memory.
async fn change<T: Send>(
    store: &dyn Store,
    pair: (Account, Network),
    step: impl FnOnce(&mut State) -> T + Send,
) -> Result<T, StoreError> {
    let failed = |why: &str| StoreError::Failed(why.into());
    let counts = store
        .login_counts()
        .ok_or_else(|| failed("the store counts no logins"))?;
    let keys = keys(pair);
    let (mut step, mut done) = (Some(step), None);
    let change = &mut |counts: &mut [LoginCount]| {
        let Some(step) = step.take() else { return };
        let mut state = State::of(pair, keys, counts);
        done = Some(step(&mut state));
        for (key, count) in keys.iter().zip(counts) {
            *count = state.stored(pair, *key);
        }
    };
    counts.change_login_counts(&keys.map(Key::digest), change).await?;
    done.ok_or_else(|| failed("the counters of logins were not changed"))
}

impl Attempt<'_> {
    /// Ends the attempt.
    ///
    /// # Errors
    ///
    /// Fails if the store does: the attempt then counts as one in progress for a minute.
    pub async fn end(mut self, outcome: Outcome) -> Result<(), StoreError> {
        self.is_ended = true;
        match self.throttle.end(self.pair, outcome, self.began) {
            None => Ok(()),
            Some(counted) => counted
                .await
                .unwrap_or_else(|panic| Err(StoreError::Failed(Box::new(panic)))),
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            // Nobody waits for it.
            drop(self.throttle.end(self.pair, Outcome::Failure, self.began));
        }
    }
}

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The password was right.
    Success,
    /// It was wrong.
    Failure,
    /// It was not checked: the store or the server was busy. Nothing is counted.
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
/// How long an attempt is taken to be in progress: its server may have ended.
const PENDING_FOR: Duration = Duration::from_mins(1);
/// How long a login makes its network a known one, in seconds.
const KNOWN_FOR: Duration = Duration::from_hours(24 * 30);

impl Key {
    /// Returns the key of the counter in the store.
    fn digest(self) -> LoginKey {
        let (kind, account, network) = match self {
            Self::Pair(account, network) => ('p', Some(account), Some(network)),
            Self::Network(network) => ('n', None, Some(network)),
            Self::Account(account) => ('a', Some(account), None),
        };
        let network = network.map(|network| network.to_string()).unwrap_or_default();
        let mut digest = digest::Context::new(&digest::SHA256);
        digest.update(&[kind as u8]);
        digest.update(account.as_ref().map_or(&[], |account| account.0.as_slice()));
        digest.update(network.as_bytes());
        let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest.finish().as_ref());
        bytes
    }

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
    /// The time of the last attempt.
    begun: Duration,
}

impl Count {
    fn reset_if_old(&mut self, now: Duration) {
        if self.last + DAY <= now {
            self.failures = 0;
        }
        if self.begun + PENDING_FOR <= now {
            self.pending = 0;
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
    /// Returns the counters of an attempt as the store has them.
    fn of(pair: (Account, Network), keys: [Key; 3], stored: &[LoginCount]) -> Self {
        let since = |at: Timestamp| Duration::from_millis(u64::try_from(at.millis()).unwrap_or_default());
        let mut state = Self::default();
        for (key, stored) in keys.into_iter().zip(stored) {
            if let Some(at) = stored.succeeded_at {
                state.known.insert(pair, since(at));
            }
            let count = Count {
                failures: stored.failures,
                pending: stored.pending,
                last: since(stored.failed_at),
                begun: since(stored.begun_at),
            };
            state.counts.insert(key, count);
        }
        state
    }

    /// Returns a counter as the store keeps it. That of account and network also has the time of their last login.
    fn stored(&self, pair: (Account, Network), key: Key) -> LoginCount {
        let at = |since: Duration| {
            let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
            Timestamp::from_millis(millis).unwrap_or(Timestamp::LAST)
        };
        let known = self.known.get(&pair).filter(|_| matches!(key, Key::Pair(..)));
        let count = self.counts.get(&key).map(|count| LoginCount {
            failures: count.failures,
            pending: count.pending,
            failed_at: at(count.last),
            begun_at: at(count.begun),
            succeeded_at: None,
        });
        LoginCount {
            succeeded_at: known.copied().map(at),
            ..count.unwrap_or(LoginCount::ZERO)
        }
    }

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
            let count = self.count(key, now);
            // Those that do not apply too.
            count.reset_if_old(now);
            count.pending = count.pending.saturating_add(1);
            count.begun = count.begun.max(now);
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
            begun: now,
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
    use futures_util::FutureExt;
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

    fn attempt<'a>(
        throttle: &'a Throttle,
        account: &str,
        address: IpAddr,
        now: Duration,
    ) -> Result<Attempt<'a>, Throttled> {
        let at = Instants {
            uptime: now,
            now: Timestamp::EPOCH,
        };
        // Counters in memory are not waited for.
        let attempt = throttle.attempt(account, address, at).now_or_never();
        attempt.unwrap().unwrap()
    }

    fn end(attempt: Attempt<'_>, outcome: Outcome) {
        attempt.end(outcome).now_or_never().unwrap().unwrap();
    }

    fn fail(throttle: &Throttle, account: &str, address: IpAddr, now: Duration) -> Result<(), u32> {
        match attempt(throttle, account, address, now) {
            Ok(attempt) => {
                drop(attempt);
                Ok(())
            }
            Err(Throttled { retry_after }) => Err(retry_after),
        }
    }

    fn succeed(throttle: &Throttle, account: &str, address: IpAddr, now: Duration) -> Result<(), Throttled> {
        attempt(throttle, account, address, now).map(|attempt| end(attempt, Outcome::Success))
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
            end(attempt(&throttle, "a", HOME, at(0)).unwrap(), Outcome::None);
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
            .filter_map(|_| attempt(&throttle, "a", HOME, at(0)).ok())
            .collect();
        assert_eq!(in_progress.len(), 5);
        drop(in_progress);
        assert_eq!(fail(&throttle, "a", HOME, at(0)), Err(1));

        let one = attempt(&throttle, "a", HOME, at(1)).unwrap();
        assert!(
            attempt(&throttle, "a", HOME, at(1)).is_err(),
            "then one at a time"
        );
        end(one, Outcome::Success);
        assert!(attempt(&throttle, "a", HOME, at(1)).is_ok());
    }

    #[test]
    fn an_attempt_without_an_end_counts_for_a_minute() {
        let throttle = Throttle::default();
        for _ in 0..5 {
            std::mem::forget(attempt(&throttle, "a", HOME, at(0)).unwrap());
        }
        assert_eq!(fail(&throttle, "a", HOME, at(59)), Err(1));
        assert_eq!(fail(&throttle, "a", HOME, at(60)), Ok(()));
    }

    #[test]
    fn counters_in_a_store_are_those_in_memory() {
        let pair = (Account::of("a"), Network::of(HOME));
        let mut whole = State::default();
        let mut stored = [LoginCount::ZERO; 3];
        for (step, outcome) in (0_u64..).zip([
            Some(Outcome::Failure),
            Some(Outcome::Success),
            None,
            Some(Outcome::None),
            Some(Outcome::Failure),
        ]) {
            let now = at(step);
            let mut state = State::of(pair, keys(pair), &stored);
            for state in [&mut whole, &mut state] {
                state.begin(pair, now).unwrap();
                if let Some(outcome) = outcome {
                    state.end(pair, outcome, now);
                }
            }
            stored = keys(pair).map(|key| state.stored(pair, key));
            let again = State::of(pair, keys(pair), &stored);
            assert_eq!(again.known, whole.known, "step {step}");
            for key in keys(pair) {
                let brief = |state: &State| {
                    state
                        .counts
                        .get(&key)
                        .map(|count| (count.failures, count.pending))
                };
                assert_eq!(
                    brief(&again),
                    brief(&whole).or(Some((0, 0))),
                    "step {step}: {key:?}"
                );
            }
        }
        let digests: std::collections::HashSet<_> = keys(pair).map(Key::digest).into_iter().collect();
        assert_eq!(digests.len(), 3);
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
                match attempt(&throttle, &account, stranger(network), at(now)) {
                    Ok(attempt) => match outcome {
                        0 => end(attempt, Outcome::Success),
                        1 => end(attempt, Outcome::None),
                        _ => drop(attempt),
                    },
                    Err(Throttled { retry_after }) => {
                        prop_assert!((1..=900).contains(&retry_after));
                        now += u64::from(retry_after);
                        let attempt = attempt(&throttle, &account, stranger(network), at(now));
                        prop_assert!(attempt.is_ok(), "{:?} after {} s", attempt, retry_after);
                        end(attempt.unwrap(), Outcome::None);
                    }
                }
            }
        }
    }
}
