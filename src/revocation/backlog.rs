//! Cut-offs whose tokens' bits are not all set yet.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;

/// A cut-off is obeyed from its commit on, without any bit. Its bits are for the status lists, and are
/// set behind it: a million of them take seconds.
#[derive(Debug, Default)]
pub(super) struct Backlog(Mutex<BTreeMap<u64, Unfilled>>);

/// A cut-off, and how far its bits are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfilled {
    /// The position of its event in the feed.
    pub cut_off: u64,
    /// From when on it is obeyed.
    pub effective_at: Timestamp,
    /// The last token that was looked at.
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

    /// The first.
    pub(super) fn first(&self) -> Option<Unfilled> {
        self.with(|all| all.values().next().copied())
    }

    /// The position of the last.
    pub(super) fn last(&self) -> Option<u64> {
        self.with(|all| all.keys().next_back().copied())
    }

    /// Notes how far the bits are set now; `None` is all of them.
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
