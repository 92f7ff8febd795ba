//! The status lists of the index, and the bits that cut-offs set in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use jeton_verifier::FeedPosition;
use jeton_verifier::event::Position;

use crate::revocation::backlog::Unfilled;
use crate::revocation::index::Index;
use crate::revocation::list::List;
use jeton_core::clock::Timestamp;
use jeton_store::Covered;

impl Index {
    /// Returns a status list, if the index has it.
    pub fn list(&self, id: u32) -> Option<Arc<List>> {
        self.lists.load().get(&id).cloned()
    }

    /// Updates which status lists exist: adds new ones and deletes those that have retired.
    ///
    /// `known` are the lists that the index had ([`Index::known_lists`]) before the store was read. Of those, a
    /// list missing in `existing` has retired. A list opened meanwhile may be missing too, and stays.
    pub fn know(&self, known: &[u32], existing: &[u32]) {
        for id in existing {
            self.open(*id);
        }
        let existing: BTreeSet<u32> = existing.iter().copied().collect();
        for id in known.iter().filter(|id| !existing.contains(id)) {
            self.retire(*id);
        }
    }

    /// Returns the numbers of the lists in the index.
    pub fn known_lists(&self) -> Vec<u32> {
        self.lists.load().keys().copied().collect()
    }

    /// Deletes a list whose tokens have all ended.
    pub(super) fn retire(&self, id: u32) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lists = BTreeMap::clone(&self.lists.load());
        if lists.remove(&id).is_some() {
            self.lists.store(lists.into());
        }
    }

    /// Returns a list, adding it if the index does not have it.
    pub(super) fn open(&self, id: u32) -> Arc<List> {
        if let Some(list) = self.list(id) {
            return list;
        }
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lists = BTreeMap::clone(&self.lists.load());
        let list = Arc::clone(lists.entry(id).or_insert_with(|| List::new(id).into()));
        self.lists.store(lists.into());
        list
    }

    /// Returns the number of changes to the content of status lists. A change can be visible before it is
    /// counted.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Returns the position in the feed up to which all events are in the bits read afterwards; `None` before
    /// the index is complete.
    pub fn position(&self) -> Option<FeedPosition> {
        let Position { epoch, sequence, .. } = self.reached()?;
        // In this order: a cut-off is in the backlog before the position moves beyond it.
        let filled = self
            .backlog
            .first()
            .map(|unfilled| unfilled.cut_off.saturating_sub(1));
        Some(FeedPosition {
            epoch,
            sequence: filled.map_or(sequence, |filled| filled.min(sequence)),
        })
    }

    /// Sets the bits of scheduled revocations that are due.
    pub fn mature(&self, now: Timestamp) {
        for list in self.lists.load().values() {
            list.scheduled.mature(now, |index| list.set(index));
        }
    }

    /// Returns the last cut-off whose bits are not all set.
    pub fn last_unfilled(&self) -> Option<u64> {
        self.backlog.last()
    }

    /// Returns the first cut-off whose bits are not all set, up to a position.
    pub fn unfilled(&self, through: u64) -> Option<Unfilled> {
        self.backlog
            .first()
            .filter(|unfilled| unfilled.cut_off <= through)
    }

    /// Sets the bits of tokens that a cut-off covers.
    pub fn fill(&self, unfilled: &Unfilled, covered: &Covered, now: Timestamp) {
        let list_indexes = covered
            .list_indexes
            .iter()
            .map(|list_index| (*list_index, unfilled.effective_at));
        self.revoke(list_indexes, now);
        self.backlog.reached(unfilled.cut_off, covered.last);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use super::*;
    use jeton_core::clock::Clock;
    use jeton_core::deployment_clock::DeploymentClock;
    use jeton_core::token::{CutOff, ListIndex, Reach, TokenId};
    use jeton_store::{Advance, Change, Changes, Commit, Generation, Observer, Snapshot};
    use jeton_verifier::event::{BEFORE_ALL, Entry, Event};
    use uuid::Uuid;

    struct Stopped(Timestamp);

    impl Clock for Stopped {
        fn now(&self) -> Timestamp {
            self.0
        }

        fn uptime(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis).unwrap()
    }

    const NOW: i64 = 1_000_000;

    fn list_index(list: u32, index: u32) -> ListIndex {
        ListIndex { list, index }
    }

    fn index(snapshot: Snapshot) -> Index {
        let index = Index::new(Arc::new(DeploymentClock::new(Arc::new(Stopped(at(NOW))))));
        assert_eq!(index.position(), None);
        index.rebuild(snapshot);
        index
    }

    /// Returns an event of which only the number counts.
    fn entry(sequence: u64) -> Arc<Entry> {
        let event = Event {
            epoch: Uuid::nil(),
            sequence,
            recorded_at: NOW,
            effective_at: NOW,
            ends: jeton_store::ends(&CutOff {
                reach: Reach::default(),
                issued_through: 0,
                effective_at: at(NOW),
            }),
        };
        Arc::new(Entry::after(&BEFORE_ALL, event))
    }

    fn revoked(list: u32, index: u32, effective_at: i64) -> Change {
        Change::Revoked {
            token: TokenId(1),
            list_index: list_index(list, index),
            effective_at: at(effective_at),
            entry: entry(1),
        }
    }

    fn position(sequence: u64, hash: u8) -> Position {
        Position {
            sequence,
            hash: [hash; 32],
            ..Position::default()
        }
    }

    /// Notifies the index of changes that add nothing to the feed.
    fn committed(index: &Index, changes: &[Change]) {
        index.committed(Commit {
            advance: None,
            changes,
        });
    }

    fn is_set(index: &Index, list: u32, bit: u32, now: i64) -> bool {
        let bits = index.list(list).unwrap().bits(at(now));
        bits.bytes.get(bit as usize / 8).unwrap() & (1 << (bit % 8)) != 0
    }

    #[test]
    fn a_list_that_has_retired_is_forgotten_and_a_new_one_is_not() {
        let index = index(Snapshot {
            lists: vec![1, 2, 3],
            ..Snapshot::default()
        });
        let lists = || (0..10).filter(|id| index.list(*id).is_some()).collect::<Vec<_>>();
        assert_eq!(lists(), [1, 2, 3]);
        let known = index.known_lists();
        committed(&index, &[revoked(5, 7, NOW)]);
        index.know(&known, &[1, 3, 6]);
        assert_eq!(lists(), [1, 3, 5, 6], "5 was opened while the store was read");
        assert!(is_set(&index, 5, 7, NOW));
        // A list with a lower number may be opened later, and one with a higher number may retire earlier.
        committed(&index, &[revoked(4, 8, NOW)]);
        index.know(&index.known_lists(), &[1, 3, 4, 5]);
        assert_eq!(lists(), [1, 3, 4, 5]);
        assert!(is_set(&index, 4, 8, NOW) && is_set(&index, 5, 7, NOW));
        committed(&index, &[Change::Retired(1)]);
        assert_eq!(lists(), [3, 4, 5]);
        index.know(&index.known_lists(), &[]);
        assert!(lists().is_empty());
    }

    /// The position skips neither another process's events nor those of a forked history.
    #[test]
    fn the_position_moves_only_from_where_it_is() {
        let snapshot = Snapshot {
            position: position(3, 3),
            edit: Generation(8),
            ..Snapshot::default()
        };
        let index = index(snapshot.clone());
        let commit = |after, reached| {
            index.committed(Commit {
                advance: Advance::between(after, reached),
                changes: &[revoked(1, 1, NOW)],
            });
            index.reached().unwrap()
        };
        assert_eq!(commit(position(3, 3), position(4, 4)), position(4, 4));
        assert_eq!(commit(position(5, 5), position(6, 6)), position(4, 4), "a gap");
        assert_eq!(commit(position(4, 9), position(5, 9)), position(4, 4), "a fork");
        let changes = |reached| Changes {
            latest: at(NOW),
            edit: Generation(8),
            realms: Vec::new(),
            events: Vec::new(),
            reached,
            has_more: false,
        };
        index.follow(position(3, 3), &changes(position(4, 4)), at(NOW));
        assert_eq!(index.reached(), Some(position(4, 4)));
        index.follow(position(4, 4), &changes(position(6, 6)), at(NOW));
        assert_eq!(index.reached(), Some(position(6, 6)));
        // An older snapshot, or one of another epoch, does not move the position. A later one does, and leaves
        // the changes of the directory to be read.
        index.rebuild(snapshot);
        let mut other = position(9, 9);
        other.epoch = Uuid::from_u128(9);
        for (snapshot, reached) in [(other, position(6, 6)), (position(9, 9), position(9, 9))] {
            index.rebuild(Snapshot {
                position: snapshot,
                edit: Generation(20),
                ..Snapshot::default()
            });
            assert_eq!(index.reached(), Some(reached));
        }
        assert_eq!(index.realms().as_of(), Generation(8));
        assert!(index.is_ready());
        index.fork();
        assert!(!index.is_ready());
    }

    #[test]
    fn what_lies_ahead_is_published_when_it_is_due() {
        let index = index(Snapshot::default());
        let ahead = [
            revoked(1, 9, NOW + 5_000),
            revoked(1, 10, NOW + 2_500),
            revoked(2, 9, NOW + 1),
        ];
        committed(&index, &ahead);
        let next = |now| index.list(1).unwrap().bits(at(now)).next;
        // The list exists as soon as one of its tokens does.
        index.know(&[1, 2], &[1, 2]);
        assert_eq!(next(NOW), Some(at(NOW + 2_500)));
        assert_eq!(next(NOW + 1_500), Some(at(NOW + 2_500)));
        assert!(!is_set(&index, 1, 10, NOW + 1_500));
        assert!(is_set(&index, 1, 10, NOW + 1_501), "within a second");
        assert_eq!(next(NOW + 1_501), Some(at(NOW + 5_000)));
        assert_eq!(next(NOW + 4_001), None);

        index.mature(at(NOW + 2_499));
        assert!(!is_set(&index, 1, 10, NOW));
        index.mature(at(NOW + 2_500));
        assert!(is_set(&index, 1, 10, NOW), "for good");
        assert!(!is_set(&index, 1, 9, NOW));
        assert_eq!(next(NOW), Some(at(NOW + 5_000)));
    }

    /// The test ends only if each costs constant time, however many are scheduled.
    #[test]
    fn very_many_revocations_are_scheduled_one_by_one() {
        const COUNT: u32 = 200_000;
        let index = index(Snapshot::default());
        for bit in 0..COUNT {
            committed(
                &index,
                &[revoked(1 + bit % 4, bit, NOW + 10_000 + i64::from(bit))],
            );
        }
        assert_eq!(index.scheduled(list_index(2, 1)), Some(at(NOW + 10_001)));
        assert_eq!(index.scheduled(list_index(2, 2)), None);
        for list in 1..=4 {
            let bits = index.list(list).unwrap().bits(at(NOW));
            assert_eq!(bits.next, Some(at(NOW + 9_999 + i64::from(list))));
            assert!(bits.bytes.iter().all(|byte| *byte == 0));
        }
        index.mature(at(NOW + 10_000 + i64::from(COUNT)));
        let set = |list| {
            let bits = index.list(list).unwrap().bits(at(NOW));
            bits.bytes.iter().map(|byte| byte.count_ones()).sum::<u32>()
        };
        assert_eq!((1..=4).map(set).sum::<u32>(), COUNT);
        assert_eq!(index.scheduled(list_index(2, 1)), None);
    }

    /// A list must not claim to include a cut-off whose bits it lacks.
    #[test]
    fn the_position_waits_for_the_bits_behind_a_cut_off() {
        let cut_off = CutOff {
            reach: Reach::default(),
            issued_through: 1,
            effective_at: at(NOW),
        };
        let index = index(Snapshot {
            position: position(6, 6),
            cut_offs: vec![(2, cut_off.clone()), (4, cut_off.clone())],
            ..Snapshot::default()
        });
        let sequence = || index.position().unwrap().sequence;
        assert_eq!((sequence(), index.last_unfilled()), (1, Some(4)));
        assert_eq!(index.unfilled(1), None);
        let first = index.unfilled(4).unwrap();
        let changes = index.changes();
        let portion = |last| Covered {
            list_indexes: vec![list_index(1, 3)],
            last,
        };
        index.fill(&first, &portion(Some(TokenId(8))), at(NOW));
        assert!(index.changes() > changes);
        assert!(is_set(&index, 1, 3, NOW));
        assert_eq!(sequence(), 1);
        assert_eq!(index.unfilled(4).unwrap().after, TokenId(8));
        index.fill(&first, &portion(None), at(NOW));
        assert_eq!(sequence(), 3);
        index.fill(&index.unfilled(4).unwrap(), &portion(None), at(NOW));
        assert_eq!((sequence(), index.last_unfilled()), (6, None));
        index.committed(Commit {
            advance: Advance::between(position(6, 6), position(7, 7)),
            changes: &[Change::CutOff {
                cut_off,
                entry: entry(7),
            }],
        });
        assert_eq!((sequence(), index.reached()), (6, Some(position(7, 7))));
    }
}
