//! Uses of revoked tokens: counted in memory and written in batches.
//!
//! A client that presents a token after its grace period has missed the rotation or has stolen the token. Only
//! tokens with a valid signature are counted, so that nobody can forge such events.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::authority::{Authority, Result};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Refusals, TokenId};
use jeton_store::{Cause, Effect, Order};

/// The number of tokens counted between two writes. Further ones are not counted: so many at once are noticed
/// anyway.
const CAPACITY: usize = 10_000;

/// Refusals not yet written to the store.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<HashMap<TokenId, Refusals>>);

impl Refused {
    /// Counts one use of a revoked token.
    pub(super) fn note(&self, token: TokenId, now: Timestamp) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= CAPACITY && !refused.contains_key(&token) {
            return;
        }
        let noted = refused.entry(token).or_insert(Refusals {
            count: 0,
            last_at: now,
        });
        noted.count = noted.count.saturating_add(1);
        noted.last_at = noted.last_at.max(now);
    }

    /// Restores counts that could not be written.
    fn give_back(&self, taken: Vec<(TokenId, Refusals)>) {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (token, Refusals { count, last_at }) in taken {
            let noted = refused.entry(token).or_insert(Refusals { count: 0, last_at });
            noted.count = noted.count.saturating_add(count);
            noted.last_at = noted.last_at.max(last_at);
        }
    }

    fn take(&self) -> Vec<(TokenId, Refusals)> {
        let refused = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        refused.into_iter().collect()
    }
}

impl Authority {
    /// Writes and logs the uses of revoked tokens since the last call.
    pub async fn write_refusals(&self) -> Result<()> {
        let refused = self.active.refused().take();
        if refused.is_empty() {
            return Ok(());
        }
        let effect = Effect::NoteRefusals(refused.clone());
        let order = Order::new(Cause::server(self.clock.now())).effect(effect);
        if let Err(error) = self.store.commit(order).await {
            // The commit may have happened all the same: counting twice is better than not at all.
            self.active.refused().give_back(refused);
            return Err(error.into());
        }
        for (token, Refusals { count, last_at }) in refused {
            tracing::warn!(%token, count, %last_at, "revoked token presented");
        }
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_token_and_bounded() {
        let refused = Refused::default();
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        for millis in [5, 9, 7] {
            refused.note(TokenId(1), at(millis));
        }
        let noted = Refusals {
            count: 3,
            last_at: at(9),
        };
        assert_eq!(refused.take(), [(TokenId(1), noted)]);
        assert_eq!(refused.take(), []);
        // Restored counts are added to those noted meanwhile.
        refused.note(TokenId(1), at(11));
        refused.give_back(vec![(TokenId(1), noted)]);
        let both = Refusals {
            count: 4,
            last_at: at(11),
        };
        assert_eq!(refused.take(), [(TokenId(1), both)]);
        for token in 0..20_000 {
            refused.note(TokenId(token), at(1));
        }
        refused.note(TokenId(0), at(2));
        let taken = refused.take();
        assert_eq!(taken.len(), CAPACITY);
        assert_eq!(
            taken.iter().map(|(_, refusals)| refusals.count).sum::<u64>(),
            10_001
        );
    }
}
