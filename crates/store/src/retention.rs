//! The contract for retention: reading the records that may be old enough to be deleted.

use async_trait::async_trait;

use crate::rules::status_lists::LifetimeClass;
use crate::{Result, SealedThrough};
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, TokenId};

/// Reads data that may be old enough to be deleted. [`rules::retention`](crate::rules::retention) makes the
/// order that deletes them.
#[async_trait]
pub trait Retention: Send + Sync {
    /// Returns the next portion of a scan over all records, in the order of their ids: those after `after`, or
    /// the first ones. A portion is bounded, so that its order delays other writes a few milliseconds at most.
    async fn aged(&self, after: Option<TokenId>) -> Result<Aged>;
}

/// A portion of the records, events, cut-offs and lists that may be old enough to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aged {
    /// The next records, sessions included, and when their tokens expire.
    pub records: Vec<(TokenId, Option<Timestamp>)>,
    /// The last of them; `None` at the end of the scan.
    pub next: Option<TokenId>,
    /// The last records and events that the audit has sealed: only those are deleted.
    pub sealed: SealedThrough,
    /// When the first event was recorded that statistics have not counted. It may have ended a token before the token's
    /// expiry: only tokens that had expired by then are deleted.
    pub uncounted_since: Option<Timestamp>,
    /// The oldest events of the feed, and when they were recorded.
    pub events: Vec<(u64, Timestamp)>,
    /// The numbers of the oldest idempotency keys, and the instants of their orders.
    pub idempotency_keys: Vec<(u64, Timestamp)>,
    /// At the end of the scan: cut-offs whose events are pruned, those that cover the fewest seconds first.
    pub cut_offs: Vec<(u64, CutOff)>,
    /// At the end of the scan: when the oldest record was made.
    pub oldest_record: Option<Timestamp>,
    /// At the end of the scan: the status lists that are not retired.
    pub lists: Vec<OpenedList>,
}

/// A status list with the facts that decide when it retires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedList {
    /// Its number.
    pub id: u32,
    /// The lifetime class of its tokens.
    pub class: LifetimeClass,
    /// When it was opened.
    pub opened_at: Timestamp,
}
