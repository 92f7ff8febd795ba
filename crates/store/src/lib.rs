//! The storage contract: the traits that every backend implements, and their types. Apart from the backends, so
//! that none of them decides a rule.
//!
//! Every operation is complete: callers never hold a transaction, since an open one would prevent grouping
//! commits. Every backend keeps these rules, and the cases of `suite` prove it:
//!
//! - `Ok` from a write means that the change is on disk.
//! - A write is accepted once its future was polled, and happens even if its caller goes away. Until a write is
//!   answered, its order relative to other writes is undefined.
//! - Observers ([`Observer`]) receive a change before the write is answered.
//! - A write is an [`Order`]: guards that are compared in its transaction, and effects that are applied all or
//!   not at all. An order carries the [`Generation`]s of the realms it was decided from, since a permission may
//!   have been withdrawn meanwhile. A backend decides nothing: [`rules`] build orders from the facts that it
//!   returns.
//! - The first revocation of a token wins; a later one may bring it forward, never back.
//! - [`Revocations::changes_after`] returns every revocation once, in commit order, without a gap, and reports
//!   a store whose history differs from the one the caller has followed.
//! - Times and random values are arguments; a store reads no clock and draws no random values.

mod audit;
mod bulk;
mod counts;
mod directory;
mod generation;
mod idempotency;
mod keys;
pub mod list_indexes;
mod logins;
#[cfg(feature = "memory")]
pub mod memory;
pub mod metrics;
pub mod moving;
mod nodes;
mod order;
pub mod reads;
mod retention;
mod revocations;
pub mod rules;
mod settings;
mod statistics;
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

pub use audit::{
    Audit, AuditDetail, AuditEntry, AuditFilter, AuditHead, AuditLine, AuditListing, AuditOrder, AuditPage,
    AuditPosition, AuditRecord, AuditSince, AuditSource, AuditStatus, BEFORE_FIRST_LINE, CHECKPOINTS_KEPT,
    Checkpoint, Fields, NotAPosition, PrunedLines, Sealed, SealedThrough, SignedHead,
};
pub use bulk::{
    BulkAdvance, BulkId, BulkOrder, BulkPortion, BulkProgress, BulkRevocation, BulkRevocations, BulkToken,
    Covers, Keeper, WithDescendants,
};
pub use counts::{CountFacts, OwnerCount, Recount, renew_counts};
pub use directory::{
    Credentials, Found, Holdings, OrganizationSize, Organizations, OrganizationsOf, People, PersonReference,
    Projects, Search, Slice, Standing, Teams, slices,
};
pub use generation::{Generation, Realm, Versioned};
pub use idempotency::{DoneRequest, GivenNumbers, Idempotency, IdempotencyKeys, Made, Makes, RecordedKeys};
pub use keys::{
    JwksPromise, KEY_NOTICED_WITHIN, KeyRow, KeyState, KeyStep, Keys, NewKey, SealedKeys, SigningKeys,
};
pub use logins::{LoginChange, LoginCount, LoginCounts, LoginKey};
pub use nodes::{Durability, HistoryCheck, Node, NodeState, Nodes, Renewal};
pub use order::{
    Cause, Committed, Deleted, Described, Description, Edit, Effect, Existing, Guard, NewPerson, NewRecord,
    Order, Origin, Purge, Refused, Surface, Versions,
};
pub use retention::{Aged, OpenedList, Retention};
pub use revocations::{
    Changes, Continuation, Covered, ExplainedEvent, FeedPage, Revocations, Snapshot, ends,
};
pub use settings::StoredSettings;
pub use statistics::{DayCounts, Statistics};
pub use tokens::{
    KnownToken, LastToken, NameUse, OpenSession, Presented, Recorded, ReservedIndex, ReturnedIndexes,
    Summary, SummaryInstants, Tally, Tokens,
};

use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, ListIndex, TokenId};
use jeton_verifier::event::{Entry, Position};
use prometheus_client::registry::Registry;

/// The write half of a store.
#[async_trait::async_trait]
pub trait Writes: Send + Sync {
    /// Carries out an order: all of it, or nothing if a guard does not hold.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] if the store fails. It is then unknown whether the order was carried out.
    async fn commit(&self, order: Order) -> Result<std::result::Result<Committed, Refused>>;
}

/// The durability and failure of the storage medium.
#[async_trait::async_trait]
pub trait Medium: Send + Sync {
    /// Makes all data that reads return durable. A server calls this first, before it acts on any of them.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] if the data cannot be made durable.
    async fn settle(&self) -> Result<()>;

    /// Records the start of a server, before it issues anything: a store that has lost commits is known by it.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] if it cannot be recorded.
    async fn started(&self) -> Result<()>;

    /// Records that a server stops in order. A server calls this last.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError`] if it cannot be recorded: the next start then takes the stop for a crash.
    async fn stopped(&self) -> Result<()>;

    /// Waits until another process may have committed something: until the medium says so, or for a short while.
    async fn changed_elsewhere(&self);

    /// Returns the servers of the deployment; `None` if the medium is one machine's, whose only server sees at each read
    /// all that was committed.
    fn nodes(&self) -> Option<&dyn Nodes>;

    /// Returns the private keys in the store; `None` if they are outside of it, in a folder of the machine.
    fn sealed_keys(&self) -> Option<&dyn SealedKeys>;

    /// Returns the counters of failed logins that servers share; `None` if the medium is one machine's, whose only server
    /// counts in memory.
    fn login_counts(&self) -> Option<&dyn LoginCounts>;

    /// Waits until the store can no longer be trusted because its medium failed. A server must then end the
    /// process: a new one reads the actual state.
    async fn died(&self);

    /// Waits until the store has answered all writes that it accepted before, with success or without, and returns
    /// whether it will answer more. It needs no space on the medium: on a full one it returns, and while a write
    /// hangs it does not.
    async fn responds(&self) -> bool;

    /// Returns whether the medium has failed already.
    fn has_died(&self) -> bool;

    /// Registers the metrics of the backend.
    fn register_metrics(&self, registry: &mut Registry);
}

/// A complete backend.
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
    + IdempotencyKeys
    + Audit
    + Statistics
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
        + IdempotencyKeys
        + Audit
        + Statistics
{
}

/// A store that is shared by the whole program.
pub type SharedStore = Arc<dyn Store>;

/// The reason why a store gave no answer. Never means "not found".
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue of the store is full; a retry after a short wait may succeed.
    #[error("the database is overloaded")]
    Busy,
    /// The read would take too long, since it sorts, counts or searches too many rows. A narrower one succeeds.
    #[error("the list is too long for this order, filter or count")]
    TooCostly,
    /// The store failed. After a failed write it is unknown whether the write happened.
    #[error("the database failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A committed change that the caches of this process must follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A token was revoked, now or from an instant on.
    Revoked {
        /// The token.
        token: TokenId,
        /// Its index in a status list.
        list_index: ListIndex,
        /// The instant from which the token is refused.
        effective_at: Timestamp,
        /// The event in the feed.
        entry: Arc<Entry>,
    },
    /// A cut-off revoked many tokens.
    CutOff {
        /// The cut-off.
        cut_off: CutOff,
        /// The event in the feed.
        entry: Arc<Entry>,
    },
    /// An edit changed realms of the directory or the keys.
    Directory {
        /// The changed realms.
        realms: Vec<Realm>,
        /// Their version from now on.
        generation: Generation,
    },
    /// A status list was retired: its tokens have all ended.
    Retired(u32),
}

impl Change {
    /// Returns the event that the change adds to the feed, if it adds one.
    pub fn entry(&self) -> Option<&Arc<Entry>> {
        match self {
            Self::Revoked { entry, .. } | Self::CutOff { entry, .. } => Some(entry),
            Self::Directory { .. } | Self::Retired(_) => None,
        }
    }
}

/// The changes that one transaction committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit<'a> {
    /// The step in the feed; `None` if the transaction added no event.
    pub advance: Option<Advance>,
    /// The changes in order; their events follow each other without a gap.
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

/// A listener that receives every commit after it is on disk and before its caller is answered. The store calls
/// it, so that a client that disconnects loses no change.
pub trait Observer: Send + Sync {
    /// Applies a commit. Must not block.
    ///
    /// Commits that add events arrive in the order of the feed; between two of them another process may have
    /// added events.
    fn committed(&self, commit: Commit<'_>);
}
