//! Uses of revoked tokens: counted in memory and written in batches.
//!
//! A client that presents a token after its grace period has missed the rotation or has stolen the token. Only
//! tokens with a valid signature are counted, so that nobody can forge such events.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::authority::{Authority, PORTION, Result};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Refusals, TokenId};
use jeton_store::{Cause, Effect, Order};

/// The number of tokens counted between two writes. Further ones are not counted: so many at once are noticed
/// anyway.
const CAPACITY: usize = 10_000;

/// How often the uses of one token are written and logged: a client that repeats them must not fill the disk.
const EVERY: Duration = Duration::from_mins(1);

/// Refusals not yet written to the store.
#[derive(Debug, Default)]
pub(super) struct Refused {
    noted: Mutex<HashMap<TokenId, Refusals>>,
    /// When the uses of a token were written, by the uptime; those of the last minute.
    written: Mutex<HashMap<TokenId, Duration>>,
}

impl Refused {
    /// Counts one use of a revoked token.
    pub(super) fn note(&self, token: TokenId, now: Timestamp) {
        let mut refused = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut refused = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        for (token, Refusals { count, last_at }) in taken {
            written.remove(&token);
            let noted = refused.entry(token).or_insert(Refusals { count: 0, last_at });
            noted.count = noted.count.saturating_add(count);
            noted.last_at = noted.last_at.max(last_at);
        }
    }

    /// Takes the uses of tokens that were not written within the last minute.
    fn take(&self, uptime: Duration) -> Vec<(TokenId, Refusals)> {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.retain(|_, at| *at + EVERY > uptime);
        let due = noted.extract_if(|token, _| !written.contains_key(token));
        let due: Vec<_> = due.collect();
        written.extend(due.iter().map(|(token, _)| (*token, uptime)));
        due
    }
}

impl Authority {
    /// Writes and logs the uses of revoked tokens, those of one token once a minute.
    pub async fn write_refusals(&self) -> Result<()> {
        let mut refused = self.active.refused().take(self.clock.uptime());
        while !refused.is_empty() {
            let rest = refused.split_off(refused.len().min(PORTION as usize));
            let effect = Effect::NoteRefusals(refused.clone());
            let order = Order::new(Cause::server(self.clock.now())).effect(effect);
            if let Err(error) = self.write(order).await {
                // The commit may have happened all the same: counting twice is better than not at all.
                refused.extend(rest);
                self.active.refused().give_back(refused);
                return Err(error);
            }
            for (token, Refusals { count, last_at }) in refused {
                tracing::warn!(%token, count, %last_at, "revoked token presented");
            }
            refused = rest;
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
        let minute = |number: u64| Duration::from_mins(10 + number);
        assert_eq!(refused.take(minute(0)), [(TokenId(1), noted)]);
        assert_eq!(refused.take(minute(0)), []);
        // A token's uses are written once a minute, with their number.
        for millis in [10, 10, 10] {
            refused.note(TokenId(1), at(millis));
        }
        assert_eq!(refused.take(minute(1) - Duration::from_millis(1)), []);
        let repeated = Refusals {
            count: 3,
            last_at: at(10),
        };
        assert_eq!(refused.take(minute(1)), [(TokenId(1), repeated)]);
        // Restored counts are added to those noted meanwhile.
        refused.note(TokenId(1), at(11));
        refused.give_back(vec![(TokenId(1), noted)]);
        let both = Refusals {
            count: 4,
            last_at: at(11),
        };
        assert_eq!(refused.take(minute(1)), [(TokenId(1), both)]);
        for token in 0..20_000 {
            refused.note(TokenId(token), at(1));
        }
        refused.note(TokenId(0), at(2));
        let taken = refused.take(minute(2));
        assert_eq!(taken.len(), CAPACITY);
        assert_eq!(
            taken.iter().map(|(_, refusals)| refusals.count).sum::<u64>(),
            10_001
        );
    }
}
