//! The index in memory: the bits of the status lists, the cut-offs, and what has changed.
//!
//! Every use of a token asks it, so it does not wait: bits and counters are atomic, and what is larger
//! is replaced whole. Only for a token with a scheduled revocation a lock is taken, for one look-up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::revocation::backlog::Backlog;
use crate::revocation::cut_offs::CutOffs;
use crate::revocation::lists::List;
use crate::revocation::realms::Realms;
use jeton_core::clock::{Clock, Timestamp};
use jeton_core::token::{CutOff, CutOffSubject, NewToken, Place};
use jeton_store::{Change, Changes, Observer, Snapshot};

/// Everything that a process knows of revocation without asking the store.
///
/// Complete from [`Index::rebuild`] on; before that nothing may be called active.
pub struct Index {
    clock: Arc<dyn Clock>,
    ready: AtomicBool,
    /// What has changed in the directory.
    realms: Realms,
    pub(super) sequence: AtomicU64,
    pub(super) epoch: OnceLock<Uuid>,
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
            .field("ready", &self.ready)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl Index {
    /// An empty index, which is not ready.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            ready: AtomicBool::new(false),
            realms: Realms::default(),
            sequence: AtomicU64::new(0),
            epoch: OnceLock::new(),
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
    pub fn rebuild(&self, snapshot: Snapshot) {
        let now = self.clock.now();
        self.know(&snapshot.lists);
        self.revoke(snapshot.revoked, now);
        for (sequence, cut_off) in snapshot.cut_offs {
            self.cut_off(cut_off, sequence);
        }
        // A process serves one epoch: a restored database is served by a new one.
        let _ = self.epoch.set(snapshot.epoch);
        self.realms.keys_changed(snapshot.keys);
        self.realms.reached(snapshot.edit);
        self.sequence.fetch_max(snapshot.sequence, Ordering::AcqRel);
        self.ready.store(true, Ordering::Release);
    }

    /// Takes over what another process has committed.
    pub fn follow(&self, changes: &Changes) {
        self.committed(&changes.events);
        for (realm, generation) in &changes.realms {
            self.realms.changed(realm, *generation);
        }
        self.realms.reached(changes.edit);
    }

    /// Whether it is complete.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Which parts of the directory have changed.
    pub fn realms(&self) -> &Realms {
        &self.realms
    }

    /// The last second whose tokens a cut-off covers that would cover this token, whenever it was issued.
    pub fn cut_off_through(&self, token: &NewToken) -> Option<i64> {
        self.cut_offs.load().through(token.into())
    }

    /// The event of the feed up to which all were taken over.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
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
        is_due || list.bits.is_set(place.index).unwrap_or(false)
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

    /// Moves on by one event, and never over one: another process may have written between two of this
    /// one's, and what was written there is asked for from here ([`Index::sequence`]).
    fn reached(&self, sequence: u64) {
        let before = sequence.saturating_sub(1);
        // Where it fails there is a gap, or it was there before.
        let _ = self
            .sequence
            .compare_exchange(before, sequence, Ordering::AcqRel, Ordering::Acquire);
    }

    pub(super) fn revoke(&self, revoked: impl IntoIterator<Item = (Place, Timestamp)>, now: Timestamp) {
        for (place, effective_at) in revoked {
            let list = self.open(place.list);
            if effective_at <= now {
                mark(&list, place.index);
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

pub(super) fn mark(list: &List, index: u32) {
    if list.bits.set(index).is_none() {
        // The store hands out no such place.
        tracing::error!(
            list = list.id(),
            index,
            "a revoked token has no place in its status list"
        );
    }
}

impl Observer for Index {
    fn committed(&self, changes: &[Change]) {
        let now = self.clock.now();
        for change in changes {
            match change {
                Change::Revoked {
                    place,
                    effective_at,
                    sequence,
                    ..
                } => {
                    self.revoke([(*place, *effective_at)], now);
                    self.reached(*sequence);
                }
                Change::CutOff { cut_off, sequence } => {
                    self.cut_off(cut_off.clone(), *sequence);
                    self.reached(*sequence);
                }
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
}
