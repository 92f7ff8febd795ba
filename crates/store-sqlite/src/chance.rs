//! Random bytes for the tests of this crate.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jeton_core::entropy::Entropy;

/// The operating system's random generator.
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        SystemRandom::new().fill(bytes).unwrap();
    }
}
