//! A status list as it is sent, kept until it must be another.

use std::io::Write;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard};

use jeton_core::clock::Timestamp;

/// For how many seconds a list is to be used before it is fetched anew: what a verifier that relies on
/// lists alone learns late.
const TTL: i64 = 60;

/// For how many seconds a list is good where nothing is known to change: how long such a verifier goes
/// on without the authority.
pub const LIFE: i64 = 3600;

/// For how long a list is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// When it was signed.
    pub from: Timestamp,
    /// The second in which it expires.
    pub expires_at: i64,
    /// For how many seconds after it was handed out it is to be used.
    pub ttl: u32,
    /// The last instant at which it is handed out.
    until: Timestamp,
}

impl Validity {
    /// Of a list signed now, whose next revocation lies at least a second ahead: neither its life nor
    /// what was handed out last goes beyond that.
    pub fn new(now: Timestamp, next: Option<Timestamp>) -> Self {
        let ahead = next.map_or(i64::MAX, |next| next.millis() - now.millis());
        // Half of what is left, so that a list near its end is signed a few times and not every second.
        let ttl = (ahead / 2000).clamp(1, TTL);
        let end = now.seconds() + LIFE;
        let half = now.plus_seconds(LIFE / 2);
        Self {
            from: now,
            expires_at: next.map_or(end, |next| next.seconds().min(end)),
            ttl: u32::try_from(ttl).unwrap_or(1),
            until: next.map_or(half, |next| next.plus_seconds(-ttl).min(half)),
        }
    }

    /// Whether it may be handed out at this instant. One from the future may not: a clock that was put
    /// back must not leave a list behind that no verifier takes.
    pub fn is_good(&self, now: Timestamp) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

/// A status list as it is sent.
#[derive(Debug)]
pub struct Published {
    /// The signed text.
    pub body: Bytes,
    /// The end of the text, which is as unlike another's as the signature.
    pub tag: String,
    /// For how long it is good.
    pub validity: Validity,
    /// [`Index::changes`](crate::revocation::Index::changes) before the bits were read.
    pub changes: u64,
    /// The key that signed it.
    pub kid: Arc<str>,
    gzip: OnceCell<Option<Bytes>>,
}

impl Published {
    /// What was signed with a key at such a state of the index.
    pub fn new(text: String, kid: Arc<str>, validity: Validity, changes: u64) -> Self {
        let signature = text.rsplit('.').next().unwrap_or_default();
        Self {
            tag: signature.chars().take(32).collect(),
            body: text.into(),
            validity,
            changes,
            kid,
            gzip: OnceCell::new(),
        }
    }

    /// The text in gzip, if that is shorter. Made for the first who asks, away from the request.
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

/// What is published of one list.
#[derive(Debug, Default)]
pub struct Publication {
    current: ArcSwapOption<Published>,
    /// Held by whoever renders.
    turn: Arc<Mutex<()>>,
}

impl Publication {
    /// What was rendered last.
    pub fn current(&self) -> Option<Arc<Published>> {
        self.current.load_full()
    }

    /// Waits until nobody renders. What is rendered is done so with the turn held: whoever waited looks
    /// first whether it will do.
    pub async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// Replaces what was rendered last.
    pub fn publish(&self, published: Arc<Published>) {
        self.current.store(Some(published));
    }
}
