//! What survives a crash: the contract that every backend keeps.
//!
//! The operations are whole: a caller never holds a transaction, since that would stop the grouping
//! of commits. For every backend holds, and the cases of `suite` prove it:
//!
//! - `Ok` from a write means that the change is on disk.
//! - A write that was accepted, by polling its future once, happens even if its caller goes away. Nothing says
//!   when, as long as nobody has its answer: another write may come first.
//! - Observers ([`Observer`]) have seen a change before the answer to the write is given.
//! - A write is an [`Order`]: guards that are compared in its own transaction, and effects that are
//!   carried out whole or not at all. An order carries the [`Generation`]s of the realms whose facts led
//!   to it: who was allowed a moment ago may not be now. A backend decides nothing: [`rules`] make orders
//!   of the facts that it returns.
//! - The first revocation of a token wins; a later one may bring it forward, never back.
//! - [`Revocations::changes_after`] yields every revocation once, in commit order, without a gap, and says so
//!   if the store's history is not the one that the caller has followed.
//! - Times and random values are arguments; a store reads no clock and draws no chance.

mod bulk;
mod counts;
mod directory;
mod generation;
mod keys;
#[cfg(feature = "memory")]
pub mod memory;
mod order;
mod retention;
mod revocations;
pub mod rules;
#[cfg(feature = "suite")]
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case fails by panicking"
)]
pub mod suite;
mod tokens;

use std::sync::Arc;

pub use bulk::{BulkId, BulkOrder, BulkPortion, BulkRevocation, BulkRevocations, BulkToken, Keeper};
pub use counts::{CountFacts, OwnerCount, Recount, renew_counts};
pub use directory::{
    Credentials, Found, Organizations, OrganizationsOf, People, PersonReference, Projects, Search, Slice,
    Standing, Teams, slices,
};
pub use generation::{Generation, Realm, Versioned};
pub use keys::{JwksPromise, KEY_NOTICED_WITHIN, KeyRow, KeyState, KeyStep, Keys, NewKey, SigningKeys};
pub use order::{
    Cause, Committed, Description, Effect, Existing, Forgotten, Guard, JudgedAt, NewPerson, NewRecord, Order,
    Origin, Refused, Surface,
};
pub use retention::{Aged, OpenedList, Retention};
pub use revocations::{Changes, Continuation, Covered, Revocations, Snapshot, ends};
pub use tokens::{KnownToken, LastToken, Presented, Recorded, ReservedPlace, ReturnedPlaces, Tokens};

use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, Place, TokenId};
use jeton_verifier::event::Position;

/// The one way to write.
#[async_trait::async_trait]
pub trait Writes: Send + Sync {
    /// Carries out an order: all of it, or nothing if a guard does not hold.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError`] if the store does. It is then unknown whether the order was carried out.
    async fn commit(&self, order: Order) -> Result<std::result::Result<Committed, Refused>>;
}

/// What whoever serves from a store must know of its medium.
#[async_trait::async_trait]
pub trait Medium: Send + Sync {
    /// Makes sure that everything that is read is durable, before anything is built on it. Whoever serves
    /// from the store calls this first.
    ///
    /// # Errors
    ///
    /// Fails with [`StoreError`] if it cannot be made so.
    async fn settle(&self) -> Result<()>;

    /// Waits until the store can no longer be trusted, because the medium has failed under it. Whoever
    /// serves from it must end the process then: a fresh one reads what is really there.
    async fn died(&self);

    /// Whether it is so already.
    fn has_died(&self) -> bool;
}

/// Everything a backend does.
pub trait Store:
    Medium
    + Writes
    + Tokens
    + BulkRevocations
    + Organizations
    + Teams
    + Projects
    + People
    + Revocations
    + Keys
    + Retention
{
}

impl<T> Store for T where
    T: Medium
        + Writes
        + Tokens
        + BulkRevocations
        + Organizations
        + Teams
        + Projects
        + People
        + Revocations
        + Keys
        + Retention
{
}

/// A store that all of the program shares.
pub type SharedStore = Arc<dyn Store>;

/// Why the store gave no answer. Never means "not found".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// More is waiting than the store takes on; trying again soon is sensible.
    #[error("the database is overloaded")]
    Busy,
    /// The store failed. After a failed write it is unknown whether it happened.
    #[error("the database failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a store returns.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Something that was committed and that the memory of this process must follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A token is refused from an instant on.
    Revoked {
        /// Which token.
        token: TokenId,
        /// Its bit.
        place: Place,
        /// From when on.
        effective_at: Timestamp,
        /// The number of the event in the feed.
        sequence: u64,
    },
    /// Many tokens are.
    CutOff {
        /// Which ones.
        cut_off: CutOff,
        /// The number of the event in the feed.
        sequence: u64,
    },
    /// Realms have changed, with this edit.
    Directory {
        /// Which ones.
        realms: Vec<Realm>,
        /// Their version from now on.
        generation: Generation,
    },
    /// A status list is no longer needed: its tokens have all ended.
    Retired(u32),
}

/// What one transaction has committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit<'a> {
    /// The step that it has taken in the feed; `None` if it added no event.
    pub advance: Option<Advance>,
    /// What has changed, in order; its events follow each other without a gap.
    pub changes: &'a [Change],
}

/// A step in the feed: the events between two positions, and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The position before the first of the events.
    pub after: Position,
    /// The position after the last of them.
    pub reached: Position,
}

impl Advance {
    /// Returns the step from one position to another; `None` if they are the same.
    pub fn between(after: Position, reached: Position) -> Option<Self> {
        (after != reached).then_some(Self { after, reached })
    }
}

/// Told of every commit after it is on disk and before its caller is answered, on the store's side,
/// so that a client that goes away takes nothing with it.
pub trait Observer: Send + Sync {
    /// Takes over what was committed. Must not block.
    ///
    /// Commits that add events are told in the order of the feed; between two of them another process may
    /// have added some.
    fn committed(&self, commit: Commit<'_>);
}
