//! The contract for revoking many tokens by a filter.

use async_trait::async_trait;

use crate::{JudgedAt, LastToken, Result};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Actor, Filter, TokenId};

/// Revocations of many tokens, each of which is an event of its own.
///
/// An order is on disk before anything is revoked, so that whoever opens the store after a crash can
/// go on with it. It is carried out in portions that hold up no other write for long:
/// [`rules::bulk`](crate::rules::bulk) makes an order of each.
#[async_trait]
pub trait BulkRevocations: Send + Sync {
    /// How far an order is carried out.
    async fn bulk_revocation(&self, id: BulkId) -> Result<Option<BulkRevocation>>;

    /// The orders that are not carried out to their end, the oldest first.
    async fn unfinished_bulk_revocations(&self) -> Result<Vec<BulkId>>;

    /// Returns the next tokens that an order is about, at most `limit` without their successors, as they are at
    /// an instant; `None` if there is no such order. None of them after its end.
    ///
    /// The order is about those tokens that were recorded when it was taken down and that match its filter, or
    /// have got a successor since: they were active then. How a backend tells them from later ones is its own
    /// matter. Ids do so where they follow the order of commits.
    async fn bulk_portion(&self, id: BulkId, limit: u32, now: Timestamp) -> Result<Option<BulkPortion>>;
}

/// The next tokens that an order to revoke many is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkPortion {
    /// The order, and how far it is carried out.
    pub bulk: BulkRevocation,
    /// The tokens in the order of their ids, each followed by its successors.
    pub tokens: Vec<BulkToken>,
    /// Whether the order is about none after these.
    pub is_last: bool,
    /// The owners of active tokens among these whose organizations keep the last one. Empty if the order
    /// revokes that too.
    pub keepers: Vec<Keeper>,
    /// The versions of the organizations that say so, or do not.
    pub judged_at: JudgedAt,
}

/// A token that an order to revoke many is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkToken {
    /// Which one.
    pub id: TokenId,
    /// When its revocation takes effect, if it has one.
    pub effective_at: Option<Timestamp>,
    /// Whether it is a successor, recorded since the order was taken down, of a token that the order is about:
    /// of the line of successors, those that are not revoked yet.
    pub is_successor: bool,
}

/// An owner whose last active token is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keeper {
    /// The owner's tokens of the portion that are active as [`Tokens::is_standing`](crate::Tokens::is_standing)
    /// says, in its order.
    pub active: Vec<TokenId>,
    /// Another active token of the owner.
    pub other: Option<TokenId>,
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
    /// All of its tokens up to this one are done.
    pub position: TokenId,
    /// When the last of them was done.
    pub finished_at: Option<Timestamp>,
}
