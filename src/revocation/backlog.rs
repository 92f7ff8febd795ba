//! The cut-offs whose bits in the status lists are not all set yet.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;

/// The unfilled cut-offs, by position. A cut-off takes effect at its commit. Its bits, needed only for the
/// status lists, are set later: a million of them take seconds.
#[derive(Debug, Default)]
pub(super) struct Backlog(Mutex<BTreeMap<u64, Unfilled>>);

/// A cut-off and the progress of setting its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfilled {
    /// The sequence number of its event in the feed.
    pub cut_off: u64,
    /// When it takes effect.
    pub effective_at: Timestamp,
    /// The last token that was checked.
    pub after: TokenId,
}

impl Backlog {
    pub(super) fn add(&self, cut_off: u64, effective_at: Timestamp) {
        let unfilled = Unfilled {
            cut_off,
            effective_at,
            after: TokenId(0),
        };
        self.with(|all| _ = all.entry(cut_off).or_insert(unfilled));
    }

    /// Returns how many cut-offs there are.
    pub(super) fn len(&self) -> usize {
        self.with(|all| all.len())
    }

    /// Returns the first cut-off.
    pub(super) fn first(&self) -> Option<Unfilled> {
        self.with(|all| all.values().next().copied())
    }

    /// Returns the sequence number of the last cut-off.
    pub(super) fn last(&self) -> Option<u64> {
        self.with(|all| all.keys().next_back().copied())
    }

    /// Records the last token that was checked; `None` if all bits are set.
    pub(super) fn reached(&self, cut_off: u64, last: Option<TokenId>) {
        self.with(|all| match (all.get_mut(&cut_off), last) {
            (Some(unfilled), Some(last)) => unfilled.after = last,
            _ => drop(all.remove(&cut_off)),
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<u64, Unfilled>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
