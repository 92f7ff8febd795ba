//! An authority in memory, with faults that a test chooses.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use jeton_verifier::event::{CutOff, Ends, Entry, Event, Position, RevokedToken};
use jeton_verifier::feed::{
    Cursor, CutOffSnapshot, Head, HeadClaims, Item, ListSnapshot, Page, SnapshotClaims, feed_url,
};
use jeton_verifier::{
    Algorithm, Claims, CompressedList, FeedPosition, Header, NEVER, PublicKey, STATUS_LIST_CAPACITY,
    Statement, StatusList, StatusListClaims, StatusReference, TokenType, assemble, signing_input,
    statement_signing_input,
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

use crate::AUDIENCE;

/// The time between two heads of the stream.
const HEARTBEAT: Duration = Duration::from_millis(100);

/// What goes wrong with the requests for a path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// The answer comes after half a minute.
    Slow,
    /// The answer is this text.
    Text(String),
    /// The answer is this status with this code.
    Refuse(u16, &'static str),
}

/// A key that signs.
pub(crate) struct Key {
    pair: EcdsaKeyPair,
    pub(crate) public: PublicKey,
    pub(crate) jwk: Value,
}

impl Key {
    pub(crate) fn new() -> Arc<Self> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let jwk = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y});
        let public = PublicKey::from_json(&jwk.to_string()).unwrap();
        Arc::new(Self { pair, public, jwk })
    }

    fn header(&self, token_type: TokenType) -> String {
        let header = Header {
            algorithm: Algorithm::Es256,
            kid: self.public.kid().clone(),
            token_type,
        };
        header.encode()
    }

    fn signed(&self, input: String) -> String {
        let signature = self.pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        assemble(input, signature.as_ref())
    }

    pub(crate) fn token(&self, token_type: TokenType, claims: &Claims) -> String {
        self.signed(signing_input(&self.header(token_type), claims).unwrap())
    }

    pub(crate) fn statement<S: Statement>(&self, claims: &S) -> String {
        self.signed(statement_signing_input(&self.header(S::TYPE), claims).unwrap())
    }
}

/// What a test may change.
pub(crate) struct Data {
    /// The signing key.
    pub(crate) key: Arc<Key>,
    /// The published keys.
    pub(crate) keys: Vec<Arc<Key>>,
    pub(crate) jwks_max_age: u64,
    /// The second status list, if there is one.
    pub(crate) second_list: Option<String>,
    /// The `ttl` of status lists, in seconds.
    pub(crate) ttl: u32,
    pub(crate) epoch: Uuid,
    pub(crate) entries: Vec<Entry>,
    /// Events up to this one are no longer in the feed.
    pub(crate) pruned: u64,
    /// The snapshot contains the events up to this one.
    pub(crate) snapshot_at: Option<u64>,
    /// A snapshot that is sent instead.
    pub(crate) snapshot: Option<String>,
    /// A head that is sent instead.
    pub(crate) head: Option<String>,
    /// How much older the heads and lists are than they should be, in seconds.
    pub(crate) delay: i64,
    /// Items that are sent instead of those of the feed.
    pub(crate) items: Option<Vec<Item>>,
    /// The tokens that may read the feed.
    pub(crate) readers: Vec<String>,
    pub(crate) faults: HashMap<&'static str, Fault>,
    /// The number of requests by path.
    pub(crate) hits: HashMap<String, usize>,
    /// The requests of `/api/v1/usage`.
    pub(crate) usage: Vec<Value>,
    next_index: u32,
    issuer: String,
}

/// A running authority, which stops when it is dropped.
pub(crate) struct Authority {
    pub(crate) address: SocketAddr,
    data: Arc<Mutex<Data>>,
    changed: watch::Sender<()>,
    server: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Clone)]
struct App {
    data: Arc<Mutex<Data>>,
    changed: watch::Sender<()>,
}

/// Returns the authority's time: it passes as that of tokio does, which tests advance, and this machine's does not.
pub(crate) fn now_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "an authority of its own")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let passed = std::time::Instant::now();
    let advanced = tokio::time::Instant::now().into_std().duration_since(passed);
    (since + advanced).as_millis() as i64
}

impl Drop for Authority {
    fn drop(&mut self) {
        if let Some(server) = self.server.lock().unwrap().take() {
            server.abort();
        }
    }
}

impl Authority {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let key = Key::new();
        let data = Data {
            keys: vec![Arc::clone(&key)],
            key,
            jwks_max_age: 300,
            second_list: None,
            ttl: 60,
            epoch: Uuid::from_u128(1),
            entries: Vec::new(),
            pruned: 0,
            snapshot_at: None,
            snapshot: None,
            head: None,
            delay: 0,
            items: None,
            readers: vec!["reader".to_owned()],
            faults: HashMap::new(),
            hits: HashMap::new(),
            usage: Vec::new(),
            next_index: 0,
            issuer: format!("http://{address}"),
        };
        let authority = Self {
            address,
            data: Arc::new(Mutex::new(data)),
            changed: watch::Sender::new(()),
            server: Mutex::new(None),
        };
        authority.serve(listener);
        authority
    }

    /// Ends all connections and accepts none.
    pub(crate) async fn stop(&self) {
        let server = self.server.lock().unwrap().take();
        if let Some(server) = server {
            server.abort();
            let _ = server.await;
        }
    }

    /// Listens again at the same address.
    pub(crate) async fn start_again(&self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        self.serve(socket.listen(64).unwrap());
    }

    fn serve(&self, listener: TcpListener) {
        let app = App {
            data: Arc::clone(&self.data),
            changed: self.changed.clone(),
        };
        let router = Router::new()
            .route("/.well-known/oauth-authorization-server", get(metadata))
            .route("/.well-known/jwks.json", get(jwks))
            .route("/api/v1/revocations", get(page))
            .route("/api/v1/revocations/stream", get(stream))
            .route("/api/v1/revocations/snapshot", get(snapshot))
            .route("/api/v1/usage", post(usage))
            .route("/status-lists", get(lists))
            .route("/status-lists/{list}", get(list))
            .layer(from_fn_with_state(app.clone(), faults))
            .with_state(app);
        let server = tokio::spawn(async move {
            // Dropped with the task, and all connections with it.
            let mut connections = JoinSet::new();
            loop {
                let (peer, _) = listener.accept().await.unwrap();
                let service = TowerToHyperService::new(router.clone());
                let served = hyper::server::conn::http1::Builder::new();
                connections.spawn(served.serve_connection(TokioIo::new(peer), service));
            }
        });
        *self.server.lock().unwrap() = Some(server);
    }

    pub(crate) fn issuer(&self) -> String {
        self.data().issuer.clone()
    }

    /// Returns the token that may read the feed.
    pub(crate) fn own_token(&self) -> String {
        self.data().readers[0].clone()
    }

    /// Returns what a test may change. Streams see it after [`Authority::notify`], or at the next heartbeat.
    pub(crate) fn data(&self) -> MutexGuard<'_, Data> {
        self.data.lock().unwrap()
    }

    pub(crate) fn fault(&self, path: &'static str, fault: Fault) {
        self.data().faults.insert(path, fault);
    }

    pub(crate) fn mend(&self) {
        self.data().faults.clear();
    }

    pub(crate) fn hits(&self, path: &str) -> usize {
        self.data().hits.get(path).copied().unwrap_or_default()
    }

    pub(crate) fn notify(&self) {
        self.changed.send_replace(());
    }

    /// Returns the claims of a new token.
    pub(crate) fn claims(&self) -> Claims {
        let mut data = self.data();
        data.next_index += 1;
        let now = now_ms() / 1000;
        Claims {
            issuer: data.issuer.clone(),
            subject: "user-1".to_owned(),
            audience: vec![AUDIENCE.to_owned()],
            client_id: "user-1".to_owned(),
            issued_at: now,
            expires_at: now + 3600,
            jti: Uuid::from_u128(data.next_index.into()),
            scope: Some(vec!["projects:read".to_owned()]),
            organization: Some(Uuid::from_u128(7)),
            team: Some("team-1".to_owned()),
            projects: Some(vec![1, 2]),
            status: StatusReference {
                index: data.next_index,
                uri: format!("{}/status-lists/1", data.issuer),
            },
        }
    }

    /// Returns a new token.
    pub(crate) fn token(&self) -> String {
        let claims = self.claims();
        self.sign(&claims)
    }

    pub(crate) fn sign(&self, claims: &Claims) -> String {
        self.data().key.token(TokenType::Access, claims)
    }

    /// Revokes a token now.
    pub(crate) fn revoke(&self, token: &str) -> Cursor {
        let claims = Claims::unverified(token).unwrap();
        let number = claims.status.uri.rsplit_once('/').unwrap().1;
        self.end(Ends::Token(RevokedToken {
            jti: claims.jti,
            id: 1,
            status_list: number.parse().unwrap(),
            index: claims.status.index,
            expires_at: None,
        }))
    }

    /// Revokes all tokens of a key.
    pub(crate) fn cut_off_key(&self, key: &Key) -> Cursor {
        self.end(Ends::CutOff(CutOff {
            organization: None,
            team: None,
            user: None,
            project: None,
            kid: Some(key.public.kid().to_string()),
            kind: None,
            issued_through: NEVER,
        }))
    }

    /// Adds an event to the feed.
    pub(crate) fn end(&self, ends: Ends) -> Cursor {
        let mut data = self.data();
        let now = now_ms();
        let event = Event {
            epoch: data.epoch,
            sequence: data.entries.len() as u64 + 1,
            recorded_at: now,
            effective_at: now,
            ends,
        };
        let entry = Entry::after(&data.position(data.entries.len() as u64).hash, event);
        let cursor = Cursor(entry.position());
        data.entries.push(entry);
        drop(data);
        self.notify();
        cursor
    }
}

impl Data {
    pub(crate) fn position(&self, sequence: u64) -> Position {
        match sequence {
            0 => Position::beginning(self.epoch),
            _ => self.entries[sequence as usize - 1].position(),
        }
    }

    pub(crate) fn last(&self) -> Position {
        self.position(self.entries.len() as u64)
    }

    pub(crate) fn sign_head(&self, position: Position) -> String {
        let feed = feed_url(&self.issuer);
        self.key.statement(&HeadClaims {
            issuer: feed.clone(),
            audience: feed,
            issued_at: now_ms() / 1000 - self.delay,
            position,
        })
    }

    pub(crate) fn sign_list(&self, number: u32) -> String {
        let now = now_ms() / 1000 - self.delay;
        self.key.statement(&StatusListClaims {
            issuer: None,
            audience: None,
            uri: format!("{}/status-lists/{number}", self.issuer),
            issued_at: now,
            expires_at: now + 600,
            ttl: self.ttl,
            feed: FeedPosition {
                epoch: self.epoch,
                sequence: self.entries.len() as u64,
            },
            list: compressed(&self.bits()),
        })
    }

    /// Returns the signed head of the last event.
    pub(crate) fn sign_last(&self) -> String {
        self.sign_head(self.last())
    }

    /// Gives the authority another issuer, which says nothing about its address.
    pub(crate) fn rename(&mut self, issuer: &str) {
        issuer.clone_into(&mut self.issuer);
    }

    fn head(&self) -> Head {
        Head {
            cursor: Cursor(self.last()),
            head: self.head.clone().unwrap_or_else(|| self.sign_last()),
        }
    }

    fn items_after(&self, sequence: u64) -> Vec<Item> {
        if let Some(items) = &self.items {
            return items.clone();
        }
        let after = self.entries.iter().skip(sequence as usize);
        after.map(Item::from).collect()
    }

    fn bits(&self) -> StatusList {
        let bits = StatusList::new(STATUS_LIST_CAPACITY);
        for entry in &self.entries {
            if let Ends::Token(token) = &entry.event.ends {
                bits.set(token.index).unwrap();
            }
        }
        bits
    }

    pub(crate) fn sign_snapshot(&self, at: u64) -> String {
        let cut_offs = self
            .entries
            .iter()
            .take(at as usize)
            .filter_map(|entry| match &entry.event.ends {
                Ends::CutOff(tokens) => Some(CutOffSnapshot {
                    effective_at: entry.event.effective_at,
                    tokens: tokens.clone(),
                }),
                Ends::Token(_) => None,
            });
        let bits = StatusList::new(STATUS_LIST_CAPACITY);
        for entry in self.entries.iter().take(at as usize) {
            if let Ends::Token(token) = &entry.event.ends {
                bits.set(token.index).unwrap();
            }
        }
        let feed = feed_url(&self.issuer);
        self.key.statement(&SnapshotClaims {
            issuer: feed.clone(),
            audience: feed,
            issued_at: now_ms() / 1000 - self.delay,
            taken_at: now_ms() - self.delay * 1000,
            position: self.position(at),
            status_lists: vec![ListSnapshot {
                id: 1,
                list: compressed(&bits),
                scheduled: Vec::new(),
            }],
            cut_offs: cut_offs.collect(),
        })
    }

    /// Returns why a cursor is refused.
    fn refuse(&self, cursor: Cursor) -> Option<Response> {
        let Cursor(position) = cursor;
        if position.epoch != self.epoch {
            return Some(problem(409, "other_epoch"));
        }
        if position.sequence > self.entries.len() as u64 || self.position(position.sequence) != position {
            return Some(problem(409, "cursor_ahead"));
        }
        (position.sequence < self.pruned).then(|| problem(410, "cursor_pruned"))
    }
}

fn compressed(bits: &StatusList) -> CompressedList {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bits.to_bytes()).unwrap();
    CompressedList(encoder.finish().unwrap())
}

fn problem(status: u16, code: &str) -> Response {
    let json = json!({"detail": "a fault", "code": code}).to_string();
    (StatusCode::from_u16(status).unwrap(), json).into_response()
}

async fn faults(State(app): State<App>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let fault = {
        let mut data = app.data.lock().unwrap();
        *data.hits.entry(path.clone()).or_default() += 1;
        let of_feed = path.starts_with("/api/");
        let bearer = request.headers().get(header::AUTHORIZATION);
        let bearer = bearer.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if of_feed && !bearer.is_some_and(|token| data.readers.iter().any(|reader| reader == token)) {
            return problem(401, "invalid_token");
        }
        assert!(of_feed || bearer.is_none(), "the token was sent to {path}");
        data.faults
            .get(path.as_str())
            .or_else(|| data.faults.get("*"))
            .cloned()
    };
    match fault {
        None => next.run(request).await,
        Some(Fault::Slow) => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            next.run(request).await
        }
        Some(Fault::Text(text)) => text.into_response(),
        Some(Fault::Refuse(status, code)) => problem(status, code),
    }
}

async fn metadata(State(app): State<App>) -> String {
    let issuer = &app.data.lock().unwrap().issuer;
    let metadata = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "revocation_feed_uri": format!("{issuer}/api/v1/revocations"),
        "revocation_stream_uri": format!("{issuer}/api/v1/revocations/stream"),
        "revocation_snapshot_uri": format!("{issuer}/api/v1/revocations/snapshot"),
        "status_list_aggregation_endpoint": format!("{issuer}/status-lists"),
    });
    metadata.to_string()
}

async fn jwks(State(app): State<App>) -> Response {
    let data = app.data.lock().unwrap();
    let keys: Vec<&Value> = data.keys.iter().map(|key| &key.jwk).collect();
    let cached = format!("public, max-age={}", data.jwks_max_age);
    (
        [(header::CACHE_CONTROL, cached)],
        json!({"keys": keys}).to_string(),
    )
        .into_response()
}

#[derive(serde::Deserialize)]
struct After {
    after: Cursor,
    limit: usize,
}

async fn page(State(app): State<App>, Query(After { after, limit }): Query<After>) -> Response {
    let data = app.data.lock().unwrap();
    if let Some(refused) = data.refuse(after) {
        return refused;
    }
    let mut items = data.items_after(after.0.sequence);
    items.truncate(limit);
    let page = Page {
        next_cursor: items.last().map_or(after, |item| item.place().cursor),
        head: (items.len() < limit).then(|| data.head().head),
        items,
    };
    serde_json::to_string(&page).unwrap().into_response()
}

struct Chunks(mpsc::UnboundedReceiver<String>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk.into()))))
    }
}

async fn stream(State(app): State<App>, headers: HeaderMap) -> Response {
    let after = headers.get("last-event-id").unwrap().to_str().unwrap();
    let after: Cursor = after.parse().unwrap();
    if let Some(refused) = app.data.lock().unwrap().refuse(after) {
        return refused;
    }
    let (sender, chunks) = mpsc::unbounded_channel();
    let mut changed = app.changed.subscribe();
    tokio::spawn(async move {
        let mut sequence = after.0.sequence;
        let mut text = "retry: 100\n\n".to_owned();
        loop {
            {
                let data = app.data.lock().unwrap();
                for item in data.items_after(sequence) {
                    let json = serde_json::to_string(&item).unwrap();
                    text.push_str(&format!("id: {}\ndata: {json}\n\n", item.place().cursor));
                }
                sequence = data.entries.len() as u64;
                let head = data.head();
                let json = serde_json::to_string(&head).unwrap();
                text.push_str(&format!("event: head\nid: {}\ndata: {json}\n\n", head.cursor));
            }
            if sender.send(std::mem::take(&mut text)).is_err() {
                return;
            }
            let _ = tokio::time::timeout(HEARTBEAT, changed.changed()).await;
        }
    });
    (
        [(header::CONTENT_TYPE, "text/event-stream")],
        Body::new(Chunks(chunks)),
    )
        .into_response()
}

async fn snapshot(State(app): State<App>, headers: HeaderMap) -> Response {
    assert_eq!(headers.get(header::ACCEPT_ENCODING).unwrap(), "gzip");
    let data = app.data.lock().unwrap();
    let at = data.snapshot_at.unwrap_or(data.entries.len() as u64);
    let snapshot = data.snapshot.clone().unwrap_or_else(|| data.sign_snapshot(at));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(snapshot.as_bytes()).unwrap();
    ([(header::CONTENT_ENCODING, "gzip")], encoder.finish().unwrap()).into_response()
}

async fn usage(State(app): State<App>, body: String) -> String {
    app.data
        .lock()
        .unwrap()
        .usage
        .push(serde_json::from_str(&body).unwrap());
    r#"{"known":1,"unknown":0}"#.to_owned()
}

async fn lists(State(app): State<App>) -> String {
    let data = app.data.lock().unwrap();
    let numbers = if data.second_list.is_some() { 1..=2 } else { 1..=1 };
    let urls: Vec<_> = numbers
        .map(|number| format!("{}/status-lists/{number}", data.issuer))
        .collect();
    json!({"status_lists": urls}).to_string()
}

async fn list(State(app): State<App>, Path(number): Path<u32>) -> String {
    let data = app.data.lock().unwrap();
    match &data.second_list {
        Some(text) if number == 2 => text.clone(),
        _ => data.sign_list(number),
    }
}
