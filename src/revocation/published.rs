//! Signed texts as they are sent, and the status list that is cached until it expires or changes.

use std::io::Write;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};

use jeton_core::clock::Timestamp;

/// The `ttl` of a list, in seconds: how late a verifier that relies on lists alone learns of a revocation.
const TTL: i64 = 60;

/// The life of a list without a scheduled revocation, in seconds: how long a verifier can work without the
/// authority.
pub const LIFE: i64 = 3600;

/// The validity period of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// When it was signed.
    pub from: Timestamp,
    /// The second in which it expires.
    pub expires_at: i64,
    /// The seconds after a fetch for which the list is to be used (`ttl`).
    pub ttl: u32,
    /// The last instant at which the list is served.
    until: Timestamp,
}

impl Validity {
    /// Returns the validity of a list signed now. `next` is its next scheduled revocation, at least a second
    /// ahead: neither `exp` nor the `ttl` of the last fetch goes beyond it.
    pub fn new(now: Timestamp, next: Option<Timestamp>) -> Self {
        let ahead = next.map_or(i64::MAX, |next| next.millis() - now.millis());
        // Half of the remaining time, so that a list near its end is signed a few times and not every second.
        let ttl = (ahead / 2000).clamp(1, TTL);
        let end = now.seconds() + LIFE;
        // Signed again often, though nothing changed: what a verifier knows is as old as the list's date says.
        let recent = now.plus_seconds(TTL / 2);
        Self {
            from: now,
            expires_at: next.map_or(end, |next| next.seconds().min(end)),
            ttl: u32::try_from(ttl).unwrap_or(1),
            until: next.map_or(recent, |next| next.plus_seconds(-ttl).min(recent)),
        }
    }

    /// Returns whether the list may be served. One signed in the future may not: after the clock was set back,
    /// verifiers would reject it.
    pub fn is_good(&self, now: Timestamp) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

/// A status list as it is sent.
#[derive(Debug)]
pub struct Published {
    /// The list.
    pub text: SignedText,
    /// The validity period.
    pub validity: Validity,
    /// [`Index::changes`](crate::revocation::Index::changes) before the bits were read.
    pub changes: u64,
}

/// A signed text as it is sent.
#[derive(Debug)]
pub struct SignedText {
    /// The text.
    pub body: Bytes,
    /// The `ETag`: the first 32 characters of the signature, unique to the text.
    pub tag: String,
    /// The key that signed it.
    pub kid: Arc<str>,
    gzip: OnceCell<Option<Bytes>>,
}

impl SignedText {
    /// Returns a signed text with its key.
    pub fn new(text: String, kid: Arc<str>) -> Self {
        let signature = text.rsplit('.').next().unwrap_or_default();
        Self {
            tag: signature.chars().take(32).collect(),
            body: text.into(),
            kid,
            gzip: OnceCell::new(),
        }
    }

    /// Returns the text compressed with gzip, if that is shorter. Compressed once, on a blocking thread.
    pub async fn gzip(&self) -> Option<Bytes> {
        let make = async || {
            let body = self.body.clone();
            let made = tokio::task::spawn_blocking(move || gzip(&body)).await;
            made.ok().flatten()
        };
        self.gzip.get_or_init(make).await.clone()
    }
}

fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len()), Compression::default());
    encoder.write_all(bytes).ok()?;
    let compressed = encoder.finish().ok()?;
    (compressed.len() < bytes.len()).then(|| compressed.into())
}

/// The published form of one list.
#[derive(Debug, Default)]
pub struct Publication {
    current: ArcSwapOption<Published>,
    /// Held by the task that renders the list.
    rendering: Arc<Mutex<()>>,
}

impl Publication {
    /// Returns the list rendered last.
    pub fn current(&self) -> Option<Arc<Published>> {
        self.current.load_full()
    }

    /// Waits until no other task renders the list, and locks the rendering. After waiting, check first whether
    /// [`Publication::current`] is good enough.
    pub async fn lock_rendering(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.rendering).lock_owned().await
    }

    /// Replaces the list rendered last.
    pub fn publish(&self, published: Arc<Published>) {
        self.current.store(Some(published));
    }
}
