use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use hyper::Uri;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, watch};
use zeroize::Zeroizing;

use super::cache::TokenCache;
use super::clock::OwnClock;
use super::http::{Http, base_url};
use super::status::Counters;
use super::token::OwnToken;
use super::{Shared, Task, Verifier, View, task};

/// How many tokens may wait until their use is reported. Beyond, uses are not reported.
const MAX_UNREPORTED: usize = 100_000;

/// The bounds of [`Builder::max_staleness`].
const MIN_STALENESS: Duration = Duration::from_secs(1);
const MIN_STALENESS_OF_LISTS: Duration = Duration::from_secs(120);
const MAX_STALENESS: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const MAX_LEEWAY: Duration = Duration::from_secs(300);

/// The settings of a [`Verifier`].
///
/// [`Builder::max_staleness`] is required, and one of [`Builder::token`], [`Builder::token_file`] and
/// [`Builder::status_lists_only`].
#[must_use]
pub struct Builder {
    issuer: String,
    audience: String,
    further_audiences: Vec<String>,
    authority: Option<String>,
    token: OwnToken,
    max_staleness: Option<Duration>,
    leeway: Duration,
    snapshot_file: Option<PathBuf>,
    cache_entries: usize,
    cache_bytes: u64,
    reports_usage: bool,
    status_lists_only: bool,
}

/// The reason why settings make no verifier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Issuer or authority is no URL to which paths can be appended.
    #[error("`{0}` must be a URL with http or https, without user, query, fragment, and slash at its end")]
    Url(String),
    /// The audience is empty.
    #[error("`audience` is missing: it is what tokens for this service have in `aud`")]
    Audience,
    /// No bound.
    #[error("`max_staleness` is missing: how old may the knowledge about revocations be?")]
    MaxStaleness,
    /// A bound that no verifier can keep, or that protects nothing.
    #[error("`max_staleness` must be from 1 s, or 120 s with `status_lists_only`, to 7 days")]
    MaxStalenessRange,
    /// A cache without room.
    #[error("`cache` must have room for a token")]
    Cache,
    /// More than 300 s.
    #[error("`leeway` must be at most 300 s")]
    Leeway,
    /// No token for the feed.
    #[error(
        "a token with the scope `revocations:read` is missing: set `token` or `token_file`, or `status_lists_only`"
    )]
    Token,
    /// Both a token for the feed and the wish not to follow it.
    #[error("`status_lists_only` excludes `token` and `token_file`")]
    TokenUnused,
    /// Reports need a token.
    #[error("`report_usage` needs a token with the scope `usage:write`")]
    UsageNeedsToken,
    /// Not called in a tokio runtime.
    #[error("a verifier is built in a tokio runtime, which runs its background task")]
    Runtime,
    /// The certificates of the system cannot be read.
    #[error("the system's root certificates cannot be read: {0}")]
    Certificates(std::io::Error),
}

impl Builder {
    pub(super) fn new(issuer: String, audience: String) -> Self {
        Self {
            issuer,
            audience,
            further_audiences: Vec::new(),
            authority: None,
            token: OwnToken::None,
            max_staleness: None,
            leeway: Duration::from_secs(30),
            snapshot_file: None,
            cache_entries: 100_000,
            cache_bytes: 128 * 1024 * 1024,
            reports_usage: false,
            status_lists_only: false,
        }
    }

    /// Accepts tokens for a further audience in place of the verifier's. For one process that answers for several
    /// services: tell them apart by [`Requirements::audience`](super::Requirements::audience).
    pub fn further_audience(mut self, audience: impl Into<String>) -> Self {
        self.further_audiences.push(audience.into());
        self
    }

    /// Sets the verifier's own token, which needs the scope `revocations:read`. It is never logged.
    pub fn token(mut self, text: impl Into<String>) -> Self {
        self.token = OwnToken::Text(Zeroizing::new(text.into()));
        self
    }

    /// Sets the file with the verifier's own token, which needs the scope `revocations:read`. It is read for every
    /// request: replace the file before the token expires, without a restart.
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token = OwnToken::File(path.into());
        self
    }

    /// Sets how old the knowledge about revocations may be. Required: it is how long a revoked token may still be
    /// accepted while the authority cannot be reached, and how long the service works without the authority.
    ///
    /// The authority confirms the state of its feed every five seconds: below 10 s, a single late answer refuses
    /// tokens. Status lists are confirmed once a minute. At least 1 s, or 120 s with [`Builder::status_lists_only`]; at most
    /// 7 days.
    pub fn max_staleness(mut self, bound: Duration) -> Self {
        self.max_staleness = Some(bound);
        self
    }

    /// Sets the allowed clock skew when `exp` and `iat` of tokens are checked; 30 s by default, at most 300 s. Whole
    /// seconds.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets the file that keeps keys and revocations for a start while the authority is down. A user who can write it
    /// decides which keys are trusted: it is written with mode 0600, and ignored if others may write it.
    pub fn snapshot_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.snapshot_file = Some(path.into());
        self
    }

    /// Sets the bounds of the cache of verified tokens: 100,000 tokens and 128 MiB by default.
    pub fn cache(mut self, entries: usize, bytes: u64) -> Self {
        self.cache_entries = entries;
        self.cache_bytes = bytes;
        self
    }

    /// Sets whether the use of tokens is reported to the authority, once a minute, so that unused tokens can be found.
    /// The verifier's token needs the scope `usage:write` too. The default is no.
    pub fn report_usage(mut self, reports: bool) -> Self {
        self.reports_usage = reports;
        self
    }

    /// Sets the URL to which all requests go, if it is not that of the issuer: an address inside a network. That host is
    /// trusted like the issuer, since it serves the keys.
    pub fn authority(mut self, url: impl Into<String>) -> Self {
        self.authority = Some(url.into());
        self
    }

    /// Uses the public status lists instead of the feed, which needs no token. Revocations arrive within two minutes
    /// instead of milliseconds. An authority without tokens has no list: the verifier is ready once there is one.
    pub fn status_lists_only(mut self) -> Self {
        self.status_lists_only = true;
        self
    }

    /// Starts the background task and returns the verifier, which does not know anything yet: see
    /// [`Verifier::ready`].
    ///
    /// # Errors
    ///
    /// [`BuildError`] names the setting. No request is made.
    pub fn build(self) -> Result<Verifier, BuildError> {
        base_url(&self.issuer)?;
        let authority = self.authority.as_ref().unwrap_or(&self.issuer);
        let authority_url: Uri = base_url(authority)?;
        if self.audience.is_empty() {
            return Err(BuildError::Audience);
        }
        let max_staleness = self.max_staleness.ok_or(BuildError::MaxStaleness)?;
        let least = if self.status_lists_only {
            MIN_STALENESS_OF_LISTS
        } else {
            MIN_STALENESS
        };
        if !(least..=MAX_STALENESS).contains(&max_staleness) {
            return Err(BuildError::MaxStalenessRange);
        }
        if self.cache_entries == 0 || self.cache_bytes == 0 {
            return Err(BuildError::Cache);
        }
        if self.leeway > MAX_LEEWAY {
            return Err(BuildError::Leeway);
        }
        let has_token = !matches!(self.token, OwnToken::None);
        match (has_token, self.status_lists_only) {
            (false, false) => return Err(BuildError::Token),
            (true, true) => return Err(BuildError::TokenUnused),
            (false, true) if self.reports_usage => return Err(BuildError::UsageNeedsToken),
            _ => {}
        }
        let runtime = Handle::try_current().map_err(|_| BuildError::Runtime)?;
        let http = Http::new(&self.issuer, authority, &authority_url).map_err(BuildError::Certificates)?;

        let (used, uses) = if self.reports_usage {
            let (used, uses) = mpsc::channel(MAX_UNREPORTED);
            (Some(used), Some(uses))
        } else {
            (None, None)
        };
        let shared = Arc::new(Shared {
            issuer: self.issuer,
            audience: self.audience,
            further_audiences: self.further_audiences,
            max_staleness,
            leeway: i64::try_from(self.leeway.as_secs()).unwrap_or(i64::MAX),
            keys: ArcSwapOption::empty(),
            view: ArcSwap::from_pointee(View::default()),
            own_clock: OwnClock::start(),
            cache: TokenCache::new(self.cache_entries, self.cache_bytes),
            counters: Counters::default(),
            key_is_wanted: AtomicBool::new(false),
            wanted_key: Notify::new(),
            wanted_list: Notify::new(),
            changed: watch::Sender::new(()),
            troubles: Mutex::default(),
            used,
        });
        let settings = task::Settings {
            http,
            token: self.token,
            snapshot_file: self.snapshot_file,
            status_lists_only: self.status_lists_only,
        };
        let task = runtime.spawn(task::run(Arc::clone(&shared), settings, uses));
        Ok(Verifier {
            shared,
            _task: Arc::new(Task(task.abort_handle())),
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}
