//! The status lists that are published, and the bits that cut-offs set in them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use jeton_verifier::{CompressedList, FeedPosition, STATUS_LIST_CAPACITY, StatusList};

use crate::clock::Timestamp;
use crate::revocation::backlog::Unfilled;
use crate::revocation::deflate;
use crate::revocation::index::{Index, mark};
use crate::revocation::published::Publication;
use crate::store::Covered;

/// A status list in memory.
#[derive(Debug)]
pub struct List {
    id: u32,
    pub(super) bits: StatusList,
    publication: Publication,
}

impl List {
    fn new(id: u32) -> Self {
        Self {
            id,
            bits: StatusList::new(STATUS_LIST_CAPACITY),
            publication: Publication::default(),
        }
    }

    /// Its number, which is the last part of its address.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What is published of it.
    pub fn publication(&self) -> &Publication {
        &self.publication
    }
}

/// The bits of a list as they are published at one instant.
#[derive(Debug)]
pub struct Bits {
    bytes: Vec<u8>,
    /// When the next of them is to be set, if that is known: at least a second ahead.
    pub next: Option<Timestamp>,
}

impl Bits {
    /// Small enough to be sent.
    pub fn compress(&self) -> CompressedList {
        CompressedList(deflate::zlib(&self.bytes))
    }
}

impl Index {
    /// A status list, if it is known here.
    pub fn list(&self, id: u32) -> Option<Arc<List>> {
        self.lists.load().get(&id).cloned()
    }

    /// Takes over which status lists exist: what is new is published from now on, and what has
    /// retired is forgotten.
    pub fn know(&self, lists: &[u32]) {
        for id in lists {
            self.open(*id);
        }
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.lists.load();
        // One opened a moment ago may not be among those that were read. Its number is a later one.
        let newest = lists.last().copied().unwrap_or_default();
        let is_retired = |id: &u32| *id < newest && lists.binary_search(id).is_err();
        if known.keys().any(is_retired) {
            let mut lists = BTreeMap::clone(&known);
            lists.retain(|id, _| !is_retired(id));
            self.lists.store(lists.into());
        }
    }

    /// Publishes a list, if it is not yet.
    pub(super) fn open(&self, id: u32) {
        if self.lists.load().contains_key(&id) {
            return;
        }
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lists = BTreeMap::clone(&self.lists.load());
        lists.entry(id).or_insert_with(|| List::new(id).into());
        self.lists.store(lists.into());
    }

    /// A counter that moves whenever anything that a status list says has changed. What it counts can
    /// be seen before it has moved.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The position in the feed up to which everything is in the bits that are read afterwards; `None`
    /// before the index is complete.
    pub fn position(&self) -> Option<FeedPosition> {
        let sequence = self.sequence();
        // In this order: a cut-off is in the backlog before the feed's position is beyond it.
        let filled = self
            .backlog
            .first()
            .map(|unfilled| unfilled.cut_off.saturating_sub(1));
        Some(FeedPosition {
            epoch: *self.epoch.get()?,
            sequence: filled.map_or(sequence, |filled| filled.min(sequence)),
        })
    }

    /// The bits of a list at an instant, with those that are due within a second: a list is good for at
    /// least that long, and must not be beyond its next revocation.
    pub fn bits(&self, list: &List, now: Timestamp) -> Bits {
        let mut bytes = list.bits.to_bytes();
        let mut next = None;
        let horizon = now.plus_seconds(1);
        for (place, effective_at) in &**self.scheduled.load() {
            if place.list != list.id {
                continue;
            }
            if *effective_at >= horizon {
                next = Some(next.map_or(*effective_at, |next| *effective_at.min(&next)));
            } else if let Some(byte) = bytes.get_mut(place.index as usize / 8) {
                *byte |= 1 << (place.index % 8);
            }
        }
        Bits { bytes, next }
    }

    /// Sets the bits of what was ahead and is due.
    pub fn mature(&self, now: Timestamp) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let scheduled = self.scheduled.load();
        if !scheduled.values().any(|effective_at| *effective_at <= now) {
            return;
        }
        let mut ahead = HashMap::clone(&scheduled);
        let lists = self.lists.load();
        for (place, _) in ahead.extract_if(|_, effective_at| *effective_at <= now) {
            if let Some(list) = lists.get(&place.list) {
                mark(list, place);
            }
        }
        self.scheduled.store(ahead.into());
    }

    /// The last cut-off whose tokens' bits are not all set; `None` when there is none.
    pub fn last_unfilled(&self) -> Option<u64> {
        self.backlog.last()
    }

    /// The first of them up to a position.
    pub fn unfilled(&self, through: u64) -> Option<Unfilled> {
        self.backlog
            .first()
            .filter(|unfilled| unfilled.cut_off <= through)
    }

    /// Sets the bits of tokens that a cut-off covers.
    pub fn fill(&self, unfilled: &Unfilled, covered: &Covered, now: Timestamp) {
        let places = covered.places.iter().map(|place| (*place, unfilled.effective_at));
        self.revoke(places, now);
        self.backlog.reached(unfilled.cut_off, covered.last);
    }
}
