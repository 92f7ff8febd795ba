//! The revocation index: status list bits, cut-offs and changes of the directory, in memory.
//!
//! Every check of a token reads it, so it does not block: bits and counters are atomic, larger parts are
//! replaced as a whole. Only a token with a scheduled revocation takes a lock, for one look-up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use jeton_verifier::event::Position;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::revocation::backlog::Backlog;
use crate::revocation::cut_offs::CutOffs;
use crate::revocation::lease::{Lease, Moment};
use crate::revocation::list::List;
use crate::revocation::metrics::{Gauges, Metrics};
use crate::revocation::realms::Realms;
use crate::revocation::tail::{Heard, Tail};
use jeton_core::clock::Timestamp;
use jeton_core::deployment_clock::DeploymentClock;
use jeton_core::token::{CutOff, CutOffSubject, ListIndex, NewToken};
use jeton_store::{Advance, Change, Changes, Commit, Observer, Snapshot};

/// The state of revocation as this process knows it, readable without the store.
///
/// It is ready from [`Index::rebuild`] until [`Index::fork`], while its lease is held; otherwise no token counts as active.
pub struct Index {
    clock: Arc<DeploymentClock>,
    is_complete: AtomicBool,
    has_forked: AtomicBool,
    /// Ends while the events of other servers cannot be read.
    lease: Lease,
    /// The changes of the directory.
    realms: Realms,
    /// The position in the feed up to which all events are applied; `None` before the first rebuild.
    position: Mutex<Option<Position>>,
    /// The last of these events. Changed only while the position is locked.
    tail: Tail,
    /// The number of the last event that this process has added.
    added: AtomicU64,
    /// When the store was last asked for the events of other processes, in milliseconds since the Unix epoch.
    followed_at: AtomicI64,
    pub(super) lists: ArcSwap<BTreeMap<u32, Arc<List>>>,
    /// The number of changes to the content of status lists.
    pub(super) changes: AtomicU64,
    cut_offs: ArcSwap<CutOffs>,
    /// The cut-offs whose bits are not all set.
    pub(super) backlog: Backlog,
    /// The latest [`CutOff::last_issue`] of all: tokens issued later need no look-up.
    latest_cut_off: AtomicI64,
    /// Held while one of the above is replaced as a whole.
    pub(super) replacing: Mutex<()>,
    metrics: Metrics,
}

/// All revocations up to a position in the feed.
#[derive(Debug)]
pub struct FeedSnapshot {
    /// The position.
    pub position: Position,
    /// The status lists.
    pub lists: Vec<Arc<List>>,
    /// The cut-offs.
    pub cut_offs: Vec<CutOff>,
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
    /// Returns an empty index, which is not ready.
    pub fn new(clock: Arc<DeploymentClock>) -> Self {
        Self {
            clock,
            is_complete: AtomicBool::new(false),
            has_forked: AtomicBool::new(false),
            lease: Lease::default(),
            realms: Realms::default(),
            position: Mutex::default(),
            tail: Tail::default(),
            added: AtomicU64::new(0),
            followed_at: AtomicI64::new(0),
            lists: ArcSwap::default(),
            changes: AtomicU64::new(0),
            cut_offs: ArcSwap::default(),
            backlog: Backlog::default(),
            latest_cut_off: AtomicI64::new(i64::MIN),
            replacing: Mutex::new(()),
            metrics: Metrics::default(),
        }
    }

    /// Registers the metrics of the index.
    pub fn register_metrics(self: &Arc<Self>, registry: &mut Registry) {
        self.metrics.register(registry);
        registry.register_collector(Box::new(Gauges(Arc::clone(self))));
    }

    /// Applies a snapshot of the store. Commits made meanwhile may have been observed already; applying them
    /// twice is harmless, since revocations are never undone.
    ///
    /// A repeated rebuild, after missed events, does not change the realms: a snapshot does not tell which of
    /// them have changed since. [`Index::follow`] does.
    pub fn rebuild(&self, snapshot: Snapshot) {
        self.clock.resume(snapshot.time);
        let now = self.clock.now();
        for list in &snapshot.lists {
            self.open(*list);
        }
        self.revoke(snapshot.revoked, now);
        for (sequence, cut_off) in snapshot.cut_offs {
            self.cut_off(cut_off, sequence);
        }
        self.with_position(|position| match position {
            // A process follows one epoch. The store reports a different epoch when it is asked for the changes
            // after the known position.
            Some(known) if known.epoch != snapshot.position.epoch => {}
            Some(known) if known.sequence >= snapshot.position.sequence => {}
            _ => {
                *position = Some(snapshot.position);
                self.tail.begin(snapshot.position);
            }
        });
        if !self.is_complete.load(Ordering::Acquire) {
            self.realms.keys_changed(snapshot.keys);
            self.realms.reached(snapshot.edit);
        }
        self.is_complete.store(true, Ordering::Release);
    }

    /// Applies the changes that other processes have committed after a position. `asked_at` is an instant before
    /// the store was asked.
    pub fn follow(&self, after: Position, changes: &Changes, asked_at: Timestamp) {
        // Before the events: one that was ordered for now must be due now.
        self.clock.raise(changes.latest);
        self.apply(&changes.events);
        self.advance(after, changes.reached, &changes.events);
        // Not if this process has added an event meanwhile that lies before one of another: the next call gets both.
        let has_reached = |known: Position| known.sequence >= changes.reached.sequence;
        if !changes.has_more && self.reached().is_some_and(has_reached) {
            self.followed_at.store(asked_at.millis(), Ordering::Release);
        }
        for (realm, generation) in &changes.realms {
            self.realms.changed(realm, *generation);
        }
        self.realms.reached(changes.edit);
    }

    /// Stops the index for good: the store's history does not continue the one that it was built from, so the
    /// tokens it knows may not exist.
    pub fn fork(&self) {
        self.has_forked.store(true, Ordering::Release);
    }

    /// Returns whether the store's history was found not to continue the one that was followed.
    pub fn has_forked(&self) -> bool {
        self.has_forked.load(Ordering::Acquire)
    }

    /// Returns whether the index is complete and follows the store's history, and its lease is held.
    pub fn is_ready(&self) -> bool {
        self.is_complete.load(Ordering::Acquire) && !self.has_forked() && self.is_current()
    }

    /// Returns now, from which a lease can last.
    pub fn moment(&self) -> Moment {
        Moment::now(&self.clock)
    }

    /// Lets the index be ready until some time after a moment. All that was committed before that moment was followed.
    pub fn renew(&self, from: Moment, lasts: Duration) {
        self.lease.set(from, lasts);
    }

    /// Returns whether the lease is held. It is for ever, unless it was renewed.
    pub fn is_current(&self) -> bool {
        self.lease.is_held(&self.clock)
    }

    /// Returns the changes of the directory.
    pub fn realms(&self) -> &Realms {
        &self.realms
    }

    /// Returns the last second of issue covered by the cut-offs that reach this token, whenever it was issued.
    pub fn cut_off_through(&self, token: &NewToken) -> Option<i64> {
        self.cut_offs.load().through(token.into())
    }

    /// Returns the last event of the feed, and the instant at which it was the last one of all processes; `None`
    /// before the first call of [`Index::follow`], and while the index is not ready.
    pub fn head(&self) -> Option<(Position, Timestamp)> {
        if !self.is_ready() {
            return None;
        }
        // In this order: the position may be newer than the instant, never older.
        let at = Timestamp::from_millis(self.followed_at.load(Ordering::Acquire))?;
        if at == Timestamp::EPOCH {
            return None;
        }
        Some((self.reached()?, at))
    }

    /// Returns whether an event of this process lies behind one of another that is not applied yet: the position is
    /// before both.
    pub fn is_behind_itself(&self) -> bool {
        let added = self.added.load(Ordering::Acquire);
        self.reached().is_some_and(|reached| reached.sequence < added)
    }

    /// Returns the events after a position in the feed.
    pub fn heard(&self, after: Position, most: usize) -> Heard {
        self.tail.after(after, most)
    }

    /// Returns what a follower needs to start: a position of the feed, and all revocations up to it and perhaps a few
    /// more; `None` before the first rebuild.
    pub fn snapshot(&self) -> Option<FeedSnapshot> {
        // In this order: events are applied before the position moves beyond them.
        let position = self.reached()?;
        Some(FeedSnapshot {
            position,
            lists: self.lists.load().values().cloned().collect(),
            cut_offs: self.cut_offs.load().all().cloned().collect(),
        })
    }

    /// Returns a receiver of the position of the last event.
    pub fn news(&self) -> watch::Receiver<Position> {
        self.tail.reached()
    }

    /// Returns the position in the feed up to which all events are applied; `None` before the first rebuild.
    pub fn reached(&self) -> Option<Position> {
        self.with_position(|position| *position)
    }

    /// Returns whether the token at this status list index is revoked at this instant, cut-offs aside.
    pub fn is_revoked(&self, list_index: ListIndex, now: Timestamp) -> bool {
        let lists = self.lists.load();
        let Some(list) = lists.get(&list_index.list) else {
            return false;
        };
        // In this order: a due revocation moves from the schedule to the bits, and must be found in one of
        // them.
        let is_due = list
            .scheduled
            .get(list_index.index)
            .is_some_and(|effective_at| effective_at <= now);
        is_due || list.is_set(list_index.index)
    }

    /// Returns when a scheduled revocation of the token at this index takes effect.
    pub fn scheduled(&self, list_index: ListIndex) -> Option<Timestamp> {
        self.lists
            .load()
            .get(&list_index.list)?
            .scheduled
            .get(list_index.index)
    }

    /// Returns whether a cut-off ends this token at this instant.
    pub fn is_cut_off<'a>(&self, token: impl Into<CutOffSubject<'a>>, now: Timestamp) -> bool {
        let token = token.into();
        token.issued_at <= self.latest_cut_off.load(Ordering::Acquire) && self.cut_offs.load().end(token, now)
    }

    /// Returns the cut-off that ends this token at this instant; of several, the first to take effect.
    pub fn cut_off_of<'a>(&self, token: impl Into<CutOffSubject<'a>>, now: Timestamp) -> Option<CutOff> {
        self.cut_offs.load().ending(token.into(), now).cloned()
    }

    /// Moves from one position to the next, but never over events that were not applied: another process may
    /// have committed in between, or the store may have been restored to an older state. Either shows when the
    /// store is asked for the changes after [`Index::reached`].
    fn advance(&self, after: Position, reached: Position, changes: &[Change]) {
        self.with_position(|position| {
            if *position == Some(after) && after != reached {
                *position = Some(reached);
                self.tail
                    .extend(changes.iter().filter_map(Change::entry).cloned());
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
                    list_index,
                    effective_at,
                    ..
                } => self.revoke([(*list_index, *effective_at)], now),
                Change::CutOff { cut_off, entry } => self.cut_off(cut_off.clone(), entry.event.sequence),
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

    pub(super) fn revoke(&self, revoked: impl IntoIterator<Item = (ListIndex, Timestamp)>, now: Timestamp) {
        for (list_index, effective_at) in revoked {
            let list = self.open(list_index.list);
            if effective_at <= now {
                list.set(list_index.index);
            } else {
                list.scheduled.add(list_index.index, effective_at);
            }
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    fn cut_off(&self, cut_off: CutOff, sequence: u64) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cut_offs = CutOffs::clone(&self.cut_offs.load());
        let (last_issue, effective_at) = (cut_off.last_issue(), cut_off.effective_at);
        cut_offs.add(cut_off);
        self.cut_offs.store(cut_offs.into());
        self.latest_cut_off.fetch_max(last_issue, Ordering::AcqRel);
        self.backlog.add(sequence, effective_at);
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

impl Observer for Index {
    fn committed(&self, commit: Commit<'_>) {
        self.metrics.committed(commit.changes);
        self.apply(commit.changes);
        if let Some(Advance { after, reached }) = commit.advance {
            self.added.fetch_max(reached.sequence, Ordering::AcqRel);
            self.advance(after, reached, commit.changes);
        }
    }
}
