//! One status list in memory, and its bits as published.

use jeton_verifier::feed::ListSnapshot;
use jeton_verifier::{CompressedList, STATUS_LIST_CAPACITY, StatusList};

use crate::revocation::compress::{self, CompressionError};
use crate::revocation::published::Publication;
use crate::revocation::scheduled::Scheduled;
use jeton_core::clock::Timestamp;

/// A status list in memory.
#[derive(Debug)]
pub struct List {
    id: u32,
    bits: StatusList,
    pub(super) scheduled: Scheduled,
    publication: Publication,
}

impl List {
    pub(super) fn new(id: u32) -> Self {
        Self {
            id,
            bits: StatusList::new(STATUS_LIST_CAPACITY),
            scheduled: Scheduled::default(),
            publication: Publication::default(),
        }
    }

    /// Returns the number of the list, the last part of its address.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Returns the published form.
    pub fn publication(&self) -> &Publication {
        &self.publication
    }

    /// Returns whether the bit of an index is set.
    pub(super) fn is_set(&self, index: u32) -> bool {
        self.bits.is_set(index).unwrap_or(false)
    }

    /// Sets the bit of an index.
    pub(super) fn set(&self, index: u32) {
        if self.bits.set(index).is_none() {
            // The store reserves no index beyond the capacity.
            tracing::error!(
                list = self.id,
                index,
                "a revoked token has no place in its status list"
            );
        }
    }

    /// Returns the revoked tokens of the list, with those whose revocation takes effect later.
    ///
    /// # Errors
    ///
    /// [`CompressionError`] if the compressor has no memory.
    pub fn snapshot(&self) -> Result<ListSnapshot, CompressionError> {
        // In this order: what becomes due meanwhile is in the bits too.
        let scheduled = self.scheduled.all();
        let list = CompressedList(compress::zlib(&self.bits.to_bytes())?);
        Ok(ListSnapshot {
            id: self.id,
            list,
            scheduled,
        })
    }

    /// Returns the bits at an instant, with those due within a second: a list is valid for at least a second,
    /// and must expire before the next revocation takes effect.
    pub fn bits(&self, now: Timestamp) -> Bits {
        // The schedule is read before the bits are copied and applied to the copy afterwards: a revocation that
        // takes effect meanwhile is set in the copy either way.
        let mut due = Vec::new();
        let next = self
            .scheduled
            .split_at(now.plus_seconds(1), |index| due.push(index));
        let mut bytes = self.bits.to_bytes();
        for index in due {
            if let Some(byte) = bytes.get_mut(index as usize / 8) {
                *byte |= 1 << (index % 8);
            }
        }
        Bits { bytes, next }
    }
}

/// The bits of a list as they are published at one instant.
#[derive(Debug)]
pub struct Bits {
    pub(super) bytes: Vec<u8>,
    /// When the next scheduled revocation takes effect, if any: at least a second ahead.
    pub next: Option<Timestamp>,
}

impl Bits {
    /// Returns the list as a zlib stream.
    ///
    /// # Errors
    ///
    /// [`CompressionError`] if the compressor has no memory.
    pub fn compress(&self) -> Result<CompressedList, CompressionError> {
        compress::zlib(&self.bytes).map(CompressedList)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Arc;

    use jeton_verifier::event::Position;
    use jeton_verifier::feed::SnapshotClaims;
    use jeton_verifier::statement_signing_input;

    use super::*;
    use crate::revocation::SignedText;

    /// 1,000,000 revoked tokens of 100,000,000 in a snapshot that is sent with gzip.
    #[tokio::test]
    async fn a_snapshot_of_a_million_revoked_tokens_has_less_than_2_mb() {
        const LISTS: u32 = 100_000_000_u32.div_ceil(STATUS_LIST_CAPACITY);
        let mut state = 1_u64;
        let lists = (1..=LISTS).map(|id| {
            let list = List::new(id);
            for _ in 0..1_000_000 / LISTS {
                // An LCG of Knuth's; its upper bits are good enough.
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                list.set(u32::try_from(state >> 44).unwrap());
            }
            list.snapshot().unwrap()
        });
        let claims = SnapshotClaims {
            issuer: String::new(),
            audience: String::new(),
            issued_at: 0,
            taken_at: 0,
            position: Position::default(),
            status_lists: lists.collect(),
            cut_offs: Vec::new(),
        };
        let text = statement_signing_input("", &claims).unwrap();
        let sent = SignedText::new(text, Arc::from("")).gzip().await.unwrap();
        assert!(
            (1_400_000..2_000_000).contains(&sent.len()),
            "{} bytes",
            sent.len()
        );
    }
}
