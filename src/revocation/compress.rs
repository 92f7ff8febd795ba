//! Compresses a status list into a zlib stream (RFC 1950).
//!
//! A module of its own because its parameters are measured. A list is rendered again after each revocation, so
//! the compressor has to be small and fast. Revoked bits are at random positions: only runs and the frequency
//! of each byte compress, which is what the `Rle` strategy codes. A list of 2^20 bits with 1% set takes 0.4 ms
//! and becomes 15.6 kB; the best general level takes 23 ms for 14.1 kB.

use zlib_rs::{DeflateConfig, ReturnCode, Strategy, compress_bound, compress_slice};

/// A failure of the compressor, for lack of memory.
#[derive(Debug, thiserror::Error)]
#[error("a status list could not be compressed")]
pub struct CompressionError;

/// Returns the zlib stream of these bytes.
///
/// # Errors
///
/// [`CompressionError`] if there is no memory for the compressor's state.
pub(super) fn zlib(bytes: &[u8]) -> Result<Vec<u8>, CompressionError> {
    let config = DeflateConfig {
        strategy: Strategy::Rle,
        ..DeflateConfig::default()
    };
    let mut stream = vec![0; compress_bound(bytes.len())];
    let (compressed, code) = compress_slice(&mut stream, bytes, config);
    if code != ReturnCode::Ok {
        return Err(CompressionError);
    }
    let length = compressed.len();
    stream.truncate(length);
    Ok(stream)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::Read;

    use flate2::bufread::ZlibDecoder;
    use jeton_verifier::STATUS_LIST_CAPACITY;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Inflates with the verifier's decoder. Python's zlib, which shares nothing with the compressor,
    /// reads lists in tests/python/test_published_list.py.
    fn inflate(stream: &[u8]) -> Vec<u8> {
        let mut decoder = ZlibDecoder::new(stream);
        let mut bytes = Vec::new();
        decoder.read_to_end(&mut bytes).unwrap();
        assert!(decoder.into_inner().is_empty());
        bytes
    }

    /// Asserts that the bytes survive compression, and returns the length of the stream.
    #[track_caller]
    fn round_trip(bytes: &[u8]) -> usize {
        let stream = zlib(bytes).unwrap();
        assert!(inflate(&stream) == bytes, "{} bytes", bytes.len());
        stream.len()
    }

    /// Returns a list with this number of bits set, at random indexes.
    fn list(set: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut bytes = vec![0_u8; STATUS_LIST_CAPACITY as usize / 8];
        let mut left = set;
        while left > 0 {
            // An LCG of Knuth's; its upper bits are good enough.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let bit = (state >> 44) as usize;
            let byte = bytes.get_mut(bit / 8).unwrap();
            left -= usize::from(*byte & (1 << (bit % 8)) == 0);
            *byte |= 1 << (bit % 8);
        }
        bytes
    }

    /// Returns the size in bytes below which no compressor can get.
    fn entropy(set: usize) -> f64 {
        let bits = f64::from(STATUS_LIST_CAPACITY);
        let share = set as f64 / bits;
        -bits / 8.0 * (share * share.log2() + (1.0 - share) * (1.0 - share).log2())
    }

    /// Returns the number of bits set in a list with this share of bits set.
    fn share(of_100_000: usize) -> usize {
        STATUS_LIST_CAPACITY as usize * of_100_000 / 100_000
    }

    #[test]
    fn a_list_is_close_to_its_entropy() {
        for (of_100_000, most) in [
            (100, 1.56),
            (1_000, 1.49),
            (2_000, 1.39),
            (5_000, 1.18),
            (10_000, 1.07),
            (50_000, 1.01),
        ] {
            let set = share(of_100_000);
            for seed in 1..4 {
                let size = round_trip(&list(set, seed)) as f64;
                let ratio = size / entropy(set);
                assert!(
                    (1.0..most).contains(&ratio),
                    "{of_100_000} of 100,000: {size} bytes, {ratio:.3}"
                );
            }
        }
    }

    #[test]
    fn a_list_with_few_bits_set_is_tiny() {
        let bytes = STATUS_LIST_CAPACITY as usize / 8;
        assert!(round_trip(&vec![0; bytes]) < 200);
        assert!(round_trip(&vec![0xff; bytes]) < 200);
        assert!(round_trip(&list(1, 1)) < 250);
        for of_100_000 in [1, 10] {
            for seed in 1..4 {
                let size = round_trip(&list(share(of_100_000), seed));
                assert!(size <= 512, "{of_100_000} of 100,000: {size} bytes");
            }
        }
    }

    #[test]
    fn runs_of_every_length_come_back() {
        for length in 0..1100 {
            round_trip(&vec![0; length]);
            round_trip(&[vec![7; length], vec![0, 0, 9]].concat());
        }
        let every_byte: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        round_trip(&every_byte);
    }

    /// Frequencies like Fibonacci's numbers want longer codes than the format has.
    #[test]
    fn frequencies_that_want_long_codes_come_back() {
        let mut bytes = Vec::new();
        let (mut count, mut next) = (1, 1);
        for byte in 0..22 {
            // Never twice the same byte in sequence, so that none is part of a run.
            bytes.extend((0..count).flat_map(|_| [byte, 255]));
            (count, next) = (next, count + next);
        }
        round_trip(&bytes);
    }

    proptest! {
        #[test]
        fn whatever_goes_in_comes_out(runs in vec((any::<u8>(), 1_usize..600), 0..200)) {
            let bytes: Vec<u8> = runs.iter().flat_map(|(byte, length)| vec![*byte; *length]).collect();
            round_trip(&bytes);
        }

        #[test]
        fn bytes_at_random_come_out(bytes in vec(any::<u8>(), 0..5000)) {
            round_trip(&bytes);
        }
    }
}
