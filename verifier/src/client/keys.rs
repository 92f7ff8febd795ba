//! Keeps the key set up to date.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::header::{CACHE_CONTROL, HeaderMap};
use tokio::time::{Instant, sleep_until};

use super::Keys;
use super::clock::TrueAt;
use super::discovery::{DiscoveryError, discover};
use super::http::{Ask, FetchError};
use super::task::{Context, Trouble};
use crate::{KeySet, NotAKeySet};

/// The least time between two fetches because of unknown keys.
const BETWEEN_WANTED: Duration = Duration::from_secs(30);

/// How long a key set is used before it is fetched again, whatever `max-age` says.
const MIN_AGE: Duration = Duration::from_secs(30);
const MAX_AGE: Duration = Duration::from_secs(60 * 60);
const DEFAULT_AGE: Duration = Duration::from_secs(5 * 60);

/// How long the metadata is used.
const ENDPOINTS_AGE: Duration = Duration::from_secs(60 * 60);

/// The maximum size of a key set, in bytes.
const MAX_KEYS_BYTES: usize = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
enum KeysError {
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    KeySet(#[from] NotAKeySet),
    #[error("the key set is not UTF-8")]
    Encoding,
    /// An authority always has a key: an empty set is a fault, and would refuse every token.
    #[error("the key set is empty")]
    Empty,
}

/// Fetches metadata and key set when they are due, and when a token names an unknown key.
pub(super) async fn keep(context: &Context) {
    let shared = &context.shared;
    let mut trouble = Trouble::new("fetching the key set");
    let (mut discovered, mut wanted): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let fetched = async {
            if discovered.is_none_or(|at| at.elapsed() > ENDPOINTS_AGE) {
                context.endpoints.store(Some(Arc::new(discover(context).await?)));
                discovered = Some(Instant::now());
            }
            fetch(context).await
        };
        let wait = match fetched.await {
            Ok(age) => {
                trouble.ended(context);
                age
            }
            Err(error) => {
                trouble.failed(context, &error);
                // It may have moved.
                discovered = None;
                trouble.delay()
            }
        };
        let mut due = Instant::now() + wait;
        tokio::select! {
            () = sleep_until(due) => {}
            () = shared.wanted_key.notified() => {
                due = due.min(wanted.map_or_else(Instant::now, |last| last + BETWEEN_WANTED));
                sleep_until(due).await;
                wanted = Some(Instant::now());
                shared.key_is_wanted.store(false, Ordering::Release);
            }
        }
    }
}

/// Fetches the key set and returns how long it is to be used. One that is unreadable replaces nothing.
async fn fetch(context: &Context) -> Result<Duration, KeysError> {
    let Some(endpoints) = context.endpoints.load_full() else {
        return Ok(MIN_AGE);
    };
    let ask = Ask::document(&endpoints.jwks_uri, MAX_KEYS_BYTES);
    let answer = context.settings.http.get(ask).await?;
    let text = String::from_utf8(answer.body.into()).map_err(|_| KeysError::Encoding)?;
    let set = KeySet::from_json(&text)?;
    if set.is_empty() {
        return Err(KeysError::Empty);
    }
    let shared = &context.shared;
    let now = shared.view.load().now();
    let keys = Keys {
        set,
        text,
        confirmed: TrueAt::received(now, now),
    };
    shared.keys.store(Some(Arc::new(keys)));
    context.changed();
    Ok(max_age(&answer.headers).min(shared.keys_max_age(&shared.view.load()) / 2))
}

fn max_age(headers: &HeaderMap) -> Duration {
    let values = headers.get_all(CACHE_CONTROL).into_iter();
    let directives = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut ages = directives.filter_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok());
    let age = ages.next().map_or(DEFAULT_AGE, Duration::from_secs);
    age.clamp(MIN_AGE, MAX_AGE)
}
