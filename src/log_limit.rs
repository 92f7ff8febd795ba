//! Limits how many lines clients can cause in the log.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// How many lines may come at once after a pause, in seconds' worth of lines.
const BURST: u32 = 10;

/// A limit of lines a second, and how many it has left out since the last line.
#[derive(Debug)]
pub(crate) struct LogLimit {
    limiter: DefaultDirectRateLimiter,
    left_out: AtomicU64,
}

impl LogLimit {
    pub(crate) fn new(per_second: u32) -> Self {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let burst = number(per_second.saturating_mul(BURST));
        let quota = Quota::per_second(number(per_second)).allow_burst(burst);
        Self {
            limiter: RateLimiter::direct(quota),
            left_out: AtomicU64::new(0),
        }
    }

    /// Returns how many lines were left out before this one; `None` if this one is left out too.
    pub(crate) fn admit(&self) -> Option<u64> {
        match self.limiter.check() {
            Ok(()) => Some(self.left_out.swap(0, Ordering::Relaxed)),
            Err(_) => {
                self.left_out.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}
