//! The index in memory: the bits of the status lists, the cut-offs, and what has changed.
//!
//! Every use of a token asks it, so it does not wait: bits and counters are atomic, and what is larger
//! is replaced whole. Only for a token with a scheduled revocation a lock is taken, for one look-up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jeton_verifier::event::Position;

use crate::revocation::backlog::Backlog;
use crate::revocation::cut_offs::CutOffs;
use crate::revocation::list::List;
use crate::revocation::realms::Realms;
use jeton_core::clock::{Clock, Timestamp};
use jeton_core::token::{CutOff, CutOffSubject, NewToken, Place};
use jeton_store::{Advance, Change, Changes, Commit, Observer, Snapshot};

/// Everything that a process knows of revocation without asking the store.
///
/// Ready from [`Index::rebuild`] until [`Index::fork`]; before and after that nothing may be called active.
pub struct Index {
    clock: Arc<dyn Clock>,
    is_complete: AtomicBool,
    has_forked: AtomicBool,
    /// What has changed in the directory.
    realms: Realms,
    /// The position in the feed up to which all events were taken over; `None` before the first rebuild.
    position: Mutex<Option<Position>>,
    pub(super) lists: ArcSwap<BTreeMap<u32, Arc<List>>>,
    /// How often anything that is published in a status list has changed.
    pub(super) changes: AtomicU64,
    cut_offs: ArcSwap<CutOffs>,
    /// The cut-offs whose tokens' bits are not all set.
    pub(super) backlog: Backlog,
    /// The latest second that any cut-off covers: what was issued after it needs no closer look.
    latest_cut_off: AtomicI64,
    /// Taken by whoever replaces one of the above whole.
    pub(super) replacing: Mutex<()>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("is_complete", &self.is_complete)
            .field("position", &self.reached())
            .finish_non_exhaustive()
    }
}

impl Index {
    /// An empty index, which is not ready.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            is_complete: AtomicBool::new(false),
            has_forked: AtomicBool::new(false),
            realms: Realms::default(),
            position: Mutex::default(),
            lists: ArcSwap::default(),
            changes: AtomicU64::new(0),
            cut_offs: ArcSwap::default(),
            backlog: Backlog::default(),
            latest_cut_off: AtomicI64::new(i64::MIN),
            replacing: Mutex::new(()),
        }
    }

    /// Takes over the state of the store as it was at one instant. What is committed meanwhile may
    /// already have been observed; taking it twice does no harm, since nothing here is ever undone.
    ///
    /// Done again by a process that missed events, it leaves the realms as they are: a snapshot does not
    /// say which of them have changed since, [`Index::follow`] does.
    pub fn rebuild(&self, snapshot: Snapshot) {
        let now = self.clock.now();
        for list in &snapshot.lists {
            self.open(*list);
        }
        self.revoke(snapshot.revoked, now);
        for (sequence, cut_off) in snapshot.cut_offs {
            self.cut_off(cut_off, sequence);
        }
        self.with_position(|position| match position {
            // One process follows one epoch. The store says that this is another one when it is asked what
            // came after the known position.
            Some(known) if known.epoch != snapshot.position.epoch => {}
            Some(known) if known.sequence >= snapshot.position.sequence => {}
            _ => *position = Some(snapshot.position),
        });
        if !self.is_complete.load(Ordering::Acquire) {
            self.realms.keys_changed(snapshot.keys);
            self.realms.reached(snapshot.edit);
        }
        self.is_complete.store(true, Ordering::Release);
    }

    /// Takes over what other processes have committed after a position.
    pub fn follow(&self, after: Position, changes: &Changes) {
        self.apply(&changes.events);
        self.advance(after, changes.reached);
        for (realm, generation) in &changes.realms {
            self.realms.changed(realm, *generation);
        }
        self.realms.reached(changes.edit);
    }

    /// Ends the use of the index: the store's history does not continue the one that it was built from.
    /// There is no way back, since what it knows of tokens may not exist.
    pub fn fork(&self) {
        self.has_forked.store(true, Ordering::Release);
    }

    /// Whether the store's history has turned out not to continue the one that was followed.
    pub fn has_forked(&self) -> bool {
        self.has_forked.load(Ordering::Acquire)
    }

    /// Whether it is complete, and follows the store's history.
    pub fn is_ready(&self) -> bool {
        self.is_complete.load(Ordering::Acquire) && !self.has_forked()
    }

    /// Which parts of the directory have changed.
    pub fn realms(&self) -> &Realms {
        &self.realms
    }

    /// The last second whose tokens a cut-off covers that would cover this token, whenever it was issued.
    pub fn cut_off_through(&self, token: &NewToken) -> Option<i64> {
        self.cut_offs.load().through(token.into())
    }

    /// Returns the position in the feed up to which all events were taken over; `None` before the first
    /// rebuild.
    pub fn reached(&self) -> Option<Position> {
        self.with_position(|position| *position)
    }

    /// Whether the token at this place is revoked by itself, with effect at this instant.
    pub fn is_revoked(&self, place: Place, now: Timestamp) -> bool {
        let lists = self.lists.load();
        let Some(list) = lists.get(&place.list) else {
            return false;
        };
        // In this order: a due revocation moves from the schedule to the bits, and must be seen in one of
        // them.
        let is_due = list
            .scheduled
            .get(place.index)
            .is_some_and(|effective_at| effective_at <= now);
        is_due || list.is_set(place.index)
    }

    /// When the token at this place will be revoked, if that lies ahead.
    pub fn scheduled(&self, place: Place) -> Option<Timestamp> {
        self.lists.load().get(&place.list)?.scheduled.get(place.index)
    }

    /// Whether a cut-off ends this token at this instant.
    pub fn is_cut_off<'a>(&self, token: impl Into<CutOffSubject<'a>>, now: Timestamp) -> bool {
        let token = token.into();
        token.issued_at <= self.latest_cut_off.load(Ordering::Acquire) && self.cut_offs.load().end(token, now)
    }

    /// Moves from one position to the next, and never over events that were not taken over: another process
    /// may have committed between two commits of this one, or the store may have been put back to an older
    /// state. Either shows when the store is asked from where this has stopped ([`Index::reached`]).
    fn advance(&self, after: Position, reached: Position) {
        self.with_position(|position| {
            if *position == Some(after) {
                *position = Some(reached);
            }
        });
    }

    fn with_position<T>(&self, work: impl FnOnce(&mut Option<Position>) -> T) -> T {
        work(&mut self.position.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn apply(&self, changes: &[Change]) {
        let now = self.clock.now();
        for change in changes {
            match change {
                Change::Revoked {
                    place, effective_at, ..
                } => self.revoke([(*place, *effective_at)], now),
                Change::CutOff { cut_off, sequence } => self.cut_off(cut_off.clone(), *sequence),
                Change::Directory { realms, generation } => {
                    for realm in realms {
                        self.realms.changed(realm, *generation);
                    }
                    self.realms.next(*generation);
                }
                Change::Retired(list) => self.retire(*list),
            }
        }
    }

    pub(super) fn revoke(&self, revoked: impl IntoIterator<Item = (Place, Timestamp)>, now: Timestamp) {
        for (place, effective_at) in revoked {
            let list = self.open(place.list);
            if effective_at <= now {
                list.set(place.index);
            } else {
                list.scheduled.add(place.index, effective_at);
            }
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn cut_off(&self, cut_off: CutOff, sequence: u64) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cut_offs = CutOffs::clone(&self.cut_offs.load());
        let (issued_through, effective_at) = (cut_off.issued_through, cut_off.effective_at);
        cut_offs.add(cut_off);
        self.cut_offs.store(cut_offs.into());
        self.latest_cut_off.fetch_max(issued_through, Ordering::AcqRel);
        self.backlog.add(sequence, effective_at);
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

impl Observer for Index {
    fn committed(&self, commit: Commit<'_>) {
        self.apply(commit.changes);
        if let Some(Advance { after, reached }) = commit.advance {
            self.advance(after, reached);
        }
    }
}
