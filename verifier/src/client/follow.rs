//! Follows the revocation feed: snapshot, stream with resume, pages, and status lists when there is no feed.

use std::convert::Infallible;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, HeaderName, HeaderValue};
use serde::Deserialize;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use super::clock::TrueAt;
use super::discovery::Endpoints;
use super::file::{self, Record};
use super::http::{Ask, FetchError};
use super::lists;
use super::sse::{NotAnEvent, Parser};
use super::task::{Context, FOLLOWING, Trouble, jittered, one_line};
use super::{Keys, Source, View};
use crate::event::Position;
use crate::feed::{Cursor, Head, HeadClaims, Item, SnapshotClaims};
use crate::known::WithdrawnKeys;
use crate::{KeyId, Known, Malformed, NotApplied, Rejection, Statement, UnverifiedStatement};

/// How long the stream may be silent: three heartbeats.
const SILENCE: Duration = Duration::from_secs(15);

/// How long the first head of the stream may take, which is sent at once. Beyond, something in between holds it back.
const FIRST_HEAD: Duration = Duration::from_secs(5);

/// How long pages are read before the stream is tried again.
const PAGES_INSTEAD: Duration = Duration::from_secs(60);

/// The maximum number of items in a page, which the authority allows.
const PAGE_ITEMS: usize = 1000;

/// The maximum size of a page, in bytes.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// How long a snapshot may take.
const MAX_SNAPSHOT_WAIT: Duration = Duration::from_secs(60);

/// When a new snapshot is taken: it leaves out what no living token needs.
const SNAPSHOT_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The wait after a new snapshot could not be taken, while the old one will do.
const SNAPSHOT_RETRY: Duration = Duration::from_secs(10 * 60);

/// The wait before the next connection, unless the authority says another.
const DEFAULT_RETRY: Duration = Duration::from_secs(1);

/// The least time from one write of the snapshot file to the next, which events wait for.
const SAVE_SOON: Duration = Duration::from_millis(500);

/// The least wait before the next connection, whatever the authority says.
const MIN_RETRY: Duration = Duration::from_millis(250);

/// How long a stream lives at least, unless something is wrong.
const SHORT_LIFE: Duration = Duration::from_secs(5);

/// How often the file of the verifier's own token is read for its expiry.
const TOKEN_CHECKED: Duration = Duration::from_secs(30);

/// The reason why following ended, and so what to do next.
#[derive(Debug, thiserror::Error)]
enum Broken {
    /// The stream ended as streams do.
    #[error("the stream ended")]
    Ended,
    /// A new snapshot is due.
    #[error("the snapshot is old")]
    Refresh,
    /// What is known does not continue in this feed: only a new snapshot helps.
    #[error("the feed does not continue what is known: {0}")]
    StartAgain(&'static str),
    /// So is this, and what the verifier reads is proven wrong, or is of a database that was restored.
    #[error("the feed contradicts what is known: {0}")]
    Contradicted(&'static str),
    /// A signed statement is not to be believed, or an older one was repeated.
    #[error("a signed statement of the feed was refused: {0}")]
    Refused(#[from] Rejection),
    /// The feed cannot be had with this token, or not at all.
    #[error("the feed is not available: {0}{hint}", hint = .0.hint())]
    Unavailable(FetchError),
    /// There is no feed, or none is wanted.
    #[error("the authority has no feed")]
    NoFeed,
    #[error(transparent)]
    Fetch(FetchError),
    #[error("the answer is unreadable: {0}")]
    Unreadable(String),
}

impl From<FetchError> for Broken {
    fn from(error: FetchError) -> Self {
        let status = match &error {
            FetchError::Status { status, .. } => *status,
            _ => return Self::Fetch(error),
        };
        match (status, error.code()) {
            (_, "cursor_pruned") => Self::StartAgain("the position is no longer in the feed"),
            (_, "cursor_ahead") => Self::Contradicted("the position is ahead of the feed"),
            (_, "other_epoch") => Self::Contradicted("the authority's database was restored"),
            (StatusCode::GONE, _) => Self::StartAgain("the position was refused"),
            (StatusCode::CONFLICT, _) => Self::Contradicted("the position was refused"),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND, _) => {
                Self::Unavailable(error)
            }
            _ => Self::Fetch(error),
        }
    }
}

impl From<Malformed> for Broken {
    fn from(malformed: Malformed) -> Self {
        Self::Refused(malformed.into())
    }
}

impl From<NotAnEvent> for Broken {
    fn from(error: NotAnEvent) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<serde_json::Error> for Broken {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<NotApplied> for Broken {
    fn from(error: NotApplied) -> Self {
        match error {
            NotApplied::Gap => Self::StartAgain("items are missing"),
            NotApplied::Altered => Self::Contradicted("an item was altered"),
            NotApplied::OtherEpoch => Self::Contradicted("the authority's database was restored"),
            NotApplied::OutOfRange => Self::Contradicted("an item is outside the status lists"),
            NotApplied::Repeated => Self::Refused(Rejection::Outdated),
        }
    }
}

/// A signed head.
struct SignedHead {
    claims: HeadClaims,
    kid: KeyId,
    text: String,
}

pub(super) struct Follower<'a> {
    context: &'a Context,
    /// What items are applied to. The verifier reads it as soon as it is not behind what it reads now.
    known: Option<Arc<Known>>,
    /// The highest position that a reached head or a snapshot signed.
    confirmed: Option<Position>,
    /// The highest `iat` of these, in seconds.
    signed_at: i64,
    /// The keys that events before `confirmed` withdrew. A thief of one can sign heads, snapshots and lists with it.
    withdrawn: WithdrawnKeys,
    /// The status lists that were read.
    held: lists::Held,
    /// The first head that is ahead of `known`.
    ahead: Option<SignedHead>,
    /// The highest `iat` of a head, in seconds, reached or not.
    heard_at: i64,
    /// When the stream was opened last, and how many ended soon after that, one after the other.
    opened: Instant,
    short_streams: u32,
    /// Where heads and items come from.
    source: Source,
    /// Whether the stream was connected before.
    had_stream: bool,
    /// Whether items that the verifier reads are proven wrong: only what is confirmed must not be undone.
    distrusts: bool,
    starts_again: bool,
    /// When a new snapshot is due.
    snapshot_due: Instant,
    /// Until when none is tried, after one could not be had.
    no_snapshot_until: Option<Instant>,
    /// The key that signed the snapshot.
    snapshot_key: Option<KeyId>,
    /// What the snapshot file will contain.
    record: Option<Record>,
    /// The head that was reached last, since the snapshot.
    head: Option<String>,
    /// When the file is written next, if there is something new.
    save_due: Option<Instant>,
    saved: Option<Instant>,
    saving: Option<JoinHandle<()>>,
    token_checked: Instant,
    retry: Duration,
    trouble: Trouble,
    of_snapshot: Trouble,
}

impl<'a> Follower<'a> {
    /// Returns a follower that knows what the snapshot file says.
    pub(super) async fn start(context: &'a Context) -> Self {
        let mut follower = Self {
            context,
            known: None,
            confirmed: None,
            signed_at: 0,
            withdrawn: WithdrawnKeys::new(),
            held: lists::Held::new(),
            ahead: None,
            heard_at: 0,
            opened: Instant::now(),
            short_streams: 0,
            source: Source::None,
            had_stream: false,
            distrusts: false,
            starts_again: false,
            snapshot_due: Instant::now() + SNAPSHOT_AGE,
            no_snapshot_until: None,
            snapshot_key: None,
            record: None,
            head: None,
            save_due: None,
            saved: None,
            saving: None,
            token_checked: Instant::now(),
            retry: DEFAULT_RETRY,
            trouble: Trouble::new(FOLLOWING),
            of_snapshot: Trouble::new("taking a new snapshot"),
        };
        if let Some(path) = context.settings.snapshot_file.clone() {
            follower.load(&path).await;
        }
        follower
    }

    async fn load(&mut self, path: &Path) {
        let (issuer, file) = (self.context.shared.issuer.clone(), path.to_owned());
        let loaded = match spawn_blocking(move || file::load(&file, &issuer)).await {
            Ok(Ok(Some(loaded))) => loaded,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => {
                return tracing::warn!(path = %path.display(), %error, "the snapshot file is ignored");
            }
            Err(error) => return tracing::warn!(%error, "the snapshot file is ignored"),
        };
        let shared = &self.context.shared;
        self.confirmed = Some(loaded.head.position);
        self.signed_at = loaded.head.issued_at;
        self.withdrawn = loaded.withdrawn;
        self.head = Some(loaded.head_text);
        self.snapshot_key = Some(loaded.snapshot_key);
        self.record = Some(loaded.record);
        let known = Arc::new(loaded.known);
        self.known = Some(Arc::clone(&known));
        let mut view = View {
            known: Some(known),
            source: Source::File,
            ..View::default()
        };
        let now = view.now();
        view.complete_at = Some(TrueAt::received(self.signed_at.saturating_mul(1000), now));
        shared.keys.store(Some(Arc::new(Keys {
            confirmed: TrueAt::received(loaded.keys_confirmed, now),
            set: loaded.keys,
            text: loaded.keys_text,
        })));
        shared.view.store(Arc::new(view));
        self.context.changed();
    }

    /// Follows for ever.
    pub(super) async fn run(mut self) {
        let mut of_lists = Trouble::new("fetching the status lists");
        loop {
            let endpoints = self.context.prepared().await;
            let Err(broken) = self.follow(&endpoints).await;
            self.save();
            self.source = Source::None;
            if matches!(
                self.context.shared.view.load().source,
                Source::Stream | Source::Pages
            ) {
                self.show(Source::None);
            }
            match broken {
                Broken::Refresh => {}
                Broken::Ended => {
                    let wait = self.wait_after_stream();
                    sleep(wait).await;
                }
                Broken::NoFeed | Broken::Unavailable(_) => {
                    if !self.context.settings.status_lists_only {
                        self.trouble.failed(self.context, &broken);
                    }
                    // The key of the verifier's own token may have been withdrawn, and with it those of others.
                    if matches!(&broken, Broken::Unavailable(error) if error.is_unauthorized()) {
                        self.context.shared.want_keys();
                    }
                    let wait = self.read_lists(&endpoints, &mut of_lists).await;
                    lists::wait(self.context, wait).await;
                }
                Broken::StartAgain(_)
                | Broken::Contradicted(_)
                | Broken::Refused(_)
                | Broken::Unreadable(_)
                | Broken::Fetch(_) => {
                    // What no head confirmed may be forged: it must not outlive the connection that brought it.
                    self.distrusts |= matches!(broken, Broken::Contradicted(_));
                    self.starts_again |= matches!(broken, Broken::StartAgain(_) | Broken::Contradicted(_));
                    self.trouble.failed(self.context, &broken);
                    let asked = match broken {
                        Broken::Fetch(FetchError::Status { retry_after, .. }) => retry_after,
                        _ => None,
                    };
                    let asked = asked.unwrap_or_default().min(Duration::from_secs(60));
                    sleep(self.trouble.delay().max(asked)).await;
                }
            }
        }
    }

    /// Returns the wait after a stream ended: what the authority asked for, and longer after each that did not live long.
    fn wait_after_stream(&mut self) -> Duration {
        if self.opened.elapsed() >= SHORT_LIFE {
            self.short_streams = 0;
            return jittered(self.retry).max(MIN_RETRY);
        }
        let doubled = MIN_RETRY.saturating_mul(1 << self.short_streams.min(6));
        self.short_streams = self.short_streams.saturating_add(1);
        jittered(self.retry.max(doubled)).max(MIN_RETRY)
    }

    async fn follow(&mut self, endpoints: &Endpoints) -> Result<Infallible, Broken> {
        let feed = endpoints.revocation_feed_uri.as_ref();
        let (Some(feed), Some(snapshot)) = (feed, endpoints.revocation_snapshot_uri.as_ref()) else {
            return Err(Broken::NoFeed);
        };
        if self.context.settings.status_lists_only {
            return Err(Broken::NoFeed);
        }
        if self.known.is_none() || self.starts_again {
            self.take_snapshot(snapshot).await?;
        } else if self.is_snapshot_old() {
            // The old one will do, and nothing is followed meanwhile.
            let bound = self.context.shared.max_staleness / 2;
            let taken = timeout(bound, self.take_snapshot(snapshot)).await;
            match taken.unwrap_or(Err(FetchError::Timeout.into())) {
                Ok(()) => self.of_snapshot.ended(self.context),
                Err(error) => {
                    self.of_snapshot.failed(self.context, &error);
                    self.no_snapshot_until = Some(Instant::now() + jittered(SNAPSHOT_RETRY));
                    // What is full is not written any more.
                    self.record.take_if(|record| record.is_full());
                }
            }
        }
        loop {
            if let Some(stream) = &endpoints.revocation_stream_uri {
                let mut had_head = false;
                let Err(broken) = self.stream(stream, &mut had_head).await;
                let is_of_the_stream = match &broken {
                    Broken::Ended | Broken::Unreadable(_) => true,
                    Broken::Unavailable(FetchError::Status { status, .. }) => {
                        *status == StatusCode::NOT_FOUND
                    }
                    Broken::Fetch(FetchError::Connect(_) | FetchError::Token(_)) => false,
                    Broken::Fetch(FetchError::Status { status, .. }) => {
                        *status != StatusCode::TOO_MANY_REQUESTS
                    }
                    Broken::Fetch(_) => true,
                    _ => false,
                };
                if had_head || !is_of_the_stream {
                    return Err(broken);
                }
                tracing::debug!(
                    error = one_line(&broken),
                    "the stream cannot be had: reading pages"
                );
            }
            self.pages(feed).await?;
        }
    }

    fn is_snapshot_old(&self) -> bool {
        if self.no_snapshot_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        Instant::now() >= self.snapshot_due
            || self.record.as_ref().is_some_and(Record::is_full)
            || self
                .snapshot_key
                .as_ref()
                .is_some_and(|kid| self.is_withdrawn(kid))
    }

    /// Takes a snapshot, which the verifier reads once it has all that it reads now.
    async fn take_snapshot(&mut self, url: &str) -> Result<(), Broken> {
        let shared = &self.context.shared;
        let token = self.context.token().await?;
        let ask = Ask {
            token: token.as_ref().map(|token| token.as_str()),
            headers: vec![(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))],
            time: MAX_SNAPSHOT_WAIT,
            ..Ask::document(url, SnapshotClaims::MAX_BYTES)
        };
        let answer = self.context.settings.http.get(ask).await?;
        let is_gzip = answer
            .headers
            .get(CONTENT_ENCODING)
            .is_some_and(|encoding| encoding == "gzip");
        let (keys, issuer) = (shared.keys.load_full(), shared.issuer.clone());
        // A second of work for a million revocations.
        let read = spawn_blocking(move || {
            let text = if is_gzip {
                gunzip(&answer.body)?
            } else {
                utf8(&answer.body)?
            };
            let keys = keys.ok_or(Rejection::UnknownKey)?;
            let snapshot = UnverifiedStatement::<SnapshotClaims>::parse(&text)?;
            let kid = snapshot.header().kid.clone();
            let snapshot = keys.set.verify_statement(snapshot)?;
            let snapshot = snapshot.judge(&issuer)?;
            let known = Known::from_snapshot(&issuer, &snapshot)?;
            if known.withdraws(&kid, 0) {
                return Err(Rejection::UnknownKey.into());
            }
            Ok::<_, Broken>((known, kid, snapshot.issued_at, text))
        });
        let read = read
            .await
            .map_err(|error| Broken::Unreadable(error.to_string()))?;
        let read = read.and_then(|read| {
            if self.is_withdrawn(&read.1) {
                return Err(Rejection::UnknownKey.into());
            }
            Ok(read)
        });
        let (known, kid, issued_at, text) = self.checked(read)?;

        let position = known.position();
        let is_other_epoch = self
            .confirmed
            .is_some_and(|confirmed| confirmed.epoch != position.epoch);
        // A snapshot of an epoch that ended is signed too, but it is old.
        if self.contradicts(position) || is_other_epoch && issued_at < self.signed_at {
            return Err(Rejection::Outdated.into());
        }
        if self.known.is_some() {
            shared.counters.count(&shared.counters.restarts);
            tracing::info!(issuer = shared.issuer, epoch = %position.epoch, sequence = position.sequence, "started again from a snapshot");
        }
        self.record = self
            .context
            .settings
            .snapshot_file
            .as_ref()
            .map(|_| Record::new(text));
        self.known = Some(Arc::new(known));
        self.head = None;
        self.save_due = None;
        self.ahead = None;
        self.starts_again = false;
        self.snapshot_due = Instant::now() + SNAPSHOT_AGE;
        self.no_snapshot_until = None;
        self.snapshot_key = Some(kid);
        self.publish();
        Ok(())
    }

    /// Follows the stream until it ends.
    async fn stream(&mut self, url: &str, had_head: &mut bool) -> Result<Infallible, Broken> {
        let token = self.context.token().await?;
        let cursor = HeaderValue::from_str(&Cursor(self.position()?).to_string());
        let cursor = cursor.map_err(|error| Broken::Unreadable(error.to_string()))?;
        let ask = Ask {
            token: token.as_ref().map(|token| token.as_str()),
            headers: vec![
                (ACCEPT, HeaderValue::from_static("text/event-stream")),
                (HeaderName::from_static("last-event-id"), cursor),
            ],
            ..Ask::document(url, 0)
        };
        let mut body = self.context.settings.http.open(ask).await?;
        drop(token);
        self.source = Source::Stream;
        self.opened = Instant::now();
        if std::mem::replace(&mut self.had_stream, true) {
            let counters = &self.context.shared.counters;
            counters.count(&counters.reconnects);
        }
        let mut parser = Parser::default();
        // Only progress counts: comments alone would hold the stream open for ever.
        let mut silent_until = Instant::now() + FIRST_HEAD;
        loop {
            let save_due = self.save_due;
            let frame = tokio::select! {
                frame = timeout_at(silent_until, body.frame()) => frame,
                () = sleep_until(save_due.unwrap_or(silent_until)), if save_due.is_some() => {
                    self.save();
                    continue;
                }
            };
            let frame = frame.map_err(|_| FetchError::Timeout)?.ok_or(Broken::Ended)?;
            let frame = frame.map_err(|error| FetchError::Body(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            for event in parser.push(&data)? {
                match event.name.as_str() {
                    "head" => {
                        let head: Head = serde_json::from_str(&event.data)?;
                        let is_news = self.head(head.head)?;
                        // Items before it are on their way, or were left out.
                        if self.ahead.is_some() {
                            continue;
                        }
                        // The first one may be of the same second as the last one of the connection before.
                        if std::mem::replace(had_head, true) && !is_news {
                            continue;
                        }
                    }
                    "" => self.item(serde_json::from_str(&event.data))?,
                    _ => continue,
                }
                silent_until = Instant::now() + SILENCE;
            }
            self.retry = parser.retry.unwrap_or(self.retry).min(Duration::from_secs(60));
            self.check_token().await;
            if self.is_snapshot_old() {
                return Err(Broken::Refresh);
            }
        }
    }

    /// Reads pages for a while.
    async fn pages(&mut self, url: &str) -> Result<(), Broken> {
        #[derive(Deserialize)]
        struct Wire {
            items: Vec<serde_json::Value>,
            next_cursor: Cursor,
            head: Option<String>,
        }
        let end = Instant::now() + PAGES_INSTEAD;
        let between =
            (self.context.shared.max_staleness / 4).clamp(Duration::from_secs(1), Duration::from_secs(5));
        while Instant::now() < end {
            let token = self.context.token().await?;
            let after = Cursor(self.position()?);
            let url = format!("{url}?after={after}&limit={PAGE_ITEMS}");
            let ask = Ask {
                token: token.as_ref().map(|token| token.as_str()),
                ..Ask::document(&url, MAX_PAGE_BYTES)
            };
            let answer = self.context.settings.http.get(ask).await?;
            let page: Wire = serde_json::from_slice(&answer.body)?;
            self.source = Source::Pages;
            let is_full = page.items.len() >= PAGE_ITEMS;
            for item in page.items {
                self.item(serde_json::from_value(item))?;
            }
            if page.next_cursor != Cursor(self.position()?) {
                return Err(Broken::StartAgain("a page does not end where it says"));
            }
            if let Some(head) = page.head {
                self.head(head)?;
            }
            if !is_full {
                self.save();
                sleep(jittered(between)).await;
            }
        }
        Ok(())
    }

    fn item(&mut self, item: Result<Item, serde_json::Error>) -> Result<(), Broken> {
        let item = item.map_err(|_| Broken::StartAgain("an item is of an unknown kind"))?;
        let known = self
            .known
            .as_ref()
            .ok_or(Broken::StartAgain("nothing is known"))?;
        known.apply(&item)?;
        let position = known.position();
        if let Some(record) = &mut self.record {
            record.push(&item);
            self.save_within(SAVE_SOON);
        }
        if let Item::CutOff(cut_off) = &item
            && cut_off.tokens.kid.is_some()
        {
            // The key set lacks it now.
            self.context.shared.want_keys();
        }
        if self.contradicts(position) {
            return Err(Rejection::Outdated.into());
        }
        if let Some(head) = self
            .ahead
            .take_if(|head| head.claims.position.sequence <= position.sequence)
        {
            self.reach(head)?;
        }
        self.publish();
        if self.context.shared.view.load().lists.is_none() {
            self.show(self.source);
        }
        self.context.changed();
        Ok(())
    }

    /// Shows where what is known comes from.
    fn show(&self, source: Source) {
        let shared = &self.context.shared;
        let view = View::clone(&shared.view.load());
        shared.view.store(Arc::new(View { source, ..view }));
    }

    /// Takes note of a signed head: what is known is complete up to its instant, if its position is reached. Returns
    /// whether it is later than all before.
    fn head(&mut self, text: String) -> Result<bool, Broken> {
        let shared = &self.context.shared;
        let judge = || {
            let keys = shared.keys.load();
            let keys = keys.as_ref().ok_or(Rejection::UnknownKey)?;
            let head = UnverifiedStatement::<HeadClaims>::parse(&text)?;
            let kid = head.header().kid.clone();
            let head = keys.set.verify_statement(head)?;
            let claims = head.judge(&shared.issuer)?.clone();
            if self.is_withdrawn(&kid) {
                return Err(Rejection::UnknownKey.into());
            }
            Ok((claims, kid))
        };
        let (claims, kid) = self.checked(judge())?;
        let head = SignedHead { claims, kid, text };
        let (issued_at, own) = (head.claims.issued_at, shared.own_clock.now() / 1000);
        // Or the authority's clock was ahead before.
        let is_news = issued_at > self.heard_at || self.heard_at > own && issued_at <= own;
        if is_news {
            self.heard_at = issued_at;
        }
        let known = self.position()?;
        if head.claims.position.epoch != known.epoch {
            if head.claims.issued_at < self.signed_at {
                return Err(Rejection::Outdated.into());
            }
            return Err(Broken::Contradicted("the authority's database was restored"));
        }
        if head.claims.position.sequence > known.sequence {
            // The first one is reached first.
            self.ahead.get_or_insert(head);
            return Ok(is_news);
        }
        self.reach(head)?;
        Ok(is_news)
    }

    /// Compares what is known with a head that is not ahead of it. An older head says nothing new.
    fn reach(&mut self, head: SignedHead) -> Result<(), Broken> {
        let Some(known) = &self.known else { return Ok(()) };
        let SignedHead {
            claims: head,
            kid,
            text,
        } = head;
        let position = known.position();
        if head.position.sequence < position.sequence {
            return Ok(());
        }
        if head.position != position {
            return Err(Broken::Contradicted("the signed head has another hash"));
        }
        let is_behind =
            |confirmed: Position| confirmed.epoch == position.epoch && confirmed.sequence > position.sequence;
        if self.confirmed.is_some_and(is_behind) {
            return Ok(());
        }
        // The events that it covers withdraw its own key.
        if known.withdraws(&kid, 0) {
            return self.checked(Err(Rejection::UnknownKey.into()));
        }
        known.observe(head.issued_at.saturating_mul(1000));
        let withdrawn = known.withdrawn_keys();
        self.withdrawn
            .extend(withdrawn.iter().map(|(kid, at)| (kid.clone(), *at)));
        self.confirmed = Some(position);
        let shared = &self.context.shared;
        let (before, own) = (shared.view.load(), shared.own_clock.now());
        let time = head.issued_at.saturating_mul(1000);
        let turns_back = before.complete_at.is_some_and(|at| at.is_undone_by(time, own));
        self.signed_at = if turns_back {
            head.issued_at
        } else {
            self.signed_at.max(head.issued_at)
        };
        let known = Arc::clone(known);
        if !self.may_publish(&known) {
            return Ok(());
        }
        self.distrusts = false;

        // Status lists are read until a head says as much as they do: `known` may lack what they have.
        let is_older = before.complete_at.is_some_and(|at| at.time > time) && !turns_back;
        if before.lists.is_some() && is_older {
            self.publish();
            return Ok(());
        }
        let disbelieved = if turns_back {
            known.authority_time()
        } else {
            before.disbelieved
        };
        let mut view = View {
            known: Some(known),
            lists: None,
            complete_at: None,
            source: self.source,
            disbelieved,
        };
        let is_of_epoch = |before: &View| {
            let known = before.known.as_ref().map(|known| known.position().epoch);
            known == Some(position.epoch)
        };
        // A repeated head makes nothing fresher.
        let newest = before
            .complete_at
            .filter(|at| before.lists.is_none() && is_of_epoch(&before) && at.time >= time && !turns_back);
        let now = if turns_back {
            own
        } else {
            view.now().max(before.now())
        };
        view.complete_at = Some(newest.unwrap_or_else(|| TrueAt::received(time, now)));
        shared.view.store(Arc::new(view));
        self.trouble.ended(self.context);
        self.context.changed();
        let between =
            (self.context.shared.max_staleness / 4).clamp(Duration::from_secs(5), Duration::from_secs(60));
        self.head = Some(text);
        self.save_within(between);
        Ok(())
    }

    /// Lets the verifier read what is known, if it is not behind what it reads now. Another epoch waits for its head.
    fn publish(&mut self) {
        let Some(known) = &self.known else { return };
        let shared = &self.context.shared;
        let before = shared.view.load();
        let epoch = known.position().epoch;
        let is_other_epoch = |before: &Arc<Known>| before.position().epoch != epoch;
        let is_read = |before: &Arc<Known>| Arc::ptr_eq(before, known);
        let of_before = before.known.as_ref();
        if of_before.is_some_and(|before| is_read(before) || is_other_epoch(before))
            || !self.may_publish(known)
        {
            return;
        }
        let view = View {
            known: Some(Arc::clone(known)),
            lists: before.lists.clone(),
            complete_at: before.complete_at,
            source: before.source,
            disbelieved: before.disbelieved,
        };
        shared.view.store(Arc::new(view));
        self.distrusts = false;
    }

    fn may_publish(&self, known: &Known) -> bool {
        let position = known.position();
        let read = self.context.shared.view.load();
        let read = read.known.as_ref().map(|known| known.position());
        let floor = if self.distrusts { self.confirmed } else { read };
        floor.is_none_or(|floor| floor.epoch != position.epoch || floor.sequence <= position.sequence)
    }

    /// Returns whether a position has another history than the highest one that was signed.
    fn contradicts(&self, position: Position) -> bool {
        self.confirmed.is_some_and(|confirmed| {
            confirmed.epoch == position.epoch
                && confirmed.sequence == position.sequence
                && confirmed.hash != position.hash
        })
    }

    fn is_withdrawn(&self, kid: &KeyId) -> bool {
        let now = self.context.shared.view.load().now();
        self.withdrawn.get(kid.as_str()).is_some_and(|at| *at <= now)
    }

    fn position(&self) -> Result<Position, Broken> {
        let known = self.known.as_ref().map(|known| known.position());
        known.ok_or(Broken::StartAgain("nothing is known"))
    }

    /// Has the key set fetched again if a statement is signed by an unknown key.
    fn checked<T>(&self, judged: Result<T, Broken>) -> Result<T, Broken> {
        if let Err(Broken::Refused(Rejection::UnknownKey)) = &judged {
            self.context.shared.want_keys();
        }
        judged
    }

    /// Has an old key set fetched again: without the feed, only the key set tells that a key was withdrawn.
    fn renew_keys(&self) {
        let shared = &self.context.shared;
        let (keys, now) = (shared.keys.load(), shared.view.load().now());
        let is_old = |keys: &Arc<Keys>| keys.confirmed.age(now) > shared.max_staleness / 2;
        if keys.as_ref().is_some_and(is_old) {
            shared.want_keys();
        }
    }

    async fn check_token(&mut self) {
        if self.token_checked.elapsed() > TOKEN_CHECKED {
            self.token_checked = Instant::now();
            if let Err(error) = self.context.token().await {
                tracing::warn!(error = one_line(&error), "the next connection will fail");
            }
        }
    }

    /// Has the snapshot file written so long after it was written last.
    fn save_within(&mut self, between: Duration) {
        let now = Instant::now();
        let due = self.saved.map_or(now, |saved| now.max(saved + between));
        self.save_due = Some(self.save_due.map_or(due, |before| before.min(due)));
        if due <= now {
            self.save();
        }
    }

    /// Writes the snapshot file with what is known, if there is something new. Its head may be before the last items,
    /// which nobody has signed yet: a revocation that was known must not be forgotten.
    fn save(&mut self) {
        let keys = self.context.shared.keys.load_full();
        let (Some(record), Some(head), Some(path), Some(keys)) = (
            &self.record,
            &self.head,
            &self.context.settings.snapshot_file,
            keys,
        ) else {
            self.save_due = None;
            return;
        };
        if self.save_due.is_none() {
            return;
        }
        if self.saving.as_ref().is_some_and(|saving| !saving.is_finished()) {
            self.save_due = Some(Instant::now() + SAVE_SOON);
            return;
        }
        let (record, head, path) = (record.clone(), head.clone(), path.clone());
        self.save_due = None;
        self.saved = Some(Instant::now());
        self.saving = Some(spawn_blocking(move || {
            if let Err(error) = file::save(&path, &record, &keys, &head) {
                tracing::warn!(path = %path.display(), %error, "the snapshot file cannot be written");
            }
        }));
    }

    /// Reads all status lists once, and returns how long to wait.
    async fn read_lists(&mut self, endpoints: &Endpoints, trouble: &mut Trouble) -> Duration {
        self.renew_keys();
        let known = self.confirmed.map(|position| (position, self.signed_at));
        let read = lists::read(self.context, endpoints, known, &self.withdrawn, &mut self.held);
        let mut read = match read.await {
            Ok(read) => read,
            Err(error) => {
                trouble.failed(self.context, &error);
                self.show(Source::None);
                return trouble.delay();
            }
        };
        match read.failure {
            Some(error) => {
                trouble.failed(self.context, &error);
                read.wait = trouble.delay();
            }
            None => trouble.ended(self.context),
        }
        if self.context.settings.status_lists_only {
            self.confirmed = Some(read.known.position());
            self.signed_at = self.signed_at.max(read.issued_at);
        }
        let shared = &self.context.shared;
        let (before, own) = (shared.view.load(), shared.own_clock.now());
        let time = read.issued_at.saturating_mul(1000);
        let turns_back = before.complete_at.is_some_and(|at| at.is_undone_by(time, own));
        // The feed that ended a moment ago told more than the lists do. No list is older than it was a round ago.
        if turns_back || before.lists.is_some() || before.complete_at.is_none_or(|at| at.time < time) {
            let now = if turns_back { own } else { before.now() };
            let told = before.known.as_ref().map_or(0, |known| known.authority_time());
            shared.view.store(Arc::new(View {
                known: before.known.clone(),
                lists: Some(Arc::new(read.known)),
                complete_at: Some(TrueAt::received(time, now)),
                source: Source::StatusLists,
                disbelieved: if turns_back { told } else { before.disbelieved },
            }));
            self.context.changed();
        }
        read.wait
    }
}

fn utf8(bytes: &Bytes) -> Result<String, Broken> {
    let text = str::from_utf8(bytes).map_err(|error| Broken::Unreadable(error.to_string()))?;
    Ok(text.to_owned())
}

fn gunzip(bytes: &Bytes) -> Result<String, Broken> {
    let limit = SnapshotClaims::MAX_BYTES as u64 + 1;
    let mut text = String::new();
    let read = GzDecoder::new(&**bytes).take(limit).read_to_string(&mut text);
    read.map_err(|error| Broken::Unreadable(error.to_string()))?;
    Ok(text)
}
