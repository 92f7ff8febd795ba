//! What a follower of the revocation feed knows, and whether a token is revoked by it.
//!
//! Apart from the client, since it does no I/O: programs that fetch the feed in another way apply it here.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use uuid::Uuid;

use crate::event::{BEFORE_ALL, CutOff, Ends, Entry, Event, Kind, Position};
use crate::feed::{Cursor, CutOffSnapshot, Item, SnapshotClaims};
use crate::{
    Claims, Header, KeyId, Malformed, NEVER, STATUS_LIST_CAPACITY, StatusList, StatusListClaims, TokenType,
};

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
    /// The highest number of a list that is signed, by a snapshot or by a head after the item that named it.
    highest_list: AtomicU32,
    /// Held while an item is applied; readers never take it.
    writing: Mutex<()>,
}

#[derive(Debug)]
struct List {
    revoked: StatusList,
    /// Revocations that take effect later. Apart, so that adding one copies only a part of them.
    scheduled: [ArcSwap<Scheduled>; SHARDS],
}

/// Indexes, ascending, and instants in milliseconds since the Unix epoch.
type Scheduled = Vec<(u32, i64)>;

/// How many lists may be named beyond [`Known::highest_list`]. Each takes 128 KiB, and nobody has signed an item when it
/// is applied; a list is for a million tokens.
const MAX_NEW_LISTS: u32 = 256;

/// In how many parts scheduled revocations and cut-offs are kept.
const SHARDS: usize = 64;

/// Returns the part of a list's scheduled revocations to which an index belongs.
fn shard_of(index: u32) -> usize {
    index as usize % SHARDS
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
    /// The item names an index that no status list has, or a list that cannot exist yet.
    #[error("the item names an index outside its status list, or a list that cannot exist yet")]
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
            let known = List::new(full(list.list.inflate()?));
            let mut parts: [Scheduled; SHARDS] = std::array::from_fn(|_| Vec::new());
            for (index, at) in scheduled {
                if let Some(part) = parts.get_mut(shard_of(index)) {
                    part.push((index, at));
                }
            }
            for (shard, part) in known.scheduled.iter().zip(parts) {
                shard.store(Arc::new(part));
            }
            lists.insert(list.id, Arc::new(known));
        }
        let known = Self::new(issuer, snapshot.position, lists, true);
        let taken_at = snapshot.taken_at.max(snapshot.issued_at.saturating_mul(1000));
        known.observe(taken_at);
        for CutOffSnapshot { effective_at, tokens } in &snapshot.cut_offs {
            known.cut_offs.add(tokens, *effective_at, taken_at);
        }
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
            lists.insert(number, Arc::new(List::new(list.list.inflate()?)));
        }
        known.lists = ArcSwap::from_pointee(lists);
        Ok(known)
    }

    fn new(issuer: &str, position: Position, lists: HashMap<u32, Arc<List>>, is_complete: bool) -> Self {
        let highest_list = lists.keys().copied().max().unwrap_or_default();
        Self {
            lists_url: format!("{issuer}/status-lists/"),
            highest_list: AtomicU32::new(highest_list),
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
                if token.index >= STATUS_LIST_CAPACITY {
                    return Err(NotApplied::OutOfRange);
                }
                let list = self.list(token.status_list)?;
                // One that the authority recorded as in effect is, whatever this machine's clock says.
                if event.effective_at <= event.recorded_at {
                    list.revoked.set(token.index).ok_or(NotApplied::OutOfRange)?;
                } else {
                    list.schedule(token.index, event.effective_at)?;
                }
            }
            Ends::CutOff(tokens) => {
                // Before a cut-off takes the place of others: what was in effect at that time stays so.
                let before = self.authority_time.fetch_max(event.recorded_at, Ordering::AcqRel);
                let now = event.recorded_at.max(before);
                self.cut_offs.add(tokens, event.effective_at, now);
            }
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
        let lists = self.lists.load();
        for list in lists.values() {
            list.settle(authority_time);
        }
        let highest = lists.keys().copied().max().unwrap_or_default();
        self.highest_list.fetch_max(highest, Ordering::AcqRel);
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

    /// Returns whether a cut-off that is in effect at this instant withdraws the key: it ends everything that the key
    /// signed. What it signs about revocations is not to be believed either.
    pub fn withdraws(&self, kid: &KeyId, now: i64) -> bool {
        let now = now.max(self.authority_time());
        let withdrawn = self.cut_offs.withdrawn.load();
        withdrawn.get(kid.as_str()).is_some_and(|at| *at <= now)
    }

    /// Returns the keys that cut-offs withdraw.
    #[cfg(feature = "client")]
    pub(crate) fn withdrawn_keys(&self) -> Arc<WithdrawnKeys> {
        self.cut_offs.withdrawn.load_full()
    }

    fn list_number(&self, uri: &str) -> Option<u32> {
        let digits = uri.strip_prefix(self.lists_url.as_str())?;
        let is_canonical = digits.bytes().all(|digit| digit.is_ascii_digit());
        digits.parse().ok().filter(|_| is_canonical)
    }

    /// Returns a list, which is added if it is absent.
    fn list(&self, number: u32) -> Result<Arc<List>, NotApplied> {
        let lists = self.lists.load();
        if let Some(list) = lists.get(&number) {
            return Ok(Arc::clone(list));
        }
        let highest = self.highest_list.load(Ordering::Acquire);
        if number > highest.saturating_add(MAX_NEW_LISTS) {
            return Err(NotApplied::OutOfRange);
        }
        let list = Arc::new(List::new(StatusList::new(STATUS_LIST_CAPACITY)));
        let mut lists = HashMap::clone(&lists);
        lists.insert(number, Arc::clone(&list));
        self.lists.store(Arc::new(lists));
        Ok(list)
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
    fn new(revoked: StatusList) -> Self {
        Self {
            revoked,
            scheduled: std::array::from_fn(|_| ArcSwap::default()),
        }
    }

    /// Checks schedules before bits, in the reverse order of [`List::settle`]: a revocation that becomes due in
    /// between is seen in one of the two.
    fn is_revoked(&self, index: u32, now: i64) -> Option<bool> {
        let scheduled = self.scheduled.get(shard_of(index))?.load();
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
        let shard = self
            .scheduled
            .get(shard_of(index))
            .ok_or(NotApplied::OutOfRange)?;
        let mut scheduled = Vec::clone(&shard.load());
        match scheduled.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => {
                if let Some((_, known)) = scheduled.get_mut(at) {
                    *known = effective_at.min(*known);
                }
            }
            Err(at) => scheduled.insert(at, (index, effective_at)),
        }
        shard.store(Arc::new(scheduled));
        Ok(())
    }

    fn settle(&self, now: i64) {
        for shard in &self.scheduled {
            let scheduled = shard.load();
            let (due, later): (Vec<_>, Vec<_>) = scheduled.iter().copied().partition(|(_, at)| *at <= now);
            if due.is_empty() {
                continue;
            }
            for (index, _) in due {
                // Indexes were checked when they were scheduled.
                let _ = self.revoked.set(index);
            }
            shard.store(Arc::new(later));
        }
    }
}

/// All cut-offs, indexed so that checking a token reads only those that can cover it.
///
/// The key is the hash of the narrowest subject that a cut-off names. Subjects with the same hash do no harm: each
/// cut-off is compared in full.
struct CutOffs {
    hasher: RandomState,
    /// Whether there is any: without, hashes need not be computed.
    is_used: AtomicBool,
    /// Apart, so that adding one copies only a part of the index.
    shards: [ArcSwap<CutOffIndex>; SHARDS],
    withdrawn: ArcSwap<WithdrawnKeys>,
}

/// The keys that were withdrawn, each with the instant at which that takes effect: `kid`, and milliseconds since the Unix
/// epoch.
pub(crate) type WithdrawnKeys = HashMap<String, i64>;

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
            is_used: AtomicBool::new(false),
            shards: std::array::from_fn(|_| ArcSwap::default()),
            withdrawn: ArcSwap::default(),
        }
    }
}

impl CutOffs {
    /// Adds a cut-off. `now` is a time of the authority before which no token is checked any more.
    fn add(&self, tokens: &CutOff, effective_at: i64, now: i64) {
        if let Some(kid) = withdrawn_key(tokens) {
            self.withdraw(kid, effective_at);
        }
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
            .any(|known| *known == added || replaces(known, &added, now))
        {
            return;
        }
        let kept = known
            .iter()
            .filter(|known| !replaces(&added, known, now))
            .cloned();
        let all = kept.chain([added.clone()]).collect();
        index.insert(hash, all);
        self.is_used.store(true, Ordering::Release);
        shard.store(Arc::new(index));
    }

    fn withdraw(&self, kid: &str, effective_at: i64) {
        let known = self.withdrawn.load();
        if known.get(kid).is_some_and(|at| *at <= effective_at) {
            return;
        }
        let mut withdrawn = WithdrawnKeys::clone(&known);
        withdrawn.insert(kid.to_owned(), effective_at);
        self.withdrawn.store(Arc::new(withdrawn));
    }

    /// Returns whether any cut-off ends the token at this instant.
    fn end(&self, header: &Header, claims: &Claims, now: i64) -> bool {
        if !self.is_used.load(Ordering::Acquire) {
            return false;
        }
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

/// Returns the key that a cut-off withdraws: it names nothing else, and covers tokens whenever they were issued. An
/// administrator can also end what a key has signed so far, and the key signs on.
fn withdrawn_key(tokens: &CutOff) -> Option<&str> {
    let CutOff {
        organization: None,
        team: None,
        user: None,
        project: None,
        kid: Some(kid),
        kind: None,
        issued_through: NEVER..,
    } = tokens
    else {
        return None;
    };
    Some(kid)
}

/// Returns whether a cut-off makes another one superfluous, from this instant on.
fn replaces(one: &CutOffSnapshot, other: &CutOffSnapshot, now: i64) -> bool {
    let with_its_reach = CutOff {
        issued_through: one.tokens.issued_through,
        ..other.tokens.clone()
    };
    one.tokens == with_its_reach
        && other.tokens.issued_through <= one.tokens.issued_through
        && one.effective_at <= other.effective_at.max(now)
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::event::RevokedToken;
    use crate::feed::ListSnapshot;
    use crate::{Algorithm, CompressedList, FeedPosition, StatusReference};

    const ISSUER: &str = "https://tokens.example.org";
    const KIDS: [&str; 2] = [
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    ];

    /// A token by small numbers, so that cut-offs meet it often.
    #[derive(Debug, Clone, Copy)]
    struct Subject {
        list: u32,
        index: u32,
        issued_at: i64,
        of: u8,
    }

    fn header(of: u8) -> Header {
        Header {
            algorithm: Algorithm::Es256,
            kid: KIDS[usize::from(of & 1)].parse().unwrap(),
            token_type: if of & 2 == 0 {
                TokenType::Access
            } else {
                TokenType::Session
            },
        }
    }

    fn claims(token: Subject) -> Claims {
        let of = token.of;
        Claims {
            issuer: ISSUER.to_owned(),
            subject: format!("user-{}", of & 1),
            audience: vec!["https://api.example.org".to_owned()],
            client_id: format!("user-{}", of & 1),
            issued_at: token.issued_at,
            expires_at: NEVER,
            jti: Uuid::nil(),
            scope: None,
            organization: (of & 4 == 0).then(|| Uuid::from_u128(u128::from(of & 1))),
            team: (of & 8 == 0).then(|| format!("team-{}", of & 1)),
            projects: (of & 16 == 0).then(|| vec![u32::from(of & 1), 7]),
            status: StatusReference {
                index: token.index,
                uri: format!("{ISSUER}/status-lists/{}", token.list),
            },
        }
    }

    fn token(list: u32, index: u32) -> Ends {
        Ends::Token(RevokedToken {
            jti: Uuid::nil(),
            id: 1,
            status_list: list,
            index,
            expires_at: None,
        })
    }

    fn cut_off(of: u8, issued_through: i64) -> CutOff {
        let number = of & 1;
        CutOff {
            organization: (of & 2 != 0).then(|| Uuid::from_u128(u128::from(number))),
            team: (of & 4 != 0).then(|| format!("team-{number}")),
            user: (of & 8 != 0).then(|| format!("user-{number}")),
            project: (of & 16 != 0).then(|| u32::from(number)),
            kid: (of & 32 != 0).then(|| KIDS[usize::from(number)].to_owned()),
            kind: (of & 64 != 0).then_some(if number == 0 { Kind::Api } else { Kind::Session }),
            issued_through,
        }
    }

    /// Returns a chain of events, a second apart, from what each ends and the delay of its effect in seconds.
    fn chain(orders: &[(Ends, i64)]) -> Vec<Entry> {
        let mut previous = BEFORE_ALL;
        let entries = orders.iter().enumerate().map(|(number, (ends, delay))| {
            let recorded_at = number as i64 * 1000;
            let event = Event {
                epoch: Uuid::from_u128(1),
                sequence: number as u64 + 1,
                recorded_at,
                effective_at: recorded_at + delay * 1000,
                ends: ends.clone(),
            };
            let entry = Entry::after(&previous, event);
            previous = entry.hash;
            entry
        });
        entries.collect()
    }

    fn beginning() -> Known {
        Known::beginning(ISSUER, Position::beginning(Uuid::from_u128(1)))
    }

    fn compressed(bits: &StatusList) -> CompressedList {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&bits.to_bytes()).unwrap();
        CompressedList(encoder.finish().unwrap())
    }

    /// Returns the snapshot after these events, made from the events alone.
    fn snapshot(entries: &[Entry], at: i64) -> SnapshotClaims {
        let mut status_lists = Vec::new();
        for id in 0..3 {
            let bits = StatusList::new(STATUS_LIST_CAPACITY);
            let mut scheduled = Vec::new();
            for Entry { event, .. } in entries {
                if let Ends::Token(token) = &event.ends
                    && token.status_list == id
                {
                    if event.effective_at <= at {
                        bits.set(token.index).unwrap();
                    } else {
                        scheduled.push((token.index, event.effective_at));
                    }
                }
            }
            status_lists.push(ListSnapshot {
                id,
                list: compressed(&bits),
                scheduled,
            });
        }
        let cut_offs = entries
            .iter()
            .filter_map(|Entry { event, .. }| match &event.ends {
                Ends::CutOff(tokens) => Some(CutOffSnapshot {
                    effective_at: event.effective_at,
                    tokens: tokens.clone(),
                }),
                Ends::Token(_) => None,
            });
        let position = entries.last().map(Entry::position);
        SnapshotClaims {
            issuer: String::new(),
            audience: String::new(),
            issued_at: at.div_euclid(1000),
            taken_at: at,
            position: position.unwrap_or(Position::beginning(Uuid::from_u128(1))),
            status_lists,
            cut_offs: cut_offs.collect(),
        }
    }

    /// Returns whether any event ends the token, from the rule alone.
    fn is_ended(entries: &[Entry], subject: Subject, now: i64) -> bool {
        entries.iter().any(|Entry { event, .. }| {
            let covers = match &event.ends {
                Ends::Token(token) => token.status_list == subject.list && token.index == subject.index,
                Ends::CutOff(tokens) => covers(tokens, &header(subject.of), &claims(subject)),
            };
            covers && event.effective_at <= now
        })
    }

    fn is_revoked(known: &Known, subject: Subject, now: i64) -> Option<bool> {
        known.is_revoked(&header(subject.of), &claims(subject), now)
    }

    fn orders() -> impl Strategy<Value = Vec<(Ends, i64)>> {
        let tokens = (0..3_u32, 0..6_u32).prop_map(|(list, index)| token(list, index));
        let through = prop_oneof![4 => -5..40_i64, 1 => Just(NEVER)];
        let cut_offs = (any::<u8>(), through).prop_map(|(of, through)| Ends::CutOff(cut_off(of, through)));
        prop::collection::vec(
            (
                prop_oneof![3 => tokens, 2 => cut_offs],
                prop_oneof![Just(0), 0..50_i64],
            ),
            0..40,
        )
    }

    fn subject() -> impl Strategy<Value = Subject> {
        (0..4_u32, 0..7_u32, 0..50_i64, 0..32_u8).prop_map(|(list, index, issued_at, of)| Subject {
            list,
            index,
            issued_at,
            of,
        })
    }

    proptest! {
        #[test]
        fn from_a_snapshot_is_known_what_is_known_from_the_beginning(
            orders in orders(),
            at in 0..=40_usize,
            subjects in prop::collection::vec((subject(), 0..60_i64), 1..20),
            heads in prop::collection::vec(any::<bool>(), 40),
        ) {
            let entries = chain(&orders);
            let (before, after) = entries.split_at(at.min(entries.len()));
            let taken_at = before.last().map_or(0, |entry| entry.event.recorded_at);
            let from_snapshot = Known::from_snapshot(ISSUER, &snapshot(before, taken_at)).unwrap();
            let from_beginning = beginning();
            for entry in before {
                from_beginning.apply(&Item::from(entry)).unwrap();
            }
            for (entry, head) in after.iter().zip(heads) {
                for known in [&from_snapshot, &from_beginning] {
                    known.apply(&Item::from(entry)).unwrap();
                    if head {
                        known.observe(entry.event.recorded_at);
                    }
                }
            }
            prop_assert_eq!(from_snapshot.position(), from_beginning.position());
            let end = entries.last().map_or(0, |entry| entry.event.recorded_at);
            for (subject, later) in subjects {
                let now = end + later * 1000;
                let expected = Some(is_ended(&entries, subject, now));
                prop_assert_eq!(is_revoked(&from_beginning, subject, now), expected);
                prop_assert_eq!(is_revoked(&from_snapshot, subject, now), expected);
            }
        }
    }

    #[test]
    fn what_does_not_follow_changes_nothing() {
        let orders: Vec<_> = (0..4).map(|index| (token(1, index), 0)).collect();
        let entries = chain(&orders);
        let items: Vec<Item> = entries.iter().map(Item::from).collect();
        let known = beginning();
        known.apply(&items[0]).unwrap();
        known.apply(&items[0]).unwrap();
        let position = known.position();

        let mut altered = entries[1].clone();
        altered.event.ends = token(1, 9);
        let mut rehashed = altered.clone();
        rehashed.hash = [7; 32];
        let mut elsewhere = entries[1].clone();
        elsewhere.event.epoch = Uuid::from_u128(2);
        let elsewhere = Entry::after(&entries[0].hash, elsewhere.event);
        let other_first = Entry::after(&BEFORE_ALL, altered.event.clone());
        let mut other_first = other_first.event;
        other_first.sequence = 1;
        let other_first = Entry::after(&BEFORE_ALL, other_first);
        let mut cursor = items[1].clone();
        if let Item::Token(item) = &mut cursor {
            item.place.cursor = Cursor(position);
        }
        for (item, error) in [
            (items[2].clone(), NotApplied::Gap),
            (Item::from(&altered), NotApplied::Altered),
            (Item::from(&rehashed), NotApplied::Altered),
            (Item::from(&other_first), NotApplied::Repeated),
            (Item::from(&elsewhere), NotApplied::OtherEpoch),
            (cursor, NotApplied::Altered),
        ] {
            assert_eq!(known.apply(&item), Err(error));
            assert_eq!(known.position(), position);
        }
        known.apply(&items[1]).unwrap();
        assert_eq!(known.apply(&items[0]), Err(NotApplied::Repeated));
        let outside = chain(&[
            (token(1, STATUS_LIST_CAPACITY), 0),
            (token(1, STATUS_LIST_CAPACITY), 9),
        ]);
        for entry in outside {
            let known = Known::beginning(
                ISSUER,
                Position {
                    sequence: entry.event.sequence - 1,
                    ..Position::beginning(Uuid::from_u128(1))
                },
            );
            let entry = Entry::after(&BEFORE_ALL, entry.event);
            assert_eq!(known.apply(&Item::from(&entry)), Err(NotApplied::OutOfRange));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_undoes_nothing() {
        let entries = chain(&[(token(1, 1), 10), (token(1, 2), 0)]);
        let known = beginning();
        for entry in &entries {
            known.apply(&Item::from(entry)).unwrap();
        }
        let at = |index| Subject {
            list: 1,
            index,
            issued_at: 0,
            of: 0,
        };
        assert_eq!(is_revoked(&known, at(1), 9_999), Some(false));
        assert_eq!(is_revoked(&known, at(1), 10_000), Some(true));
        // A local clock that was ahead revokes nothing for good.
        assert_eq!(is_revoked(&known, at(1), 9_999), Some(false));
        assert_eq!(is_revoked(&known, at(2), 0), Some(true));
        known.observe(10_000);
        assert_eq!(is_revoked(&known, at(1), 0), Some(true));
    }

    #[test]
    fn a_due_revocation_is_seen_while_it_is_settled() {
        const COUNT: u32 = 2000;
        let orders: Vec<_> = (0..COUNT)
            .map(|index| (token(1, index), 5000 + i64::from(index)))
            .collect();
        let entries = chain(&orders);
        let known = beginning();
        for entry in &entries {
            known.apply(&Item::from(entry)).unwrap();
        }
        let is_settled = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for entry in &entries {
                    known.observe(entry.event.effective_at);
                }
                is_settled.store(true, Ordering::Release);
            });
            let subject = |index| Subject {
                list: 1,
                index,
                issued_at: 0,
                of: 0,
            };
            while !is_settled.load(Ordering::Acquire) {
                for index in 0..COUNT {
                    assert_eq!(is_revoked(&known, subject(index), i64::MAX), Some(true));
                }
            }
        });
        let lists = known.lists.load();
        assert!(lists[&1].scheduled.iter().all(|shard| shard.load().is_empty()));
    }

    #[test]
    fn forged_items_cannot_fill_the_memory_with_status_lists() {
        let known = beginning();
        let orders: Vec<_> = (0..1000).map(|list| (token(list, 1), 0)).collect();
        let entries = chain(&orders);
        let applied = entries.iter().map(|entry| known.apply(&Item::from(entry)));
        assert_eq!(applied.filter(Result::is_ok).count() as u32, MAX_NEW_LISTS + 1);
        assert_eq!(known.lists.load().len() as u32, MAX_NEW_LISTS + 1);
        // A head has confirmed them.
        known.observe(0);
        let next = &entries[MAX_NEW_LISTS as usize + 1];
        assert_eq!(known.apply(&Item::from(next)), Ok(()));
    }

    #[test]
    fn only_a_cut_off_without_an_end_withdraws_a_key() {
        let cut_off = |issued_through| CutOff {
            organization: None,
            team: None,
            user: None,
            project: None,
            kid: Some(KIDS[0].to_owned()),
            kind: None,
            issued_through,
        };
        let known = Known::beginning(ISSUER, Position::beginning(Uuid::nil()));
        let kid = KIDS[0].parse().unwrap();
        known.cut_offs.add(&cut_off(1_000), 1_000_000, 0);
        assert!(!known.withdraws(&kid, 2_000_000), "the key signs on");
        known.cut_offs.add(&cut_off(NEVER), 2_000_000, 0);
        assert!(!known.withdraws(&kid, 1_999_999) && known.withdraws(&kid, 2_000_000));
    }

    #[test]
    fn a_cut_off_that_takes_effect_later_takes_no_place_of_one_in_effect() {
        let orders = [
            (Ends::CutOff(cut_off(0, 22)), 8),
            (Ends::CutOff(cut_off(0, 9)), 0),
        ];
        let entries = chain(&orders);
        let from_beginning = beginning();
        for entry in &entries {
            from_beginning.apply(&Item::from(entry)).unwrap();
        }
        let from_snapshot = Known::from_snapshot(ISSUER, &snapshot(&entries, 1_000)).unwrap();
        for known in [from_beginning, from_snapshot] {
            let subject = |issued_at| Subject {
                list: 0,
                index: 0,
                issued_at,
                of: 0,
            };
            assert_eq!(is_revoked(&known, subject(9), 1_000), Some(true));
            assert_eq!(is_revoked(&known, subject(10), 7_999), Some(false));
            assert_eq!(is_revoked(&known, subject(10), 8_000), Some(true));
        }
    }

    #[test]
    fn the_same_cut_off_again_and_again_is_one() {
        let orders: Vec<_> = (0..1000)
            .map(|second| (Ends::CutOff(cut_off(8, second)), 0))
            .collect();
        let known = beginning();
        for entry in chain(&orders) {
            known.apply(&Item::from(&entry)).unwrap();
        }
        let indexes = known.cut_offs.shards.iter().map(|shard| shard.load_full());
        let count: usize = indexes
            .map(|index| index.values().map(|all| all.len()).sum::<usize>())
            .sum();
        assert_eq!(count, 1);
    }

    #[test]
    fn only_a_known_list_of_the_issuer_says_anything() {
        let mut known = beginning();
        let mut odd = claims(Subject {
            list: 1,
            index: 1,
            issued_at: 0,
            of: 0,
        });
        assert_eq!(known.is_revoked(&header(0), &odd, 0), Some(false));
        for uri in [
            "",
            "https://elsewhere/status-lists/1",
            "https://tokens.example.org/status-lists/",
            "https://tokens.example.org/status-lists/+1",
        ] {
            odd.status.uri = uri.to_owned();
            assert_eq!(known.is_revoked(&header(0), &odd, 0), None, "{uri}");
        }
        let outside = Subject {
            list: 1,
            index: STATUS_LIST_CAPACITY,
            issued_at: 0,
            of: 0,
        };
        assert_eq!(is_revoked(&known, outside, 0), None);

        let bits = StatusList::new(16);
        bits.set(3).unwrap();
        let list = StatusListClaims {
            issuer: None,
            audience: None,
            uri: format!("{ISSUER}/status-lists/1"),
            issued_at: 0,
            expires_at: 1,
            ttl: 1,
            feed: FeedPosition {
                epoch: Uuid::nil(),
                sequence: 0,
            },
            list: compressed(&bits),
        };
        known = Known::from_status_lists(ISSUER, &[list]).unwrap();
        let at = |list, index| Subject {
            list,
            index,
            issued_at: 0,
            of: 0,
        };
        assert_eq!(is_revoked(&known, at(1, 3), 0), Some(true));
        assert_eq!(is_revoked(&known, at(1, 4), 0), Some(false));
        assert_eq!(is_revoked(&known, at(1, 16), 0), None);
        assert_eq!(is_revoked(&known, at(2, 3), 0), None);
    }
}
