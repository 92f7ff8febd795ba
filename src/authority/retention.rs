//! Retention: deletes expired token records, old feed events and retired status lists, a portion at a time.

use crate::authority::{Authority, Result};
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;
use jeton_store::Cause;
use jeton_store::rules::retention::{self, Purged};

/// The least time between the beginnings of two scans, in seconds.
const INTERVAL: i64 = 3_600;

/// The position of a repeated scan over all records. Each process begins with the oldest records, which have
/// most likely expired.
#[derive(Debug, Default)]
pub struct RetentionScan {
    after: Option<TokenId>,
    next_scan: Option<Timestamp>,
}

impl Authority {
    /// Deletes those of the next portion that expired before the configured retention. Does nothing between the
    /// end of a scan and the time of the next.
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
        let (order, purged) = retention::purge(Cause::server(now), aged, now.plus_seconds(-kept));
        if let Some(order) = order {
            // The order has no guards, so it cannot be refused.
            let _ = self.store.commit(order).await?;
        }
        scan.after = purged.next;
        Ok(purged)
    }
}
