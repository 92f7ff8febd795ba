//! The contract for keeping house: forgetting what nobody needs any more.

use async_trait::async_trait;

use crate::Result;
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;

/// Forgetting.
#[async_trait]
pub trait House: Send + Sync {
    /// One small step of a walk over all records, in the order of their numbers. Forgets
    ///
    /// - of the records that follow `after`, or of the first ones, those of tokens that had expired by an instant, revoked or
    ///   not, sessions too; a token that never expires is never forgotten,
    /// - the oldest events of the feed that were recorded by then; what they ended stays ended,
    /// - cut-offs that lie before those and cover no record ([`is_idle`](crate::rules::retention::is_idle)),
    /// - status lists all of whose places were given to tokens that had expired by then.
    ///
    /// How much a step looks at is bounded, so that other writes wait for it a few milliseconds at most.
    async fn purge(&self, after: Option<TokenId>, ended_by: Timestamp, now: Timestamp) -> Result<Purged>;
}

/// What a step has forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// Records of tokens.
    pub records: usize,
    /// Events of the feed.
    pub events: usize,
    /// Where the next step goes on; `None` after the last record.
    pub next: Option<TokenId>,
}
