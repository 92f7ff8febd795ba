//! The number of verdicts of a rule or of introspection, by reason.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jeton_verifier::Rejection;

/// Counters of verdicts.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    accepted: AtomicU64,
    /// By name. Accepted tokens, nearly all, do not take the lock.
    refused: Mutex<BTreeMap<&'static str, u64>>,
}

impl Verdicts {
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn rejected(&self, rejection: Rejection) {
        self.refuse(rejection.name());
    }

    pub(crate) fn no_credential(&self) {
        self.refuse("no_credential");
    }

    pub(crate) fn bad_credential(&self) {
        self.refuse("bad_credential");
    }

    fn refuse(&self, name: &'static str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(name).or_default() += 1;
    }

    /// Returns all verdicts so far by name, `accepted` first.
    pub(crate) fn counts(&self) -> Vec<(&'static str, u64)> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let accepted = ("accepted", self.accepted.load(Ordering::Relaxed));
        std::iter::once(accepted)
            .chain(refused.iter().map(|(name, count)| (*name, *count)))
            .collect()
    }
}
