//! The background task.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::cache::VerifiedToken;
use super::discovery::Endpoints;
use super::http::{FetchError, Http};
use super::token::{OwnToken, expiry};
use super::{Shared, follow, keys, usage};

/// What the task needs besides what it shares with the verifier.
pub(super) struct Settings {
    pub(super) http: Http,
    pub(super) token: OwnToken,
    pub(super) snapshot_file: Option<PathBuf>,
    pub(super) status_lists_only: bool,
}

/// What the parts of the task share.
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    pub(super) settings: Settings,
    pub(super) endpoints: ArcSwapOption<Endpoints>,
}

/// Keeps keys and revocations up to date, for ever.
pub(super) async fn run(
    shared: Arc<Shared>,
    settings: Settings,
    uses: Option<mpsc::Receiver<Arc<VerifiedToken>>>,
) {
    let context = Context {
        shared,
        settings,
        endpoints: ArcSwapOption::empty(),
    };
    let follower = follow::Follower::start(&context).await;
    let reports = async {
        if let Some(uses) = uses {
            usage::report(&context, uses).await;
        }
    };
    tokio::join!(keys::keep(&context), follower.run(), reports);
}

impl Context {
    /// Reads the verifier's own token again and returns it.
    pub(super) async fn token(&self) -> Result<Option<Zeroizing<String>>, FetchError> {
        let token = self.settings.token.read().await.map_err(FetchError::Token)?;
        let expires_at = token.as_ref().map_or(0, |token| expiry(token));
        let counters = &self.shared.counters;
        counters
            .token_expires_at
            .store(expires_at, std::sync::atomic::Ordering::Relaxed);
        Ok(token)
    }

    /// Wakes tasks that wait for keys or revocations.
    pub(super) fn changed(&self) {
        self.shared.changed.send_replace(());
    }

    /// Waits until keys and endpoints are known.
    pub(super) async fn prepared(&self) -> Arc<Endpoints> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            if let Some(endpoints) = self.endpoints.load_full()
                && self.shared.keys.load().is_some()
            {
                return endpoints;
            }
            // The sender is part of what this borrows.
            let _ = changed.changed().await;
        }
    }
}

/// The part that follows the feed.
pub(super) const FOLLOWING: &str = "following the revocation feed";

/// Logs the first of many failures, and the success after them. The last failure is part of the status meanwhile.
#[derive(Debug)]
pub(super) struct Trouble {
    what: &'static str,
    failures: u32,
}

impl Trouble {
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, failures: 0 }
    }

    pub(super) fn failed(&mut self, context: &Context, error: &dyn std::fmt::Display) {
        let counters = &context.shared.counters;
        counters.count(&counters.fetch_errors);

        let issuer = context.shared.issuer.as_str();
        let error = one_line(error);
        context
            .shared
            .troubles()
            .insert(self.what, format!("{} failed: {error}", self.what));
        if self.failures == 0 {
            tracing::warn!(issuer, %error, "{} failed, and is tried again", self.what);
        } else {
            tracing::debug!(issuer, %error, "{} failed again", self.what);
        }
        self.failures = self.failures.saturating_add(1);
    }

    pub(super) fn ended(&mut self, context: &Context) {
        if self.failures > 0 {
            let issuer = context.shared.issuer.as_str();
            tracing::info!(issuer, failures = self.failures, "{} works again", self.what);
            context.shared.troubles().remove(self.what);
        }
        self.failures = 0;
    }

    /// Returns the wait before the next attempt: 0.5 to 1 s after the first failure, doubled up to 15 s.
    pub(super) fn delay(&self) -> Duration {
        let doubled = Duration::from_secs(1).saturating_mul(1 << self.failures.saturating_sub(1).min(4));
        jittered(doubled.min(Duration::from_secs(15)))
    }
}

/// Returns a random duration between a half of this one and all of it, so that many verifiers do not come at once.
pub(super) fn jittered(duration: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness, all of it.
    if SystemRandom::new().fill(&mut random).is_err() {
        return duration;
    }
    let half = duration / 2;
    let share = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
    half + half.mul_f64(share)
}

/// Returns the text of an error in one line of at most 200 characters: parts of it may come from the other side.
pub(super) fn one_line(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let escaped = text.chars().flat_map(|char| {
        let is_plain = matches!(char, '"' | '\'' | '\\');
        let (plain, escaped) = if is_plain {
            (Some(char), None)
        } else {
            (None, Some(char.escape_debug()))
        };
        plain.into_iter().chain(escaped.into_iter().flatten())
    });
    escaped.take(200).collect()
}
