//! Last uses of tokens: kept in memory and written in batches, never one write a request.

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::authority::{Authority, Caller, PORTION, Result, policy};
use jeton_core::clock::Timestamp;
use jeton_core::token::{TokenId, Use};
use jeton_store::rules::usage::{self, UseReport, UseReported};
use jeton_store::{Cause, Effect, Order};

/// The least interval between two recorded uses of a token, in milliseconds.
const RESOLUTION: i64 = 10_000;

/// The most uses kept between two writes. Further ones are dropped: a stale "last used" is harmless, exhausted
/// memory is not.
const CAPACITY: usize = 100_000;

/// The time before its end in which a token in use is logged, in seconds: a week.
const NOTICE: i64 = 7 * 86_400;

/// Uses not yet written to the store, and tokens whose end was logged.
#[derive(Debug, Default)]
pub(super) struct Usage {
    seen: Mutex<Vec<Use>>,
    ending: Mutex<HashSet<TokenId>>,
}

/// The instant of the last recorded use of one token.
#[derive(Debug)]
pub(super) struct LastNoted(AtomicI64);

impl LastNoted {
    pub(super) fn new(at: Option<Timestamp>) -> Self {
        Self(AtomicI64::new(at.map_or(i64::MIN, Timestamp::millis)))
    }
}

impl Usage {
    /// Records a use, unless one was recorded a moment ago. Logs a token in use that ends soon, once for as
    /// long as this process runs.
    pub(super) fn note(&self, sighting: Use, last: &LastNoted, ends_at: Option<Timestamp>) {
        let (before, now) = (last.0.load(Ordering::Relaxed), sighting.at.millis());
        let is_news = now >= before.saturating_add(RESOLUTION);
        // Of concurrent requests one wins, and records the use for all.
        let exchange = || {
            last.0
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        if is_news && exchange().is_ok() {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.len() < CAPACITY {
                seen.push(sighting);
            }
            drop(seen);
            if let Some(end) = ends_at.filter(|end| *end <= sighting.at.plus_seconds(NOTICE))
                && self.is_first_notice(sighting.token)
            {
                tracing::warn!(token = %sighting.token, ends_at = %end, "token in use expires soon");
            }
        }
    }

    fn is_first_notice(&self, token: TokenId) -> bool {
        let mut ending = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        // A full set is cleared: some tokens are then logged twice.
        if ending.len() >= CAPACITY {
            ending.clear();
        }
        ending.insert(token)
    }

    /// Restores uses that could not be written: without its last use a token would count as unused.
    fn give_back(&self, taken: Vec<Use>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let room = CAPACITY.saturating_sub(seen.len());
        seen.extend(taken.into_iter().take(room));
    }

    fn take(&self) -> Vec<Use> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Authority {
    /// Writes the uses since the last call. Losing some in a crash is acceptable.
    pub async fn write_usage(&self) -> Result<()> {
        let mut seen = self.active.usage().take();
        while !seen.is_empty() {
            let rest = seen.split_off(seen.len().min(PORTION as usize));
            let cause = Cause::server(self.clock.now());
            let order = Order::new(cause).effect(Effect::NoteUse(seen.clone()));
            if let Err(error) = self.write(order).await {
                seen.extend(rest);
                self.active.usage().give_back(seen);
                return Err(error);
            }
            seen = rest;
        }
        Ok(())
    }

    /// Records the uses that a verifier reports.
    pub async fn report_use(&self, caller: &Caller, report: UseReport) -> Result<UseReported> {
        policy::report_use(caller)?;
        let report = &report;
        self.attempt_for(caller, move |caller, view| {
            Box::pin(async move {
                let jtis = report.uses.iter().map(|reported| reported.jti);
                let known = self.store.known_tokens(jtis.collect()).await?;
                // A token that is deleted meanwhile is ignored.
                let cause = caller.cause(self.clock.now());
                let (order, reported) = usage::report(cause, report.clone(), &known);
                Ok(self.commit(&view, order).await?.map(|_| reported))
            })
        })
        .await
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_busy_token_is_noted_once_in_ten_seconds() {
        let usage = Usage::default();
        let last = LastNoted::new(None);
        let at = |millis| Timestamp::from_millis(millis).unwrap();
        let sighting = |millis| Use {
            token: TokenId(1),
            at: at(millis),
            from: None,
        };
        for millis in [0, 1, 9_999, 10_000, 10_001, 5_000] {
            usage.note(sighting(millis), &last, None);
        }
        assert_eq!(usage.take(), [sighting(0), sighting(10_000)]);
        assert_eq!(usage.take(), []);
    }

    #[test]
    fn the_end_of_a_token_in_use_is_pointed_out_once_in_its_last_week() {
        let usage = Usage::default();
        let end = Timestamp::from_seconds(100 * 86_400).unwrap();
        let pointed_out = |day: i64| {
            let sighting = Use {
                token: TokenId(1),
                at: Timestamp::from_seconds(day * 86_400).unwrap(),
                from: None,
            };
            usage.note(sighting, &LastNoted::new(None), Some(end));
            usage.ending.lock().unwrap().len()
        };
        assert_eq!([92, 93, 94, 99].map(pointed_out), [0, 1, 1, 1]);
        assert!(!usage.is_first_notice(TokenId(1)));
        assert!(usage.is_first_notice(TokenId(2)));
    }
}
