//! The contract for bulk revocation: revoking all tokens that match a filter.

use async_trait::async_trait;

use crate::{LastToken, Result, Versions};
use jeton_core::clock::Timestamp;
use jeton_core::token::filter::Remit;
use jeton_core::token::{Actor, Filter, Owner, TokenId};

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
    ///
    /// If the order includes descendants, portions of these follow: the children of the tokens in earlier portions. These
    /// are revoked by then and can have no more, except those that the order leaves: tokens beyond the remit and last
    /// tokens that are kept stay active, and what they make after their portion is not found. A child was created by the
    /// token, or is its successor by rotation. Each is in one portion, although it can be the child of two.
    async fn bulk_portion(&self, id: BulkId, limit: u32, now: Timestamp) -> Result<Option<BulkPortion>>;

    /// Returns the number of active tokens that a filter matches or that descend from a match, whatever the status of the
    /// tokens in between. For dry runs: a backend may limit the number of rows that it reads
    /// ([`StoreError::TooCostly`](crate::StoreError::TooCostly)), so that no revocation may wait for it.
    async fn count_descendants(
        &self,
        filter: Filter,
        remit: Remit,
        now: Timestamp,
    ) -> Result<WithDescendants>;
}

/// The number of active tokens that a filter matches or that descend from a match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WithDescendants {
    /// Those in the remit.
    pub within: u64,
    /// The others.
    pub beyond: u64,
}

/// The next tokens of a bulk revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkPortion {
    /// The bulk revocation and its progress.
    pub bulk: BulkRevocation,
    /// The tokens in the order of their ids, each followed by its successors; or children, by their parents.
    pub tokens: Vec<BulkToken>,
    /// The progress after the portion.
    pub next: BulkProgress,
    /// Whether no tokens follow these.
    pub is_last: bool,
    /// The tokens whose children are all in this portion or an earlier one.
    pub expanded: Vec<TokenId>,
    /// The expanded tokens to forget: there are no more children.
    pub forgotten: Vec<TokenId>,
    /// The owners of active tokens in this portion whose organizations keep the last one. Empty if the bulk
    /// revocation revokes that too.
    pub keepers: Vec<Keeper>,
    /// The versions of the organizations whose policies decided about keepers.
    pub versions: Versions,
}

/// A token of a bulk revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkToken {
    /// The token's id.
    pub id: TokenId,
    /// When its revocation takes effect, if it has one.
    pub effective_at: Option<Timestamp>,
    /// Why the bulk revocation covers it.
    pub covered: Covers,
}

/// Why a bulk revocation covers a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Covers {
    /// It matches the filter.
    Match,
    /// It was recorded after the bulk revocation, as the successor of a match. Only successors that are not revoked yet
    /// are included.
    Successor,
    /// It descends from a match.
    Descendant {
        /// Its owner.
        owner: Owner,
        /// Whether it is active.
        is_active: bool,
    },
}

/// How far a bulk revocation has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BulkProgress {
    /// The last match processed, in the order of ids.
    pub position: TokenId,
    /// Of the first token whose children are not all processed, the last child that is.
    pub child: TokenId,
    /// The number of portions.
    pub portions: u64,
}

/// Records the progress of a bulk revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkAdvance {
    /// The bulk revocation after the portion.
    pub bulk: BulkRevocation,
    /// The tokens whose children are to be processed.
    pub parents: Vec<TokenId>,
    /// The tokens whose children all are.
    pub expanded: Vec<TokenId>,
    /// The expanded tokens to forget, when there are no more parents.
    pub forgotten: Vec<TokenId>,
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
    /// How many tokens matched when they were counted, just before; descendants are not counted.
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
    /// Whether all descendants of a match are revoked too: those that its orderer may revoke.
    pub descendants: Option<Remit>,
}

/// A bulk revocation and its progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkRevocation {
    /// Its number.
    pub id: BulkId,
    /// The request.
    pub order: BulkOrder,
    /// How many tokens it has revoked, successors and descendants included. Fewer than matched if some were revoked by
    /// others before, or ceased to match.
    pub revoked: u64,
    /// How many active tokens it has processed and not revoked: descendants beyond the remit, and last tokens that are
    /// kept.
    pub left: u64,
    /// How far it has come.
    pub progress: BulkProgress,
    /// When the last token was processed.
    pub finished_at: Option<Timestamp>,
}
