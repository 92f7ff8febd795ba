//! Counts all tokens by status, in portions and with pauses.

use std::time::Instant;

use crate::authority::{Authority, Result};
use jeton_core::clock::Timestamp;
use jeton_store::Tally;

/// How many times longer a pause is than the portion before it: counting takes a twentieth of one processor.
const PAUSE: u32 = 19;

impl Authority {
    /// Counts all tokens and sessions, and returns when it ended. Takes about a minute for a million of them, so as
    /// not to delay anything else: what changes meanwhile may be counted as before or as after.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails, or does not answer for other reads.
    pub async fn tally(&self) -> Result<(Tally, Timestamp)> {
        let mut sum = Tally::default();
        loop {
            let begun = Instant::now();
            let now = self.clock.now();
            let portion = self.store.tally(sum.next, now).await?;
            sum = sum.then(portion);
            if sum.next.is_none() {
                return Ok((sum, now));
            }
            tokio::time::sleep(begun.elapsed() * PAUSE).await;
        }
    }
}
