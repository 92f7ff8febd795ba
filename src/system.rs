//! The system clock and random generator: the only module that reads either, so that tests can replace both.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jeton_core::clock::{Clock, Timestamp};
use jeton_core::entropy::Entropy;

/// The system clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    fn now(&self) -> Timestamp {
        let millis = chrono::Utc::now().timestamp_millis();
        Timestamp::from_millis(millis.max(0)).unwrap_or(Timestamp::LAST)
    }

    fn uptime(&self) -> Duration {
        static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
        BEGAN.elapsed()
    }
}

/// The operating system's random generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        // AWS-LC seeds itself from the kernel and aborts the process when it cannot, so an error
        // never reaches this point. Predictable bytes would be worse than an abort.
        if SystemRandom::new().fill(bytes).is_err() {
            std::process::abort();
        }
    }
}
