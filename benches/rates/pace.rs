//! Arrivals at a steady rate, and what was measured of them.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Calls once for each arrival with the instant at which it was due, never before that instant.
///
/// On a thread of its own: the timers of an asynchronous runtime tick in milliseconds.
pub(crate) fn arrivals(per_second: f64, start: Instant, time: Duration, mut arrive: impl FnMut(Instant)) {
    for number in 0_u32.. {
        let after = Duration::from_secs_f64(f64::from(number) / per_second);
        if after >= time {
            return;
        }
        let due = start + after;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        arrive(due);
    }
}

/// Latencies in microseconds, to three digits.
pub(crate) fn histogram() -> Outcome<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

pub(crate) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}

/// What one round came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// A second.
    pub(crate) rate: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) slowest: Duration,
    /// The driver's own share of the processor time that its threads could have had.
    pub(crate) busy: f64,
    /// What was kept of the tokens that were issued.
    pub(crate) kept: Vec<String>,
}

impl Measured {
    pub(crate) fn of(latencies: &Histogram<u64>, count: u64, time: Duration) -> Self {
        let quantile = |q| Duration::from_micros(latencies.value_at_quantile(q));
        Self {
            rate: ratio(count, time),
            p50: quantile(0.50),
            p99: quantile(0.99),
            slowest: Duration::from_micros(latencies.max()),
            busy: 0.0,
            kept: Vec::new(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no bench counts to 2^52")]
fn ratio(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
