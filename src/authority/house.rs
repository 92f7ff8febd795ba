//! Keeping house: records, events and lists that nobody needs any more are forgotten, bit by bit.

use crate::authority::{Authority, Result};
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;
use jeton_store::Purged;

/// How many seconds lie between the beginnings of two rounds at least.
const ROUND: i64 = 3_600;

/// A walk over all records, round after round. It begins anew with every process: the oldest records
/// come first, and they are those that have most likely ended.
#[derive(Debug, Default)]
pub struct Walk {
    after: Option<TokenId>,
    next_round: Option<Timestamp>,
}

impl Authority {
    /// Takes one small step of keeping house, unless this round is over and the next one is not yet due.
    /// Records of tokens that ended longer ago than the configured retention are forgotten.
    pub async fn keep_house(&self, walk: &mut Walk) -> Result<Purged> {
        let now = self.clock.now();
        if walk.after.is_none() {
            if walk.next_round.is_some_and(|due| now < due) {
                return Ok(Purged::default());
            }
            walk.next_round = Some(now.plus_seconds(ROUND));
        }
        let retention = i64::try_from(self.settings.retention.seconds()).unwrap_or(i64::MAX);
        let purged = self
            .store
            .purge(walk.after, now.plus_seconds(-retention), now)
            .await?;
        walk.after = purged.next;
        Ok(purged)
    }
}
