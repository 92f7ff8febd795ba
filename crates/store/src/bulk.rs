//! The contract for bulk revocation: revoking all tokens that match a filter.

use async_trait::async_trait;

use crate::{LastToken, Result, Versions};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Actor, Filter, TokenId};

/// Bulk revocations. Each revoked token is an event of its own.
///
/// The order is on disk before any token is revoked, so that it is resumed after a crash. It is carried out in
/// portions that delay other writes only briefly: [`rules::bulk`](crate::rules::bulk) makes an order of each.
#[async_trait]
pub trait BulkRevocations: Send + Sync {
    /// Returns a bulk revocation and its progress.
    async fn bulk_revocation(&self, id: BulkId) -> Result<Option<BulkRevocation>>;

    /// Returns the unfinished bulk revocations, the oldest first.
    async fn unfinished_bulk_revocations(&self) -> Result<Vec<BulkId>>;

    /// Returns the next tokens of a bulk revocation, at most `limit` not counting successors, as they are at an
    /// instant; `None` if it does not exist. A finished one has none.
    ///
    /// It covers the tokens that were recorded before it and match its filter, or have got a successor since:
    /// they were active then. The backend decides how to recognise later tokens. Ids suffice if they follow the
    /// commit order.
    async fn bulk_portion(&self, id: BulkId, limit: u32, now: Timestamp) -> Result<Option<BulkPortion>>;
}

/// The next tokens of a bulk revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkPortion {
    /// The bulk revocation and its progress.
    pub bulk: BulkRevocation,
    /// The tokens in the order of their ids, each followed by its successors.
    pub tokens: Vec<BulkToken>,
    /// Whether no tokens follow these.
    pub is_last: bool,
    /// The owners of active tokens in this portion whose organizations keep the last one. Empty if the bulk
    /// revocation revokes that too.
    pub keepers: Vec<Keeper>,
    /// The versions of the organizations whose policies decided about keepers.
    pub versions: Versions,
}

/// A token of a bulk revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BulkToken {
    /// The token's id.
    pub id: TokenId,
    /// When its revocation takes effect, if it has one.
    pub effective_at: Option<Timestamp>,
    /// Whether it was recorded after the bulk revocation, as the successor of a token that is covered. Only
    /// successors that are not revoked yet are included.
    pub is_successor: bool,
}

/// An owner whose last active token is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keeper {
    /// The owner's tokens in the portion that are active as [`Tokens::is_standing`](crate::Tokens::is_standing)
    /// defines it, in the order of the portion.
    pub active: Vec<TokenId>,
    /// Another active token of the owner.
    pub other: Option<TokenId>,
}

/// The number of a bulk revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BulkId(pub i64);

/// A request to revoke many tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkOrder {
    /// The filter that selects them.
    pub filter: Filter,
    /// How many tokens matched when they were counted, just before.
    pub matched: u64,
    /// The instant of the order.
    pub ordered_at: Timestamp,
    /// The actor.
    pub ordered_by: Actor,
    /// The reason in the actor's words.
    pub reason: Option<String>,
    /// The instant from which the tokens are refused, if that is later than their revocation.
    pub effective_at: Option<Timestamp>,
    /// Whether an owner's last active token is kept.
    pub last_token: LastToken,
}

/// A bulk revocation and its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkRevocation {
    /// Its number.
    pub id: BulkId,
    /// The request.
    pub order: BulkOrder,
    /// How many tokens it has revoked, successors included. Fewer than matched if some were revoked by others
    /// before, or ceased to match.
    pub revoked: u64,
    /// The last token processed, in the order of ids.
    pub position: TokenId,
    /// When the last token was processed.
    pub finished_at: Option<Timestamp>,
}
