//! What a follower of the revocation feed knows, and whether a token is revoked by it.
//!
//! Apart from the client, since it does no I/O: whoever fetches the feed in another way applies it here.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::event::{BEFORE_ALL, CutOff, Ends, Entry, Event, Kind, Position};
use crate::feed::{Cursor, CutOffSnapshot, Item, SnapshotClaims};
use crate::{Claims, Header, Malformed, STATUS_LIST_CAPACITY, StatusList, StatusListClaims, TokenType};

/// Revoked tokens, scheduled revocations and cut-offs up to a position of the feed.
///
/// Any number of threads read it without waiting while one applies items.
pub struct Known {
    /// What precedes the number of a list in a token's `status.uri`.
    lists_url: String,
    lists: ArcSwap<HashMap<u32, Arc<List>>>,
    /// Whether no token of an absent list is revoked. Status lists alone cannot tell: a list appears with its first
    /// token.
    is_complete: bool,
    cut_offs: CutOffs,
    position: ArcSwap<Position>,
    /// The latest time of the authority, in milliseconds since the Unix epoch.
    authority_time: AtomicI64,
    /// Held while an item is applied; readers never take it.
    writing: Mutex<()>,
}

#[derive(Debug)]
struct List {
    revoked: StatusList,
    /// Revocations that take effect later, by index: index and instant in milliseconds since the Unix epoch.
    scheduled: ArcSwap<Vec<(u32, i64)>>,
}

/// The reason why an item was not applied. What is known did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotApplied {
    /// Items between the position and this one are missing.
    #[error("items of the feed are missing before this one")]
    Gap,
    /// The item is at or before the position and not known to be the same.
    #[error("the item is at or before the known position")]
    Repeated,
    /// The hash is not that of the item after the previous one.
    #[error("the item or one before it was altered")]
    Altered,
    /// The item is of another epoch: the authority's database was restored.
    #[error("the item is of another epoch")]
    OtherEpoch,
    /// The item names an index that no status list has.
    #[error("the item names an index outside its status list")]
    OutOfRange,
}

impl Known {
    /// Returns what is known at a position before the first event, which is nothing.
    pub fn beginning(issuer: &str, position: Position) -> Self {
        Self::new(issuer, position, HashMap::new(), true)
    }

    /// Returns what a snapshot says.
    ///
    /// # Errors
    ///
    /// [`Malformed::Claims`] if a list cannot be decompressed, or schedules an index that it does not have.
    pub fn from_snapshot(issuer: &str, snapshot: &SnapshotClaims) -> Result<Self, Malformed> {
        let mut lists = HashMap::new();
        for list in &snapshot.status_lists {
            let mut scheduled = list.scheduled.clone();
            scheduled.sort_unstable();
            scheduled.dedup_by_key(|(index, _)| *index);
            if scheduled.iter().any(|(index, _)| *index >= STATUS_LIST_CAPACITY) {
                return Err(Malformed::Claims);
            }
            let list_known = List {
                revoked: full(list.list.inflate()?),
                scheduled: ArcSwap::from_pointee(scheduled),
            };
            lists.insert(list.id, Arc::new(list_known));
        }
        let known = Self::new(issuer, snapshot.position, lists, true);
        for CutOffSnapshot { effective_at, tokens } in &snapshot.cut_offs {
            known.cut_offs.add(tokens, *effective_at);
        }
        known.observe(snapshot.issued_at.saturating_mul(1000));
        Ok(known)
    }

    /// Returns what published status lists say. No item can be applied to it, and whether a token of another list is
    /// revoked is unknown.
    ///
    /// # Errors
    ///
    /// [`Malformed::Claims`] if a list cannot be decompressed, has no number, or is of another epoch than the others.
    pub fn from_status_lists(issuer: &str, published: &[StatusListClaims]) -> Result<Self, Malformed> {
        let first = published.first().ok_or(Malformed::Claims)?.feed;
        let sequence = published.iter().map(|list| list.feed.sequence).min();
        let position = Position {
            epoch: first.epoch,
            sequence: sequence.unwrap_or_default(),
            hash: BEFORE_ALL,
        };
        let mut known = Self::new(issuer, position, HashMap::new(), false);
        let mut lists = HashMap::new();
        for list in published {
            let number = known.list_number(&list.uri).ok_or(Malformed::Claims)?;
            if list.feed.epoch != first.epoch {
                return Err(Malformed::Claims);
            }
            let list = List {
                revoked: list.list.inflate()?,
                scheduled: ArcSwap::default(),
            };
            lists.insert(number, Arc::new(list));
        }
        known.lists = ArcSwap::from_pointee(lists);
        Ok(known)
    }

    fn new(issuer: &str, position: Position, lists: HashMap<u32, Arc<List>>, is_complete: bool) -> Self {
        Self {
            lists_url: format!("{issuer}/status-lists/"),
            lists: ArcSwap::from_pointee(lists),
            is_complete,
            cut_offs: CutOffs::default(),
            position: ArcSwap::from_pointee(position),
            authority_time: AtomicI64::new(0),
            writing: Mutex::new(()),
        }
    }

    /// Returns the position up to which everything is known.
    pub fn position(&self) -> Position {
        **self.position.load()
    }

    /// Returns the latest time of the authority that an item or a head told, in milliseconds since the Unix epoch.
    pub fn authority_time(&self) -> i64 {
        self.authority_time.load(Ordering::Acquire)
    }

    /// Applies the next item. The item at the position itself is ignored if it is the same.
    ///
    /// # Errors
    ///
    /// [`NotApplied`] if the item does not follow on what is known.
    pub fn apply(&self, item: &Item) -> Result<(), NotApplied> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (place, before) = (item.place(), self.position());
        if place.epoch != before.epoch {
            return Err(NotApplied::OtherEpoch);
        }
        if place.sequence <= before.sequence {
            let is_same = place.sequence == before.sequence && place.hash == before.hash;
            return if is_same {
                Ok(())
            } else {
                Err(NotApplied::Repeated)
            };
        }
        if place.sequence - 1 != before.sequence {
            return Err(NotApplied::Gap);
        }
        let entry = Entry::from(item.clone());
        let is_chained = entry.event.hash(&before.hash) == entry.hash;
        if !is_chained || place.cursor != Cursor(entry.position()) {
            return Err(NotApplied::Altered);
        }
        self.record(&entry.event)?;
        self.position.store(Arc::new(entry.position()));
        Ok(())
    }

    fn record(&self, event: &Event) -> Result<(), NotApplied> {
        match &event.ends {
            Ends::Token(token) => {
                let list = self.list(token.status_list);
                // One that the authority recorded as in effect is, whatever this machine's clock says.
                if event.effective_at <= event.recorded_at {
                    list.revoked.set(token.index).ok_or(NotApplied::OutOfRange)?;
                } else {
                    list.schedule(token.index, event.effective_at)?;
                }
            }
            Ends::CutOff(tokens) => self.cut_offs.add(tokens, event.effective_at),
        }
        self.authority_time.fetch_max(event.recorded_at, Ordering::AcqRel);
        Ok(())
    }

    /// Takes note of the authority's time, in milliseconds since the Unix epoch: scheduled revocations that are due
    /// become revocations.
    ///
    /// Only by a time that the authority signed: a clock of this machine that goes ahead and back must not revoke
    /// anything for good.
    pub fn observe(&self, authority_time: i64) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.authority_time.fetch_max(authority_time, Ordering::AcqRel);
        for list in self.lists.load().values() {
            list.settle(authority_time);
        }
    }

    /// Returns whether the token is revoked at this instant, in milliseconds since the Unix epoch; `None` if that is
    /// unknown. The token's signature must have been verified.
    ///
    /// Nothing that was in effect at the latest known time of the authority is undone by an earlier instant.
    pub fn is_revoked(&self, header: &Header, claims: &Claims, now: i64) -> Option<bool> {
        let now = now.max(self.authority_time());
        if self.cut_offs.end(header, claims, now) {
            return Some(true);
        }
        let number = self.list_number(&claims.status.uri)?;
        match self.lists.load().get(&number) {
            Some(list) => list.is_revoked(claims.status.index, now),
            None => (self.is_complete && claims.status.index < STATUS_LIST_CAPACITY).then_some(false),
        }
    }

    fn list_number(&self, uri: &str) -> Option<u32> {
        let digits = uri.strip_prefix(self.lists_url.as_str())?;
        let is_canonical = digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse().ok().filter(|_| is_canonical)
    }

    /// Returns a list, which is added if it is absent.
    fn list(&self, number: u32) -> Arc<List> {
        let lists = self.lists.load();
        if let Some(list) = lists.get(&number) {
            return Arc::clone(list);
        }
        let list = Arc::new(List {
            revoked: StatusList::new(STATUS_LIST_CAPACITY),
            scheduled: ArcSwap::default(),
        });
        let mut lists = HashMap::clone(&lists);
        lists.insert(number, Arc::clone(&list));
        self.lists.store(Arc::new(lists));
        list
    }
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Known")
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// Returns the list with room for every index: tokens can be added to it after the snapshot.
fn full(list: StatusList) -> StatusList {
    if list.capacity() >= STATUS_LIST_CAPACITY {
        return list;
    }
    let mut bytes = list.to_bytes();
    bytes.resize(STATUS_LIST_CAPACITY as usize / 8, 0);
    StatusList::from(bytes.as_slice())
}

impl List {
    /// Checks schedules before bits, in the reverse order of [`List::settle`]: a revocation that becomes due in
    /// between is seen in one of the two.
    fn is_revoked(&self, index: u32, now: i64) -> Option<bool> {
        let scheduled = self.scheduled.load();
        let found = scheduled.binary_search_by_key(&index, |(index, _)| *index);
        let is_due = found
            .ok()
            .and_then(|at| scheduled.get(at))
            .is_some_and(|(_, at)| *at <= now);
        if is_due {
            return Some(true);
        }
        self.revoked.is_set(index)
    }

    fn schedule(&self, index: u32, effective_at: i64) -> Result<(), NotApplied> {
        if index >= self.revoked.capacity() {
            return Err(NotApplied::OutOfRange);
        }
        let mut scheduled = Vec::clone(&self.scheduled.load());
        match scheduled.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => {
                if let Some((_, known)) = scheduled.get_mut(at) {
                    *known = effective_at.min(*known);
                }
            }
            Err(at) => scheduled.insert(at, (index, effective_at)),
        }
        self.scheduled.store(Arc::new(scheduled));
        Ok(())
    }

    fn settle(&self, now: i64) {
        let scheduled = self.scheduled.load();
        let (due, later): (Vec<_>, Vec<_>) = scheduled.iter().copied().partition(|(_, at)| *at <= now);
        if due.is_empty() {
            return;
        }
        for (index, _) in due {
            // Indexes were checked when they were scheduled.
            let _ = self.revoked.set(index);
        }
        self.scheduled.store(Arc::new(later));
    }
}

/// All cut-offs, indexed so that checking a token reads only those that can cover it.
///
/// The key is the hash of the narrowest subject that a cut-off names. Subjects with the same hash do no harm: each
/// cut-off is compared in full.
struct CutOffs {
    hasher: RandomState,
    /// Apart, so that adding one copies only a part of the index.
    shards: [ArcSwap<CutOffIndex>; 64],
}

type CutOffIndex = HashMap<u64, Arc<[CutOffSnapshot]>>;

#[derive(Hash)]
enum Subject<'a> {
    Team(&'a str),
    User(&'a str),
    Project(u32),
    Organization(Uuid),
    Key(&'a str),
    Everything,
}

impl Default for CutOffs {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| ArcSwap::default()),
        }
    }
}

impl CutOffs {
    fn add(&self, tokens: &CutOff, effective_at: i64) {
        let hash = self.hasher.hash_one(Subject::of(tokens));
        let Some(shard) = self.shard(hash) else { return };
        let mut index = HashMap::clone(&shard.load());
        let known = index.get(&hash).map(|known| &**known).unwrap_or_default();
        let added = CutOffSnapshot {
            effective_at,
            tokens: tokens.clone(),
        };
        // The same cut-off again and again must not make the check of every token longer.
        if known
            .iter()
            .any(|known| *known == added || replaces(known, &added))
        {
            return;
        }
        let kept = known.iter().filter(|known| !replaces(&added, known)).cloned();
        let all = kept.chain([added.clone()]).collect();
        index.insert(hash, all);
        shard.store(Arc::new(index));
    }

    /// Returns whether any cut-off ends the token at this instant.
    fn end(&self, header: &Header, claims: &Claims, now: i64) -> bool {
        let projects = claims.projects.as_deref().unwrap_or_default();
        let projects = projects.iter().map(|project| Subject::Project(*project));
        let subjects = [
            claims.team.as_deref().map(Subject::Team),
            Some(Subject::User(&claims.subject)),
            claims.organization.map(Subject::Organization),
            Some(Subject::Key(header.kid.as_str())),
            Some(Subject::Everything),
        ];
        subjects.into_iter().flatten().chain(projects).any(|subject| {
            let hash = self.hasher.hash_one(subject);
            self.shard(hash).is_some_and(|shard| {
                let index = shard.load();
                let about = index.get(&hash).map(|about| &**about).unwrap_or_default();
                about
                    .iter()
                    .any(|cut_off| cut_off.effective_at <= now && covers(&cut_off.tokens, header, claims))
            })
        })
    }

    fn shard(&self, hash: u64) -> Option<&ArcSwap<CutOffIndex>> {
        // The remainder is below the number of shards.
        self.shards
            .get(usize::try_from(hash % self.shards.len() as u64).ok()?)
    }
}

impl<'a> Subject<'a> {
    /// Returns the narrowest subject that the cut-off names.
    fn of(tokens: &'a CutOff) -> Self {
        if let Some(team) = &tokens.team {
            Self::Team(team)
        } else if let Some(user) = &tokens.user {
            Self::User(user)
        } else if let Some(project) = tokens.project {
            Self::Project(project)
        } else if let Some(organization) = tokens.organization {
            Self::Organization(organization)
        } else if let Some(kid) = &tokens.kid {
            Self::Key(kid)
        } else {
            Self::Everything
        }
    }
}

/// Returns whether the cut-off covers the token, from whatever instant it counts.
fn covers(tokens: &CutOff, header: &Header, claims: &Claims) -> bool {
    let CutOff {
        organization,
        team,
        user,
        project,
        kid,
        kind,
        issued_through,
    } = tokens;
    let kind_of_token = match header.token_type {
        TokenType::Session => Kind::Session,
        _ => Kind::Api,
    };
    let projects = claims.projects.as_deref().unwrap_or_default();
    claims.issued_at <= *issued_through
        && organization.is_none_or(|organization| claims.organization == Some(organization))
        && (team.is_none() || claims.team == *team)
        && user.as_ref().is_none_or(|user| claims.subject == *user)
        && project.is_none_or(|project| projects.contains(&project))
        && kid.as_ref().is_none_or(|kid| header.kid.as_str() == kid)
        && kind.is_none_or(|kind| kind == kind_of_token)
}

/// Returns whether a cut-off that is in effect makes an earlier one superfluous.
fn replaces(later: &CutOffSnapshot, earlier: &CutOffSnapshot) -> bool {
    let with_its_reach = CutOff {
        issued_through: later.tokens.issued_through,
        ..earlier.tokens.clone()
    };
    later.tokens == with_its_reach
        && earlier.tokens.issued_through <= later.tokens.issued_through
        && later.effective_at.div_euclid(1000) <= later.tokens.issued_through
}
