//! The contract for revocations and the deployment's identity: the state that a process rebuilds at its start.

use async_trait::async_trait;
use std::sync::Arc;

use jeton_verifier::event::{self, Ends, Entry, Position};
use uuid::Uuid;

use crate::{Change, Generation, Realm, Result};
use jeton_core::clock::Timestamp;
use jeton_core::deployment_clock::RecordedTime;
use jeton_core::token::{CutOff, ListIndex, TokenId, TokenKind};

/// Reads revocations and the deployment's identity.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Returns everything that a process must know before it calls a token active, as of one instant.
    async fn snapshot(&self) -> Result<Snapshot>;

    /// Returns the changes after a position in the feed, and after an edit of the directory, committed by any
    /// process, in commit order. Events come in portions: call again with [`Changes::reached`] until there are
    /// none.
    ///
    /// The whole position is compared, not only its number: a store that was restored to an older state and has
    /// committed since has other events under the same numbers.
    async fn changes_after(&self, position: Position, edit: Generation) -> Result<Continuation>;

    /// Returns the events after a position in the feed, at most `most`, and never fewer than there are: these are
    /// all if there are fewer than `most`.
    async fn events_after(&self, position: Position, most: u32) -> Result<FeedPage>;

    /// Returns the event at a position in the feed, with its author and reason; `None` if there is none, or it is no
    /// longer kept.
    async fn event(&self, position: Position) -> Result<Option<ExplainedEvent>>;

    /// Returns the numbers of the status lists that exist now, ascending: those that a live token or the next
    /// one can name. A list appears before the first token that names it is recorded, not always in the order
    /// of its number. A list that existed and is missing has retired and never returns.
    async fn status_lists(&self) -> Result<Vec<u32>>;

    /// Returns the status list indexes of the unexpired tokens, revoked ones included, that a cut-off covers,
    /// in the order of the tokens' numbers; none if the cut-off does not exist. Comes in portions, each a short
    /// read: the first after token 0, the next after [`Covered::last`].
    async fn covered(&self, cut_off: u64, after: TokenId, now: Timestamp) -> Result<Covered>;

    /// Returns the id of the deployment, drawn when its database was created. Unlike the epoch, no restore changes it.
    async fn origin(&self) -> Result<Uuid>;

    /// Returns the pinned issuer of this database; pins the given one, if any, if there is none.
    async fn pin_issuer(&self, issuer: Option<&str>) -> Result<Option<String>>;

    /// Fails unless the store can be read and accepts writes, within two seconds.
    async fn ready(&self) -> Result<()>;
}

/// The state of revocation at one instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The last event of the feed that is included.
    pub position: Position,
    /// The last edit of the directory and the keys.
    pub edit: Generation,
    /// The version of the keys.
    pub keys: Generation,
    /// The time that the store has recorded.
    pub time: RecordedTime,
    /// The status lists that exist.
    pub lists: Vec<u32>,
    /// Every token with a revocation, a scheduled one included, even if it has expired, since the clock may be
    /// ahead, or if a restore has lost its record.
    pub revoked: Vec<(ListIndex, Timestamp)>,
    /// Every cut-off, with the position of its event.
    pub cut_offs: Vec<(u64, CutOff)>,
}

/// A portion of the tokens that a cut-off covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Their status list indexes.
    pub list_indexes: Vec<ListIndex>,
    /// The last token that was read; `None` when there are no more.
    pub last: Option<TokenId>,
}

/// Whether the history of a store continues the one that a follower knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continuation {
    /// The history continues, with these changes.
    Changes(Changes),
    /// Events after the position are no longer kept. The follower starts again from a snapshot, and then
    /// continues from its position and after the edit that the follower knows.
    Pruned,
    /// The history differs: the store has no event of this number with this hash, has another epoch, or lacks
    /// this edit. An older copy was restored, or a failover has lost commits. The follower must end, since its
    /// state and the tokens it issued may not exist.
    Forked,
}

/// The events after a position in the feed, for those who read it from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedPage {
    /// The events, one for each number after the position.
    Events(Vec<Arc<Entry>>),
    /// Events after the position are no longer kept.
    Pruned,
    /// The feed has not come so far.
    Ahead,
    /// The position is one of another history: another epoch, or an event with another hash.
    Forked,
}

/// An event of the feed, with what only administrators see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedEvent {
    /// The event.
    pub entry: Entry,
    /// The name of the actor.
    pub revoked_by: String,
    /// The reason in the actor's words.
    pub reason: Option<String>,
}

impl FeedPage {
    /// Returns the events that follow a position of an epoch. Those of former epochs, from before a restore, count as
    /// pruned: nobody can continue from their positions.
    pub fn of(entries: Vec<Arc<Entry>>, epoch: Uuid) -> Self {
        match entries.first() {
            Some(first) if first.event.epoch != epoch => Self::Pruned,
            _ => Self::Events(entries),
        }
    }
}

/// The changes since a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The last edit of the directory and the keys.
    pub edit: Generation,
    /// The latest instant of an order.
    pub latest: Timestamp,
    /// The realms that have changed after the given edit, and their versions.
    pub realms: Vec<(Realm, Generation)>,
    /// Revocations and cut-offs, one for each number after the given position.
    pub events: Vec<Change>,
    /// The position after the last of these events; the given one if there are none.
    pub reached: Position,
    /// Whether there may be more events after it.
    pub has_more: bool,
}

/// Returns the content of a cut-off's event in the feed.
pub fn ends(cut_off: &CutOff) -> Ends {
    let reach = &cut_off.reach;
    Ends::CutOff(event::CutOff {
        organization: reach.organization.map(|organization| organization.0),
        team: reach.team.as_ref().map(ToString::to_string),
        user: reach.user.as_ref().map(ToString::to_string),
        project: reach.project,
        kid: reach.kid.clone(),
        kind: reach.kind.map(|kind| match kind {
            TokenKind::Api => event::Kind::Api,
            TokenKind::Session => event::Kind::Session,
        }),
        issued_through: cut_off.issued_through,
    })
}
