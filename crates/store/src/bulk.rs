//! The contract for revoking many tokens by a filter.

use async_trait::async_trait;

use crate::{LastToken, Result};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Actor, Filter, TokenId};

/// Revocations of many tokens, each of which is an event of its own.
///
/// An order is on disk before anything is revoked, so that whoever opens the store after a crash can
/// go on with it. It is carried out in portions that hold up no other write for long.
#[async_trait]
pub trait BulkRevocations: Send + Sync {
    /// How far an order is carried out.
    async fn bulk_revocation(&self, id: BulkId) -> Result<Option<BulkRevocation>>;

    /// The orders that are not carried out to their end, the oldest first.
    async fn unfinished_bulk_revocations(&self) -> Result<Vec<BulkId>>;

    /// Carries out the next portion of an order, in the order of the tokens' numbers, and says how far
    /// it is now. Two who do this at once harm nobody: each token is revoked and counted once.
    ///
    /// The order is about what matches its filter, up to its last token, and about what has got a successor
    /// after that one: it was active then. What becomes of each says [`rules::bulk`](crate::rules::bulk).
    ///
    /// What was rotated since the order is revoked together with the whole line of its successors, or
    /// the holders could outrun the order. Only where the order is about what breaks a policy do they
    /// stay: they were made under it.
    async fn continue_bulk_revocation(&self, id: BulkId, now: Timestamp) -> Result<Option<BulkRevocation>>;
}

/// The number of an order to revoke many tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BulkId(pub i64);

/// The order to revoke many tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkOrder {
    /// Which ones.
    pub filter: Filter,
    /// How many matched when they were counted, just before.
    pub matched: u64,
    /// Now.
    pub ordered_at: Timestamp,
    /// Who orders it.
    pub ordered_by: Actor,
    /// Why, in their words.
    pub reason: Option<String>,
    /// From when on the tokens are refused, if that is after they are revoked.
    pub effective_at: Option<Timestamp>,
    /// Whether it spares what [`LastToken::Stays`] spares.
    pub last_token: LastToken,
}

/// An order to revoke many tokens and how far it is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkRevocation {
    /// Its number.
    pub id: BulkId,
    /// What was ordered.
    pub order: BulkOrder,
    /// How many it has revoked, successors included. Fewer than matched in the end where others revoked
    /// some before it, or where a token has ceased to match.
    pub revoked: u64,
    /// The last token that was there when it was ordered.
    pub through: TokenId,
    /// All tokens up to this one are done.
    pub position: TokenId,
    /// When the last of them was done.
    pub finished_at: Option<Timestamp>,
}
