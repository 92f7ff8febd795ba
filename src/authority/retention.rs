//! Retention: deletes expired token records, old feed events and retired status lists, a portion at a time.

use crate::authority::{Authority, Result};
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;
use jeton_store::rules::retention::{self, Ended, Purged};
use jeton_store::{Cause, Deleted, Effect, Order};

/// The least time between the beginnings of two scans, in seconds.
const INTERVAL: i64 = 3_600;

/// How much later an instant must be, in seconds, to be recorded as settled: a restart loses this much of the
/// hour for which the clock must show a time before data are deleted by it.
const SETTLED_EVERY: i64 = 60;

/// The position of a repeated scan over all records. Each process begins with the oldest records, which have
/// most likely expired.
#[derive(Debug, Default)]
pub struct RetentionScan {
    after: Option<TokenId>,
    /// What the scan has deleted.
    deleted: Deleted,
    /// The instant that was recorded last as settled.
    settled: Timestamp,
    next_scan: Option<Timestamp>,
}

impl Authority {
    /// Deletes those of the next portion that expired before the configured retention. Does nothing between the
    /// end of a scan and the time of the next.
    ///
    /// By the settled time, which it records once a minute: a clock that is ahead for a moment deletes nothing.
    pub async fn purge(&self, scan: &mut RetentionScan) -> Result<Purged> {
        let (now, settled) = (self.clock.now(), self.clock.settled());
        if settled >= scan.settled.plus_seconds(SETTLED_EVERY) {
            let order = Order::new(Cause::server(now)).effect(Effect::SettleTime(settled));
            // The order has no guards, so it cannot be refused.
            let _ = self.write(order).await?;
            scan.settled = settled;
        }
        if scan.after.is_none() {
            if scan.next_scan.is_some_and(|due| now < due) {
                return Ok(Purged::default());
            }
            scan.next_scan = Some(now.plus_seconds(INTERVAL));
            scan.deleted = Deleted::default();
        }
        let kept = i64::try_from(self.settings().retention.seconds()).unwrap_or(i64::MAX);
        let aged = self.store.aged(scan.after).await?;
        let ended = Ended::at(settled, kept);
        let (order, purged) = retention::purge(Cause::server(now), aged, ended, scan.deleted);
        if let Some(order) = order {
            // The order has no guards, so it cannot be refused.
            let _ = self.write(order).await?;
        }
        scan.after = purged.next;
        scan.deleted = purged.scan;
        if scan.after.is_none() && purged.may_have_more_keys {
            // A deployment can have fewer portions of records than of keys.
            scan.next_scan = None;
        }
        Ok(purged)
    }
}
