//! Revoked tokens that somebody presents: counted in memory and written in batches.
//!
//! Whoever still uses a token after its grace was not told of the new one, or should never have had
//! the old one. Only what is well signed comes this far, so that nobody can make up such events.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::authority::{Authority, Result};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Refusals, TokenId};
use jeton_store::{Cause, Effect, Order};

/// How many tokens are counted between two writes. Beyond it further ones are not: who presents so
/// many revoked tokens at once has been noticed.
const CAPACITY: usize = 10_000;

/// Refusals that are not written down yet.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<HashMap<TokenId, Refusals>>);

impl Refused {
    /// Notes that a revoked token was presented.
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

    /// Counts again what could not be written down.
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
    /// Writes down, and logs, which revoked tokens were presented since the last time.
    pub async fn write_refusals(&self) -> Result<()> {
        let refused = self.active.refused().take();
        if refused.is_empty() {
            return Ok(());
        }
        let effect = Effect::NoteRefusals(refused.clone());
        let order = Order::new(Cause::server(self.clock.now())).effect(effect);
        if let Err(error) = self.store.commit(order).await {
            // It may have happened all the same: rather counted twice than never.
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
        // What could not be written is counted with what came meanwhile.
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
