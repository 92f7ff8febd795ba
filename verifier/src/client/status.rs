//! What a verifier tells about itself.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::event::Position;
use crate::{NEVER, Rejection};

/// How long before the end of its own token a verifier warns, in seconds.
const WARN_BEFORE: i64 = 14 * 24 * 60 * 60;

/// Where the knowledge about revocations comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// From nowhere at present: the authority does not answer, or has not answered yet.
    #[default]
    None,
    /// The snapshot file, until the authority answers.
    File,
    /// The stream: within milliseconds.
    Stream,
    /// Pages of the feed, since the stream cannot be had: within seconds.
    Pages,
    /// Status lists: as old as the authority lets them become, a minute by default.
    StatusLists,
}

/// The state and the counters of a verifier.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// Whether it accepts tokens: keys are known, and what is known about revocations is not older than the bound.
    pub is_ready: bool,
    /// Why it is not ready, or what will make it so, in a sentence; `None` if all is well.
    pub problem: Option<String>,
    /// How old the knowledge about revocations is; `None` if nothing is known.
    pub staleness: Option<Duration>,
    /// The position of the feed up to which revocations are known.
    pub position: Option<Position>,
    /// Where they are known from.
    pub source: Source,
    /// The number of accepted tokens.
    pub accepted: u64,
    /// Those among them that were accepted although their revocation was unknown
    /// ([`Requirements::accept_if_unknown`](crate::Requirements::accept_if_unknown)).
    pub accepted_if_unknown: u64,
    /// The number of refused tokens by [`Rejection::name`].
    pub rejected: BTreeMap<&'static str, u64>,
    /// How often the stream was connected again.
    pub reconnects: u64,
    /// How often it started again from a snapshot.
    pub restarts: u64,
    /// How many requests to the authority failed.
    pub fetch_errors: u64,
    /// When the verifier's own token expires, in seconds since the Unix epoch; `None` if it has none, or one that never
    /// expires.
    pub token_expires_at: Option<i64>,
    /// Whether that is within 14 days, or past.
    pub token_expires_soon: bool,
    /// The number of cached tokens.
    pub cached_tokens: u64,
    /// The approximate memory of the cached tokens, in bytes.
    pub cached_bytes: u64,
    /// The number of uses that could not be reported to the authority.
    pub unreported_uses: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) accepted_if_unknown: AtomicU64,
    rejected: [AtomicU64; Status::REASONS.len()],
    pub(super) reconnects: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) fetch_errors: AtomicU64,
    pub(super) unreported_uses: AtomicU64,
    /// When the verifier's own token expires, in seconds since the Unix epoch; 0: it has none.
    pub(super) token_expires_at: AtomicI64,
}

impl Status {
    /// The reasons for which a verifier refuses a token: the keys of [`Status::rejected`].
    pub const REASONS: [&'static str; 15] = [
        "malformed",
        "unknown_key",
        "wrong_algorithm",
        "bad_signature",
        "wrong_type",
        "wrong_issuer",
        "wrong_audience",
        "expired",
        "not_yet_issued",
        "revoked",
        "revocation_unknown",
        "insufficient_scope",
        "wrong_organization",
        "wrong_team",
        "wrong_project",
    ];
}

impl Counters {
    pub(super) fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reject(&self, rejection: Rejection) {
        let reason = Status::REASONS
            .iter()
            .position(|reason| *reason == rejection.name());
        if let Some(counter) = reason.and_then(|reason| self.rejected.get(reason)) {
            self.count(counter);
        }
    }

    pub(super) fn rejected(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.rejected.iter().map(|count| count.load(Ordering::Relaxed));
        Status::REASONS.into_iter().zip(counts).collect()
    }

    pub(super) fn token_expires_at(&self) -> Option<i64> {
        let seconds = self.token_expires_at.load(Ordering::Relaxed);
        (1..NEVER).contains(&seconds).then_some(seconds)
    }
}

/// Returns whether a token that expires then is to be replaced now. Both are in seconds since the Unix epoch.
pub(super) fn expires_soon(expires_at: Option<i64>, now: i64) -> bool {
    expires_at.is_some_and(|expires_at| expires_at.saturating_sub(now) < WARN_BEFORE)
}
