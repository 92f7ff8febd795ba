//! Arrivals at a steady rate, and the measurements of one round.

use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Calls `arrive` for each arrival with its scheduled instant, never before that instant.
///
/// Runs on a thread of its own: the timers of an asynchronous runtime have a resolution of
/// milliseconds.
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

/// Creates a histogram of latencies in microseconds, to three digits.
pub(crate) fn histogram() -> Outcome<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

pub(crate) fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}

/// The measurements of one round.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Operations per second.
    pub(crate) rate: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) slowest: Duration,
    /// The server's processor time (user and system) per operation.
    pub(crate) processor: Duration,
    /// The driver's processor time, as a fraction of its threads' capacity.
    pub(crate) busy: f64,
    /// The ids of the issued tokens, if kept.
    pub(crate) ids: Vec<String>,
}

impl Measured {
    pub(crate) fn of(latencies: &Histogram<u64>, count: u64, time: Duration) -> Self {
        let quantile = |q| Duration::from_micros(latencies.value_at_quantile(q));
        Self {
            rate: quotient(count, time),
            p50: quantile(0.50),
            p99: quantile(0.99),
            slowest: Duration::from_micros(latencies.max()),
            ..Self::default()
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no bench counts to 2^52")]
fn quotient(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}
