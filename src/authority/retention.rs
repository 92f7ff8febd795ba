//! Retention: deletes expired token records, old feed events and retired status lists, a portion at a time.

use crate::authority::{Authority, Result};
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;
use jeton_store::Cause;
use jeton_store::rules::retention::{self, Purged};

/// How many seconds lie between the beginnings of two scans at least.
const INTERVAL: i64 = 3_600;

/// A scan over all records, again and again. It begins anew with every process: the oldest records
/// come first, and they are those that have most likely ended.
#[derive(Debug, Default)]
pub struct RetentionScan {
    after: Option<TokenId>,
    next_scan: Option<Timestamp>,
}

impl Authority {
    /// Deletes what of the next portion ended longer ago than the configured retention, unless this scan is
    /// over and the next one is not yet due.
    pub async fn purge(&self, scan: &mut RetentionScan) -> Result<Purged> {
        let now = self.clock.now();
        if scan.after.is_none() {
            if scan.next_scan.is_some_and(|due| now < due) {
                return Ok(Purged::default());
            }
            scan.next_scan = Some(now.plus_seconds(INTERVAL));
        }
        let kept = i64::try_from(self.settings.retention.seconds()).unwrap_or(i64::MAX);
        let aged = self.store.aged(scan.after).await?;
        let (order, purged) = retention::forget(Cause::server(now), aged, now.plus_seconds(-kept));
        if let Some(order) = order {
            // It has no guards.
            let _ = self.store.commit(order).await?;
        }
        scan.after = purged.next;
        Ok(purged)
    }
}
