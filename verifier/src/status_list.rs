use std::sync::atomic::{AtomicU64, Ordering};

/// The maximum number of tokens in a status list.
pub const STATUS_LIST_CAPACITY: u32 = 1 << 20;

/// A status list: one bit per token, set if the token is revoked (Token Status List, section 4.1, with
/// `bits` 1).
///
/// Bits are only ever set, from any thread and without a lock: the authority's in-memory index and the
/// published list are the same bytes.
#[derive(Debug)]
pub struct StatusList {
    /// The bytes in little-endian words of eight, so that a list is copied fast.
    words: Box<[AtomicU64]>,
    capacity: u32,
}

impl StatusList {
    /// Creates a list without set bits. Its bytes are padded with clear bits to a whole byte.
    pub fn new(capacity: u32) -> Self {
        let words = (0..capacity.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { words, capacity }
    }

    /// Returns the number of indexes.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Sets a bit and returns whether it was set before; `None` if the index is out of range.
    ///
    /// All later calls of [`StatusList::is_set`] see it.
    #[must_use = "an index out of range is a revocation that is not recorded"]
    pub fn set(&self, index: u32) -> Option<bool> {
        let (word, mask) = self.place(index)?;
        Some(word.fetch_or(mask, Ordering::AcqRel) & mask != 0)
    }

    /// Returns whether a bit is set; `None` if the index is out of range, which never means "not
    /// revoked".
    pub fn is_set(&self, index: u32) -> Option<bool> {
        let (word, mask) = self.place(index)?;
        Some(word.load(Ordering::Acquire) & mask != 0)
    }

    /// Returns a copy of the bytes as published, before compression.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.words.len() * 8);
        for word in &self.words {
            bytes.extend(word.load(Ordering::Acquire).to_le_bytes());
        }
        bytes.truncate(self.capacity.div_ceil(8) as usize);
        bytes
    }

    /// Returns the word and bit mask of an index. Index 0 is the least significant bit of the first
    /// byte.
    fn place(&self, index: u32) -> Option<(&AtomicU64, u64)> {
        if index >= self.capacity {
            return None;
        }
        let word = self.words.get(usize::try_from(index / 64).ok()?)?;
        Some((word, 1 << (index % 64)))
    }
}

/// Reads a published list after decompression.
///
/// Indexes of a list of more than 2^29 bytes exceed those that a token can name, and are unreachable.
impl From<&[u8]> for StatusList {
    fn from(bytes: &[u8]) -> Self {
        let word = |bytes: &[u8]| {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(bytes) {
                *to = *from;
            }
            AtomicU64::new(u64::from_le_bytes(word))
        };
        Self {
            words: bytes.chunks(8).map(word).collect(),
            capacity: u32::try_from(bytes.len().saturating_mul(8)).unwrap_or(u32::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the draft, section 4.1: 16 tokens in the bytes b9 a3.
    const EXAMPLE: [bool; 16] = [
        true, false, false, true, true, true, false, true, true, true, false, false, false, true, false, true,
    ];

    #[test]
    fn the_example_of_the_draft() {
        let list = StatusList::new(16);
        for (index, _) in (0..16).zip(EXAMPLE).filter(|(_, revoked)| *revoked) {
            assert_eq!(list.set(index), Some(false));
            assert_eq!(list.set(index), Some(true));
        }
        assert_eq!(list.to_bytes(), [0xb9, 0xa3]);

        let published = StatusList::from([0xb9, 0xa3].as_slice());
        for (index, revoked) in (0..16).zip(EXAMPLE) {
            assert_eq!(published.is_set(index), Some(revoked), "{index}");
        }
        assert_eq!(published.is_set(16), None);
        assert_eq!(published.to_bytes(), [0xb9, 0xa3]);
    }

    #[test]
    fn a_place_outside_is_no_place() {
        let list = StatusList::new(10);
        assert_eq!(list.is_set(9), Some(false));
        assert_eq!(list.is_set(10), None);
        assert_eq!(list.set(10), None);
        assert_eq!(list.set(u32::MAX), None);
        assert_eq!(list.to_bytes(), [0, 0]);
        assert_eq!(StatusList::new(0).set(0), None);
    }

    #[test]
    fn threads_lose_no_bit_of_a_shared_byte() {
        let list = StatusList::new(8 * 1000);
        std::thread::scope(|scope| {
            for bit in 0..8 {
                let list = &list;
                scope.spawn(move || {
                    (0..1000).for_each(|byte| assert_eq!(list.set(byte * 8 + bit), Some(false)))
                });
            }
        });
        assert!(list.to_bytes().iter().all(|byte| *byte == 0xff));
    }
}
