//! A clock that tests advance, and a seeded random generator.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use jeton_core::clock::{Clock, Timestamp};
use jeton_core::entropy::Entropy;

/// A clock that a test sets, in milliseconds.
pub(crate) struct FakeClock {
    now: AtomicI64,
    uptime: AtomicI64,
}

impl FakeClock {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self {
            now: now.millis().into(),
            uptime: 0.into(),
        }
    }

    /// Lets seconds pass.
    pub(crate) fn advance(&self, seconds: i64) {
        self.advance_millis(seconds * 1000);
    }

    /// Lets milliseconds pass.
    pub(crate) fn advance_millis(&self, millis: i64) {
        self.now.fetch_add(millis, Ordering::SeqCst);
        self.uptime.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the clock ahead by seconds, or back.
    pub(crate) fn step(&self, seconds: i64) {
        self.now.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Returns the second that `iat` and `exp` are compared with.
    pub(crate) fn now_seconds(&self) -> i64 {
        self.now().seconds()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now.load(Ordering::SeqCst)).unwrap()
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.uptime.load(Ordering::SeqCst).unsigned_abs())
    }
}

/// A random generator that depends only on its seed.
pub(crate) struct Seeded(AtomicU64);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self((seed << 48).into())
    }
}

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64 is a bijection, so no two draws are the same.
            let drawn = self.0.fetch_add(1, Ordering::SeqCst);
            let mut value = drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            value ^= value >> 31;
            chunk.copy_from_slice(value.to_le_bytes().get(..chunk.len()).unwrap());
        }
    }
}
