//! Scheduled revocations of one status list.
//!
//! A bit has no time, so the instant is kept here until the bit is due.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use jeton_verifier::{STATUS_LIST_CAPACITY, StatusList};

use jeton_core::clock::Timestamp;

/// The number of due revocations removed at a time: readers wait for the lock no longer than that.
const BATCH: usize = 256;

/// The scheduled revocations of one status list, by index and by instant.
#[derive(Debug, Default)]
pub(super) struct Scheduled {
    /// The indexes that ever had a scheduled revocation. Most tokens never do, and this bit ends their check.
    /// Allocated on first use: few lists need it.
    marked: OnceLock<StatusList>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    by_index: HashMap<u32, Timestamp>,
    by_instant: BTreeSet<(Timestamp, u32)>,
}

impl Scheduled {
    /// Schedules a revocation. The earliest instant for an index counts.
    pub(super) fn add(&self, index: u32, effective_at: Timestamp) {
        let mut waiting = self.waiting();
        if let Some(earlier) = waiting.by_index.get(&index).copied() {
            if earlier <= effective_at {
                return;
            }
            waiting.by_instant.remove(&(earlier, index));
        }
        waiting.by_index.insert(index, effective_at);
        waiting.by_instant.insert((effective_at, index));
        let marked = self.marked.get_or_init(|| StatusList::new(STATUS_LIST_CAPACITY));
        if marked.set(index).is_none() {
            tracing::error!(index, "a token to be revoked has no place in its status list");
        }
    }

    /// Returns when the token at an index is revoked, unless its bit is set already.
    pub(super) fn get(&self, index: u32) -> Option<Timestamp> {
        if self.marked.get()?.is_set(index) != Some(true) {
            return None;
        }
        self.waiting().by_index.get(&index).copied()
    }

    /// Returns all scheduled revocations by index, with their instants in milliseconds since the Unix epoch.
    pub(super) fn all(&self) -> Vec<(u32, i64)> {
        if self.marked.get().is_none() {
            return Vec::new();
        }
        let waiting = self.waiting();
        let all = waiting.by_instant.iter();
        all.map(|(effective_at, index)| (*index, effective_at.millis()))
            .collect()
    }

    /// Calls `due` with each index that is due before `horizon`, and returns the first instant from then on.
    pub(super) fn split_at(&self, horizon: Timestamp, mut due: impl FnMut(u32)) -> Option<Timestamp> {
        self.marked.get()?;
        let waiting = self.waiting();
        for (effective_at, index) in &waiting.by_instant {
            if *effective_at >= horizon {
                return Some(*effective_at);
            }
            due(*index);
        }
        None
    }

    /// Calls `set_bit` with each due index and removes it afterwards, so that a reader that no longer finds it
    /// here finds its bit set.
    pub(super) fn mature(&self, now: Timestamp, mut set_bit: impl FnMut(u32)) {
        if self.marked.get().is_none() {
            return;
        }
        loop {
            let mut waiting = self.waiting();
            for _ in 0..BATCH {
                let Some((effective_at, index)) = waiting.by_instant.first().copied() else {
                    return;
                };
                if effective_at > now {
                    return;
                }
                set_bit(index);
                waiting.by_instant.pop_first();
                waiting.by_index.remove(&index);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Schedule(u32, i64),
        Mature(i64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..24_u32, 0..40_i64).prop_map(|(index, instant)| Step::Schedule(index, instant)),
            1 => (0..40_i64).prop_map(Step::Mature),
        ]
    }

    proptest! {
        /// The model is a map that is searched as a whole for each answer.
        #[test]
        fn agrees_with_a_plain_map(steps in prop::collection::vec(step(), 1..120)) {
            let scheduled = Scheduled::default();
            let mut model = BTreeMap::<u32, i64>::new();
            for step in steps {
                match step {
                    Step::Schedule(index, instant) => {
                        scheduled.add(index, at(instant));
                        let known = model.entry(index).or_insert(instant);
                        *known = (*known).min(instant);
                    }
                    Step::Mature(now) => {
                        let mut set = Vec::new();
                        scheduled.mature(at(now), |index| set.push(index));
                        set.sort_unstable();
                        let due: Vec<u32> = model.extract_if(.., |_, instant| *instant <= now).map(|(index, _)| index).collect();
                        prop_assert_eq!(set, due);
                    }
                }
                for index in 0..24 {
                    prop_assert_eq!(scheduled.get(index), model.get(&index).copied().map(at));
                }
                for horizon in [0, 7, 20, 39, 40] {
                    let mut due = Vec::new();
                    let next = scheduled.split_at(at(horizon), |index| due.push(index));
                    due.sort_unstable();
                    let expected: Vec<u32> = model.iter().filter(|(_, instant)| **instant < horizon).map(|(index, _)| *index).collect();
                    prop_assert_eq!(due, expected);
                    let ahead = model.values().filter(|instant| **instant >= horizon).min();
                    prop_assert_eq!(next, ahead.copied().map(at));
                }
            }
        }
    }

    #[test]
    fn a_revocation_is_always_in_one_of_both_places_while_it_matures() {
        let scheduled = Scheduled::default();
        let bits = StatusList::new(4096);
        for index in 0..4096 {
            scheduled.add(index, at(1));
        }
        std::thread::scope(|scope| {
            scope.spawn(|| scheduled.mature(at(1), |index| _ = bits.set(index)));
            for index in (0..4096).rev() {
                // The schedule first, as the index does.
                assert!(scheduled.get(index).is_some() || bits.is_set(index) == Some(true));
            }
        });
        assert_eq!(scheduled.get(0), None);
    }
}
