//! The index in memory: the bits of the status lists, the cut-offs, and what has changed.
//!
//! Every use of a token asks it, so it never waits: bits and counters are atomic, and what is larger
//! is replaced whole.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jeton_verifier::StatusList;

use crate::clock::{Clock, Timestamp};
use crate::directory::{OrganizationId, TeamId, UserId};
use crate::store::{Change, Changes, Generation, Observer, Snapshot};
use crate::token::{CutOff, Place, Record, TokenId};

/// How many bits a status list has.
const LIST_CAPACITY: u32 = 1 << 20;

/// Changes to a token's name are noticed by a counter that it shares with others: a collision only
/// costs a read of the store.
const VERSIONS: usize = 4096;

/// Everything that a process knows of revocation without asking the store.
///
/// Complete from [`Index::rebuild`] on; before that nothing may be called active.
pub struct Index {
    clock: Arc<dyn Clock>,
    ready: AtomicBool,
    generation: AtomicU64,
    sequence: AtomicU64,
    edits: AtomicU64,
    versions: Vec<AtomicU64>,
    lists: ArcSwap<HashMap<u32, Arc<StatusList>>>,
    /// Revocations that are published and not yet obeyed. Few: the rotations under way.
    scheduled: ArcSwap<HashMap<Place, Timestamp>>,
    cut_offs: ArcSwap<CutOffs>,
    /// The latest second that any cut-off covers: what was issued after it needs no closer look.
    latest_cut_off: AtomicI64,
    /// Taken by whoever replaces one of the above whole.
    replacing: Mutex<()>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("ready", &self.ready)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// The narrowest thing that a cut-off names: the place where a token's check looks for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Team(TeamId),
    User(UserId),
    Project(u32),
    Organization(OrganizationId),
    Key(String),
    Everything,
}

#[derive(Debug, Clone, Default)]
struct CutOffs(HashMap<Subject, Vec<CutOff>>);

impl CutOffs {
    fn add(&mut self, cut_off: CutOff) {
        let reach = &cut_off.reach;
        let subject = if let Some(team) = &reach.team {
            Subject::Team(team.clone())
        } else if let Some(user) = &reach.user {
            Subject::User(user.clone())
        } else if let Some(project) = reach.project {
            Subject::Project(project)
        } else if let Some(organization) = reach.organization {
            Subject::Organization(organization)
        } else if let Some(kid) = &reach.kid {
            Subject::Key(kid.clone())
        } else {
            Subject::Everything
        };
        let known = self.0.entry(subject).or_default();
        if !known.contains(&cut_off) {
            known.push(cut_off);
        }
    }

    /// The most restrictive decides: one that covers the token is enough.
    fn end(&self, record: &Record, now: Timestamp) -> bool {
        let owner = &record.token.owner;
        let projects = record
            .token
            .projects
            .iter()
            .flatten()
            .map(|project| Subject::Project(*project));
        let subjects = [
            owner.team().cloned().map(Subject::Team),
            owner.user().cloned().map(Subject::User),
            owner.organization().map(Subject::Organization),
            Some(Subject::Key(record.token.kid.to_string())),
            Some(Subject::Everything),
        ];
        subjects
            .into_iter()
            .flatten()
            .chain(projects)
            .filter_map(|subject| self.0.get(&subject))
            .flatten()
            .any(|cut_off| cut_off.ends(record, now))
    }
}

impl Index {
    /// An empty index, which is not ready.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            ready: AtomicBool::new(false),
            generation: AtomicU64::new(0),
            sequence: AtomicU64::new(0),
            edits: AtomicU64::new(0),
            versions: (0..VERSIONS).map(|_| AtomicU64::new(0)).collect(),
            lists: ArcSwap::default(),
            scheduled: ArcSwap::default(),
            cut_offs: ArcSwap::default(),
            latest_cut_off: AtomicI64::new(i64::MIN),
            replacing: Mutex::new(()),
        }
    }

    /// Takes over the state of the store as it was at one instant. What is committed meanwhile may
    /// already have been observed; taking it twice does no harm, since nothing here is ever undone.
    pub fn rebuild(&self, snapshot: Snapshot) {
        let now = self.clock.now();
        for (place, effective_at) in snapshot.revoked {
            self.revoke(place, effective_at, now);
        }
        for cut_off in snapshot.cut_offs {
            self.cut_off(cut_off);
        }
        self.generation.fetch_max(snapshot.generation, Ordering::AcqRel);
        self.sequence.fetch_max(snapshot.sequence, Ordering::AcqRel);
        self.ready.store(true, Ordering::Release);
    }

    /// Takes over what another process has committed.
    pub fn follow(&self, changes: &Changes) {
        self.committed(&changes.events);
        self.committed(&[Change::Directory(changes.generation)]);
    }

    /// Whether it is complete.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// The directory's version.
    pub fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    /// The event of the feed up to which all were taken over.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Acquire)
    }

    /// A counter that has moved if the token's record was changed since it was last read.
    pub fn version(&self, token: TokenId) -> u64 {
        self.version_of(token)
            .map_or(0, |version| version.load(Ordering::Acquire))
    }

    /// A counter that moves with every change to any token's record.
    pub fn edits(&self) -> u64 {
        self.edits.load(Ordering::Acquire)
    }

    /// Whether the token is revoked, by itself or by a cut-off, with effect at this instant.
    pub fn is_revoked(&self, record: &Record, now: Timestamp) -> bool {
        self.is_place_revoked(record.place, now) || self.is_cut_off(record, now)
    }

    fn is_place_revoked(&self, place: Place, now: Timestamp) -> bool {
        let lists = self.lists.load();
        let set = lists
            .get(&place.list)
            .and_then(|list| list.is_set(place.index))
            .unwrap_or(false);
        set || self
            .scheduled
            .load()
            .get(&place)
            .is_some_and(|effective_at| *effective_at <= now)
    }

    /// When the token at this place will be revoked, if that lies ahead.
    pub fn scheduled(&self, place: Place) -> Option<Timestamp> {
        self.scheduled.load().get(&place).copied()
    }

    /// Whether a cut-off ends this token at this instant.
    pub fn is_cut_off(&self, record: &Record, now: Timestamp) -> bool {
        record.token.created_at.seconds() <= self.latest_cut_off.load(Ordering::Acquire)
            && self.cut_offs.load().end(record, now)
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

    fn changed(&self, token: TokenId) {
        // In this order: whoever sees the token's own counter moved sees this one moved too.
        self.edits.fetch_add(1, Ordering::AcqRel);
        if let Some(version) = self.version_of(token) {
            version.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn version_of(&self, token: TokenId) -> Option<&AtomicU64> {
        let slot = usize::try_from(token.0.unsigned_abs()).unwrap_or_default() % VERSIONS;
        self.versions.get(slot)
    }

    fn revoke(&self, place: Place, effective_at: Timestamp, now: Timestamp) {
        if effective_at <= now {
            self.set(place);
            return;
        }
        // A bit cannot say "from tomorrow on": what lies ahead waits here, and its instant is
        // compared at every look.
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scheduled = HashMap::clone(&self.scheduled.load());
        let earliest = scheduled
            .get(&place)
            .map_or(effective_at, |known| effective_at.min(*known));
        scheduled.insert(place, earliest);
        self.scheduled.store(scheduled.into());
    }

    fn set(&self, place: Place) {
        if let Some(list) = self.lists.load().get(&place.list) {
            mark(list, place);
            return;
        }
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lists = HashMap::clone(&self.lists.load());
        let list = lists
            .entry(place.list)
            .or_insert_with(|| StatusList::new(LIST_CAPACITY).into());
        mark(list, place);
        self.lists.store(lists.into());
    }

    /// Lets go of a list whose tokens have all ended.
    fn retire(&self, list: u32) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lists = HashMap::clone(&self.lists.load());
        if lists.remove(&list).is_some() {
            self.lists.store(lists.into());
        }
    }

    fn cut_off(&self, cut_off: CutOff) {
        let _replacing = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cut_offs = CutOffs::clone(&self.cut_offs.load());
        let issued_through = cut_off.issued_through;
        cut_offs.add(cut_off);
        self.cut_offs.store(cut_offs.into());
        self.latest_cut_off.fetch_max(issued_through, Ordering::AcqRel);
    }
}

fn mark(list: &StatusList, place: Place) {
    if list.set(place.index).is_none() {
        // The store hands out no such place. If it ever did, the record still says that the token is
        // revoked, and readers of it are told so by the version that has moved.
        tracing::error!(?place, "a revoked token has no place in its status list");
    }
}

impl Observer for Index {
    fn committed(&self, changes: &[Change]) {
        let now = self.clock.now();
        for change in changes {
            match change {
                Change::Revoked {
                    token,
                    place,
                    effective_at,
                    sequence,
                } => {
                    self.revoke(*place, *effective_at, now);
                    // The record says who revoked it and why.
                    self.changed(*token);
                    self.reached(*sequence);
                }
                Change::CutOff { cut_off, sequence } => {
                    self.cut_off(cut_off.clone());
                    self.reached(*sequence);
                }
                Change::Directory(generation) => {
                    self.generation.fetch_max(generation.0, Ordering::AcqRel);
                }
                Change::Described(token) => self.changed(*token),
                Change::Retired(list) => self.retire(*list),
            }
        }
    }
}
