//! Random bytes, and the random ids and texts built from them.

use uuid::{Builder, Uuid};

use crate::clock::Timestamp;

/// A source of random bytes. A trait, so that tests can use a seeded one.
pub trait Entropy: Send + Sync {
    /// Fills the buffer with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Entropy + '_ {
    fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// Returns a time-ordered UUID (RFC 9562, version 7): unique, and appended at the end of a B-tree index.
    pub fn uuid_v7(&self, now: Timestamp) -> Uuid {
        Builder::from_unix_timestamp_millis(now.millis().unsigned_abs(), &self.bytes()).into_uuid()
    }

    /// Returns a random UUID (RFC 9562, version 4).
    pub fn uuid_v4(&self) -> Uuid {
        Builder::from_random_bytes(self.bytes()).into_uuid()
    }

    /// Returns random letters and digits, each of the 62 equally likely.
    pub fn alphanumeric(&self, length: usize) -> String {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut text = String::with_capacity(length);
        while text.len() < length {
            let [byte] = self.bytes::<1>();
            // Bytes from 248 on are discarded: modulo 62 they would favour the first letters.
            if byte < 248
                && let Some(letter) = ALPHABET.get(usize::from(byte) % ALPHABET.len())
            {
                text.push(char::from(*letter));
            }
        }
        text
    }
}
