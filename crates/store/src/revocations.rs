//! The contract for what the memory of a process is rebuilt from: revocations and identity.

use async_trait::async_trait;
use jeton_verifier::event::{Ends, Position};

use crate::{Change, Generation, Realm, Result};
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, Place, TokenId, TokenKind};

/// Revocations, and the deployment's identity.
#[async_trait]
pub trait Revocations: Send + Sync {
    /// Everything that a process must know before it calls a token active, of one instant.
    async fn snapshot(&self, now: Timestamp) -> Result<Snapshot>;

    /// What was committed after a position in the feed, and after an edit of the directory, by any process,
    /// in commit order. Events come in portions: more may follow unless there are none, so ask again from
    /// [`Changes::reached`].
    ///
    /// The position is compared, not only its number: a store that was put back to an older state, and has
    /// gone on from there, has other events under the same numbers.
    async fn changes_after(&self, position: Position, edit: Generation) -> Result<Continuation>;

    /// The status lists that exist at this instant, in the order of their numbers: those that a live token
    /// or the next one can name. A list appears before the first token that names it is
    /// recorded, not always in the order of its number. One that has existed and is missing here has retired,
    /// and never comes back.
    async fn status_lists(&self) -> Result<Vec<u32>>;

    /// Places of tokens, revoked ones too, that a cut-off covers and that have not expired, in the order of
    /// their numbers; none where there is no such cut-off. Comes in portions, each a short read: the first after token 0, the next after
    /// [`Covered::last`].
    async fn covered(&self, cut_off: u64, after: TokenId, now: Timestamp) -> Result<Covered>;

    /// The issuer of this database: the given one if none was pinned, otherwise the pinned one.
    async fn pin_issuer(&self, issuer: &str) -> Result<String>;

    /// Fails unless the store can be read and takes writes, within two seconds.
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
    /// The lists that exist.
    pub lists: Vec<u32>,
    /// Every unexpired token that is revoked now or from an instant ahead, those too of which a restore
    /// has left nothing else.
    pub revoked: Vec<(Place, Timestamp)>,
    /// Every cut-off, with the position of its event.
    pub cut_offs: Vec<(u64, CutOff)>,
}

/// A portion of the tokens that a cut-off covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Their places.
    pub places: Vec<Place>,
    /// The last token that was looked at; `None` when there are no more.
    pub last: Option<TokenId>,
}

/// Whether the history of a store continues what a follower knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Continuation {
    /// It does, with these changes.
    Changes(Changes),
    /// Events after the position are no longer kept. The follower begins again with a snapshot, and asks
    /// from there on, after the edit that it knows.
    Pruned,
    /// It does not: the store has no event of this number with this hash, has another epoch, or has not made
    /// this edit. An older copy was put in its place, or a failover has lost commits. What the follower knows
    /// and what it has issued may not exist; it must end.
    Forked,
}

/// What has happened since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The last edit of the directory and the keys.
    pub edit: Generation,
    /// The realms that have changed after the given edit, and their versions.
    pub realms: Vec<(Realm, Generation)>,
    /// Revocations and cut-offs, one for each number after the given position.
    pub events: Vec<Change>,
    /// The position after the last of these events; the given one if there are none.
    pub reached: Position,
}

/// What a cut-off ends, as its event in the feed says it.
pub fn ends(cut_off: &CutOff) -> Ends {
    let reach = &cut_off.reach;
    Ends::CutOff {
        organization: reach.organization.map(|organization| organization.0),
        team: reach.team.as_ref().map(ToString::to_string),
        user: reach.user.as_ref().map(ToString::to_string),
        project: reach.project,
        kid: reach.kid.clone(),
        kind: reach.kind.map(|kind| match kind {
            TokenKind::Api => "api",
            TokenKind::Session => "session",
        }),
        issued_through: cut_off.issued_through,
    }
}
