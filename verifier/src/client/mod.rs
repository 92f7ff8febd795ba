//! A verifier that keeps itself up to date (feature `client`).
//!
//! [`Verifier::builder`] makes a [`Verifier`] with one background task. The task fetches the authority's keys, a signed
//! snapshot of all revocations, and follows the revocation feed. [`Verifier::verify`] reads only memory: it does no
//! I/O and takes no lock that waits for the task.
//!
//! # What it trusts
//!
//! Keys come over TLS from the issuer's URL. Everything about revocations is signed by these keys: a proxy in between
//! can delay it, but cannot change it, leave anything out, or repeat an older state unnoticed. The authority signs every
//! five seconds where the feed ends. What is known is as old as the last such head that was reached; beyond
//! [`Builder::max_staleness`], tokens are refused with [`Rejection::RevocationUnknown`].
//!
//! # When something fails
//!
//! | what | closed (default) | open ([`Requirements::accept_if_unknown`]) |
//! |---|---|---|
//! | The authority is down, slow, or its TLS certificate is invalid | accepted until the bound has passed, then refused | accepted and counted |
//! | Answers are garbled, forged or altered | the same: the answer is ignored, and the follower starts again | the same |
//! | The heads are old or repeated | the same: an old head makes nothing fresher | the same |
//! | The key set is down, slow, garbled or empty, the feed is not | the last good key set is used for 24 hours after it was last confirmed, then tokens are refused; a withdrawn key's tokens are refused at once, by the feed | accepted and counted after 24 hours |
//! | The key set is stale (an old copy in a cache) | tokens of a new key are refused until it arrives; a withdrawn key's tokens are refused at once, by the feed | the same |
//! | No key set was ever fetched | all tokens are refused | all tokens are refused |
//! | The token is signed by an unknown key | refused; the key set is fetched, at most once in 30 seconds | refused |
//! | The token is known to be revoked | refused | refused |
//!
//! All of them end by themselves, without a restart, when the authority answers again.

mod builder;
mod cache;
mod clock;
mod discovery;
mod file;
mod follow;
mod http;
mod keys;
mod lists;
mod probe;
mod requirements;
mod sse;
mod status;
mod task;
mod token;
mod usage;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::AbortHandle;

pub use builder::{BuildError, Builder};
pub use probe::{Probe, ProbeError};
pub use requirements::Requirements;
pub use status::{Source, Status};

use crate::Claims;
use crate::feed::Cursor;
use crate::{
    Expected, Header, KeySet, Known, MAX_TOKEN_BYTES, Malformed, Rejection, TokenType, Unverified, Verified,
    judge_expiry, judge_issue, strip_prefix,
};
use cache::{TokenCache, TokenDigest, VerifiedToken};
use clock::{OwnClock, TrueAt, now_ms};
use status::{Counters, expires_soon};
use task::FOLLOWING;

/// How long a key set is used after the authority last confirmed it.
const KEYS_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Verifies API tokens of one issuer for one audience.
///
/// A clone is the same verifier. The background task ends with the last clone.
#[derive(Clone)]
pub struct Verifier {
    shared: Arc<Shared>,
    _task: Arc<Task>,
}

/// The background task, which ends when this is dropped.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the background task writes and [`Verifier::verify`] reads.
struct Shared {
    issuer: String,
    audience: String,
    further_audiences: Vec<String>,
    max_staleness: Duration,
    /// In seconds.
    leeway: i64,
    keys: ArcSwapOption<Keys>,
    view: ArcSwap<View>,
    own_clock: OwnClock,
    cache: TokenCache,
    counters: Counters,
    /// Whether an unknown `kid` was seen since the key set was last fetched for that reason.
    key_is_wanted: AtomicBool,
    wanted_key: Notify,
    /// Wakes the task when a token names a status list that is not known.
    wanted_list: Notify,
    /// Wakes tasks that wait for a change of `keys` or `view`.
    changed: watch::Sender<()>,
    /// What fails at present, by the part.
    troubles: Mutex<BTreeMap<&'static str, String>>,
    /// Tokens with an unreported use.
    used: Option<mpsc::Sender<Arc<VerifiedToken>>>,
}

/// A key set, and when the authority confirmed it.
struct Keys {
    set: KeySet,
    text: String,
    confirmed: TrueAt,
}

/// What is known about revocations.
#[derive(Clone, Default)]
struct View {
    known: Option<Arc<Known>>,
    /// The published status lists, while the feed cannot be had.
    lists: Option<Arc<Known>>,
    /// The instant up to which it is complete.
    complete_at: Option<TrueAt>,
    source: Source,
    /// The latest time of the authority, by `known`, when its clock had been ahead; 0 if that never was.
    disbelieved: i64,
}

impl View {
    /// Returns the current time in milliseconds since the Unix epoch, not before the latest that the authority told, and
    /// what passed since: nothing that was expired becomes valid when this machine's clock is set back.
    fn now(&self) -> i64 {
        let known = self.known.as_ref().map_or(0, |known| known.authority_time());
        let known = if known > self.disbelieved { known } else { 0 };
        let signed = self.complete_at.map_or(0, |complete| complete.now());
        now_ms().max(known).max(signed)
    }

    /// Returns whether a token is revoked; `None` if that is unknown. Whatever revokes it counts; that nothing does is
    /// said by the source of what is known.
    fn is_revoked(&self, token: &VerifiedToken, now: i64) -> Option<bool> {
        let by = |known: &Arc<Known>| known.is_revoked(&token.header, &token.claims, now);
        let by_feed = self.known.as_ref().and_then(by);
        match &self.lists {
            Some(lists) if by_feed != Some(true) => by(lists),
            _ => by_feed,
        }
    }
}

impl Verifier {
    /// Returns a builder. The issuer is compared with `iss` character by character, the audience must be one of `aud`.
    pub fn builder(issuer: impl Into<String>, audience: impl Into<String>) -> Builder {
        Builder::new(issuer.into(), audience.into())
    }

    /// Verifies an API token: signature, type, issuer, audience, expiry and revocation.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; [`Rejection::RevocationUnknown`] if what is known about revocations is older than the bound.
    pub fn verify(&self, token: &str) -> Result<Arc<Claims>, Rejection> {
        self.count(self.shared.verify(token, None))
    }

    /// Verifies an API token as [`Verifier::verify`] does, and checks the requirements of a route.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; its [`status`](Rejection::status) is 403 if the token is valid but does not meet them.
    pub fn verify_for(&self, requirements: &Requirements, token: &str) -> Result<Arc<Claims>, Rejection> {
        self.count(self.shared.verify(token, Some(requirements)))
    }

    fn count(&self, verdict: Result<Arc<Claims>, Rejection>) -> Result<Arc<Claims>, Rejection> {
        let counters = &self.shared.counters;
        match &verdict {
            Ok(_) => counters.count(&counters.accepted),
            Err(rejection) => counters.reject(*rejection),
        }
        verdict
    }

    /// Waits until tokens can be verified: the keys and all revocations are known, within the bound.
    pub async fn ready(&self) {
        self.wait_until(Shared::is_ready).await;
    }

    /// Waits until everything up to a position of the feed is known: the value of the header `Revocation-Cursor` in an
    /// answer to a request that revokes. Combine it with a timeout: a cursor of an epoch that ended never arrives.
    pub async fn wait_for(&self, cursor: Cursor) {
        let Cursor(wanted) = cursor;
        self.wait_until(|shared| {
            let view = shared.view.load();
            let sources = [&view.known, &view.lists];
            let mut positions = sources.into_iter().flatten().map(|known| known.position());
            positions.any(|position| position.epoch == wanted.epoch && position.sequence >= wanted.sequence)
        })
        .await;
    }

    async fn wait_until(&self, holds: impl Fn(&Shared) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        while !holds(&self.shared) {
            // The sender is part of what this borrows.
            let _ = changed.changed().await;
        }
    }

    /// Returns the issuer.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Returns the audience.
    pub fn audience(&self) -> &str {
        &self.shared.audience
    }

    /// Returns the state and the counters, for health checks and metrics.
    pub fn status(&self) -> Status {
        let Shared {
            counters,
            cache,
            view,
            ..
        } = &*self.shared;
        let view = view.load();
        let now = view.now();
        let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let token_expires_at = counters.token_expires_at();
        let token_expires_soon = expires_soon(token_expires_at, now / 1000);
        Status {
            is_ready: self.shared.is_ready(),
            problem: self.shared.problem(token_expires_soon),
            staleness: view.complete_at.map(|complete| complete.age(now)),
            position: view
                .known
                .as_ref()
                .or(view.lists.as_ref())
                .map(|known| known.position()),
            source: view.source,
            accepted: count(&counters.accepted),
            accepted_if_unknown: count(&counters.accepted_if_unknown),
            rejected: counters.rejected(),
            reconnects: count(&counters.reconnects),
            restarts: count(&counters.restarts),
            fetch_errors: count(&counters.fetch_errors),
            token_expires_at,
            token_expires_soon,
            cached_tokens: cache.len() as u64,
            cached_bytes: cache.bytes(),
            unreported_uses: count(&counters.unreported_uses),
        }
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("issuer", &self.shared.issuer)
            .field("audience", &self.shared.audience)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn verify(&self, token: &str, requirements: Option<&Requirements>) -> Result<Arc<Claims>, Rejection> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Malformed::TooLong.into());
        }
        let view = self.view.load();
        let now = view.now();
        // Nothing can be said about a signature without keys, and no route accepts what nobody signed.
        let keys = self.keys.load();
        let keys = keys.as_ref().ok_or(Rejection::RevocationUnknown)?;
        let token = self.verified(token, &keys.set, now / 1000)?;

        let is_revoked = view.is_revoked(&token, now);
        if is_revoked == Some(true) {
            return Err(Rejection::Revoked);
        }
        if is_revoked.is_none() && view.lists.is_some() {
            self.wanted_list.notify_one();
        }
        let is_known = is_revoked == Some(false) && self.is_fresh(&view, keys, now);
        if !is_known && !requirements.is_some_and(Requirements::accepts_if_unknown) {
            return Err(Rejection::RevocationUnknown);
        }
        if let Some(requirements) = requirements {
            requirements.judge(&token.claims)?;
        }
        if !is_known {
            self.counters.count(&self.counters.accepted_if_unknown);
        }
        self.note_use(&token, now);
        Ok(Arc::clone(&token.claims))
    }

    /// Returns the token if its key signed it and it is for this verifier now. `now` is in seconds.
    fn verified(&self, token: &str, keys: &KeySet, now: i64) -> Result<Arc<VerifiedToken>, Rejection> {
        let digest = TokenDigest::of(strip_prefix(token));
        if let Some(token) = self.cache.get(&digest) {
            if keys.find(&token.header.kid).is_none() {
                return Err(self.unknown_key());
            }
            judge_expiry(token.claims.expires_at, now, self.leeway)?;
            judge_issue(token.claims.issued_at, now, self.leeway)?;
            return Ok(token);
        }
        let verified = match keys.verify(Unverified::parse(token)?) {
            Err(Rejection::UnknownKey) => return Err(self.unknown_key()),
            verified => verified?,
        };
        let claims = verified.judge(&Expected {
            issuer: &self.issuer,
            audience: None,
            token_type: TokenType::Access,
            now,
            leeway: self.leeway,
        })?;
        let is_mine =
            |audience: &String| *audience == self.audience || self.further_audiences.contains(audience);
        if !claims.audience.iter().any(is_mine) {
            return Err(Rejection::WrongAudience);
        }
        let token = Arc::new(VerifiedToken::from(verified));
        self.cache.insert(digest, Arc::clone(&token));
        Ok(token)
    }

    fn unknown_key(&self) -> Rejection {
        self.want_keys();
        Rejection::UnknownKey
    }

    /// Has the key set fetched again. The task limits how often.
    fn want_keys(&self) {
        // Only the first of many wakes the task.
        if !self.key_is_wanted.swap(true, Ordering::AcqRel) {
            self.wanted_key.notify_one();
        }
    }

    fn is_fresh(&self, view: &View, keys: &Keys, now: i64) -> bool {
        view.complete_at
            .is_some_and(|complete| complete.age(now) <= self.max_staleness)
            && keys.confirmed.age(now) <= self.keys_max_age(view)
    }

    /// Returns how long a key set is used after the authority last confirmed it. The feed tells at once that a key was
    /// withdrawn; without it, only the key set does.
    fn keys_max_age(&self, view: &View) -> Duration {
        match view.lists {
            Some(_) => self.max_staleness,
            None => self.max_staleness.max(KEYS_MAX_AGE),
        }
    }

    fn is_ready(&self) -> bool {
        let view = self.view.load();
        let keys = self.keys.load();
        keys.as_ref()
            .is_some_and(|keys| self.is_fresh(&view, keys, view.now()))
    }

    fn troubles(&self) -> MutexGuard<'_, BTreeMap<&'static str, String>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns why the verifier is not ready, or will not be.
    fn problem(&self, token_expires_soon: bool) -> Option<String> {
        let troubles = self.troubles();
        if let Some(problem) = self.obstacle() {
            let reasons = troubles.values().map(|trouble| format!("; {trouble}"));
            return Some(problem + &reasons.collect::<String>());
        }
        if self.view.load().lists.is_some()
            && let Some(trouble) = troubles.get(FOLLOWING)
        {
            return Some(format!("status lists are read instead of the feed: {trouble}"));
        }
        token_expires_soon.then(|| "the verifier's own token expires within 14 days: replace it".to_owned())
    }

    /// Returns why the verifier is not ready.
    fn obstacle(&self) -> Option<String> {
        let view = self.view.load();
        let (keys, now) = (self.keys.load(), view.now());
        let Some(keys) = keys.as_ref() else {
            return Some("the key set was not fetched yet".to_owned());
        };
        let Some(complete) = view.complete_at else {
            return Some("nothing is known about revocations yet".to_owned());
        };
        let (age, bound) = (keys.confirmed.age(now), self.keys_max_age(&view));
        if age > bound {
            let (age, bound) = (age.as_secs(), bound.as_secs());
            return Some(format!(
                "the key set was confirmed {age} s ago, and the bound is {bound} s"
            ));
        }
        let age = complete.age(now);
        (age > self.max_staleness).then(|| {
            let (age, bound) = (age.as_secs(), self.max_staleness.as_secs());
            format!("what is known about revocations is {age} s old, and the bound is {bound} s")
        })
    }

    /// Notes a use for the next report.
    fn note_use(&self, token: &Arc<VerifiedToken>, now: i64) {
        let Some(used) = &self.used else { return };
        if token.unreported_use.swap(now, Ordering::AcqRel) == 0 && used.try_send(Arc::clone(token)).is_err()
        {
            token.unreported_use.store(0, Ordering::Release);
            self.counters.count(&self.counters.unreported_uses);
        }
    }
}

impl From<Verified> for VerifiedToken {
    fn from(verified: Verified) -> Self {
        let (header, claims): (Header, Claims) = verified.into_parts();
        Self {
            header,
            claims: Arc::new(claims),
            unreported_use: Default::default(),
        }
    }
}
