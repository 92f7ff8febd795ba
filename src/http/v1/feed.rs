//! The revocation feed: `/revocations`, `/revocations/head`, `/revocations/snapshot` and `/revocations/stream`.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use jeton_verifier::event::{Entry, Position};
use jeton_verifier::feed::{Cursor, Head, Item, Page};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::authority::{Active, Error, Inactive};
use crate::http::cacheable::respond_signed;
use crate::http::caller::{Caller, RevocationsRead};
use crate::http::event_stream::{self, HEARTBEAT};
use crate::http::input::{Form, Input};
use crate::http::routes::routes;
use crate::http::streams::Permit;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure};
use crate::revocation::Told;

/// The time until a heartbeat is tried again that could not be sent.
const SOON: Duration = Duration::from_millis(100);

/// The most events in one write to a client. A client that reads slowly holds no more than that.
const AT_ONCE: u32 = 64;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(head))
        .routes(routes!(snapshot))
        .routes(routes!(stream))
        .routes(routes!(show))
}

/// The part of the feed to return.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct FeedForm {
    /// `next_cursor` of the previous page, or the `cursor` of an event. Default: the beginning of the feed, which is no
    /// longer kept (410) after `retention` or a restore.
    after: Option<Cursor>,
    /// The maximum number of events.
    #[form(default = 500, range(min = 1, max = 1000))]
    limit: i64,
}

/// Read the revocation feed
///
/// Returns the events after a cursor: every revocation of a token or of many, once, in the order in which they were
/// recorded. Each event contains a hash of itself and all before it. A page with `limit` events has no `head` and never changes. Requires the scope
/// `revocations:read`, which only tokens of the deployment have; site administrators may read it with a session.
#[utoipa::path(get, path = "/api/v1/revocations", tag = "verification", operation_id = "list_revocations",
    params(FeedForm),
    responses((status = OK, description = "The events", body = Page),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!("deployment_token_needed:revocations:read")),
              (status = GONE, description = "The events after the cursor are no longer kept", body = Problem, example = json!("cursor_pruned")),
              (status = CONFLICT, description = "The cursor is no position of the feed", body = Problem, example = json!(["other_epoch", "cursor_ahead"]))))]
pub(super) async fn list(
    caller: Caller<RevocationsRead>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), FeedForm>,
) -> Result<impl IntoResponse, Failure> {
    let authority = &app.authority;
    authority.may_follow(&caller)?;
    let after = match query.after {
        Some(Cursor(after)) => after,
        None => Position::beginning(authority.feed_position()?.epoch),
    };
    let limit = u32::try_from(query.limit).unwrap_or(1);
    let events = authority.events_after(after, limit).await?;
    let last = Cursor(events.last().map_or(after, |told| told.entry.position()));
    let is_full = events.len() == query.limit.unsigned_abs() as usize;
    // Not of a page after which an event was added meanwhile.
    let head = match is_full {
        true => None,
        false => Some(authority.feed_head()?).filter(|head| head.cursor == last),
    };
    let page = Page {
        items: events.iter().map(|told| Item::from(&*told.entry)).collect(),
        next_cursor: last,
        head: head.map(|head| head.head.clone()),
    };
    let caching = is_full.then_some([
        (header::CACHE_CONTROL, "private, max-age=86400, immutable"),
        (header::VARY, "authorization"),
    ]);
    Ok((AppendHeaders(caching.into_iter().flatten()), Json(page)))
}

/// Get the head of the revocation feed
///
/// Returns the cursor of the last event, and a signed statement that it was the last one at `iat`. Who knows this
/// cursor and the statement knows all revocations up to then.
#[utoipa::path(get, path = "/api/v1/revocations/head", tag = "verification", operation_id = "revocation_head",
    responses((status = OK, description = "The head", body = Head),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!("deployment_token_needed:revocations:read"))))]
async fn head(
    caller: Caller<RevocationsRead>,
    State(app): State<Arc<App>>,
    _: Input,
) -> Result<impl IntoResponse, Failure> {
    app.authority.may_follow(&caller)?;
    Ok(Json(Head::clone(&*app.authority.feed_head()?)))
}

/// Get all revocations in force
///
/// Returns a signed statement of every revocation in force: what a follower needs to start. It contains the position in
/// the feed up to which it is complete (`epoch`, `sequence`, `hash`); continue with the events after it. `iss` and `aud`
/// are the URL of the feed. `status_lists` has the revoked tokens of each list: `id`, `lst` as in a status list (base64url
/// of a zlib stream of bits; index 0 is the least significant bit of the first byte), and, if there are any, `scheduled`,
/// pairs of an index and the instant in milliseconds since the Unix epoch from which that token is revoked. `cut_offs`
/// has `organization`, `team`, `user`, `project`, `kid`, `token_kind`, `issued_through` and `effective_at` as in events.
#[utoipa::path(get, path = "/api/v1/revocations/snapshot", tag = "verification", operation_id = "revocation_snapshot",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the copy that you have"),
           ("Accept-Encoding" = Option<String>, Header, description = "With `gzip`, the response is at least 30% smaller")),
    responses((status = OK, description = "The snapshot", content_type = "application/revocation-snapshot+jwt", body = String,
                  headers(("ETag" = String, description = "The version of the snapshot"),
                          ("Cache-Control" = String, description = "Whether the response may be cached"),
                          ("Vary" = String, description = "`accept-encoding`"))),
              (status = NOT_MODIFIED, description = "Your copy is current"),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!("deployment_token_needed:revocations:read"))))]
async fn snapshot(
    caller: Caller<RevocationsRead>,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    app.authority.may_follow(&caller)?;
    let snapshot = app.authority.feed_snapshot().await?;
    let caching = "private, no-cache".to_owned();
    let content_type = "application/revocation-snapshot+jwt";
    Ok(respond_signed(content_type, &snapshot.text, caching, &headers).await)
}

/// An event of the feed.
#[derive(Debug, Form)]
#[form(path)]
pub(crate) struct EventPath {
    /// The cursor of the event.
    #[form(example = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    cursor: String,
}

/// An event, and why it was recorded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExplainedRevocation)]
struct Explained {
    /// The event.
    event: Item,
    /// Who revoked.
    #[schema(example = "admin@example.com")]
    revoked_by: String,
    /// The reason given.
    #[schema(required = true)]
    reason: Option<String>,
}

/// Get an event of the revocation feed
///
/// Returns an event with its author and reason, which followers of the feed do not see. Requires the session of a site
/// administrator.
#[utoipa::path(get, path = "/api/v1/revocations/{cursor}", tag = "verification", operation_id = "get_revocation",
    params(EventPath),
    responses((status = OK, description = "The event", body = Explained),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!(["forbidden", "session_needed"])),
              (status = NOT_FOUND, description = "No such event, or it is no longer kept", body = Problem)))]
async fn show(
    caller: Caller<RevocationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<EventPath>,
) -> Result<Json<Explained>, Failure> {
    let position = path.cursor.parse().map(|Cursor(position)| position).ok();
    let explained = app.authority.feed_event(&caller, position).await?;
    Ok(Json(Explained {
        event: Item::from(&explained.entry),
        revoked_by: explained.revoked_by,
        reason: explained.reason,
    }))
}

/// Where a stream begins.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct StreamForm {
    /// The cursor after which to begin. Default: now.
    after: Option<Cursor>,
}

/// Where a stream continues.
#[derive(Debug, Form)]
#[form(header)]
pub(crate) struct StreamHeaders {
    /// The last `id` that was received; counts more than `after`.
    last_event_id: Option<Cursor>,
}

/// An event of the stream: its fields as server-sent events write them.
#[derive(ToSchema)]
#[schema(as = StreamedRevocation)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
struct StreamedEvent {
    /// `head`: a heartbeat. Absent: a revocation.
    event: Option<String>,
    /// The position of the stream after this event, a cursor.
    #[schema(min_length = 75, max_length = 75)]
    id: String,
    /// In JSON: a `RevocationEvent`, or a `RevocationHead` in a heartbeat.
    data: String,
}

/// Follow the revocation feed
///
/// Sends every event as soon as it is recorded, as server-sent events: `data` is the event in JSON as in
/// `GET /api/v1/revocations`, and `id` is its cursor. Every five seconds, and at the beginning, an event named `head`
/// contains the signed head as in `GET /api/v1/revocations/head`; revocations have no event name. `retry` is how long to
/// wait before the next connection. To resume, send the last `id` as `Last-Event-ID`. The stream ends when the token
/// ends or the server stops. After 409 or 410 an `EventSource` of a browser does not connect again: start from a
/// snapshot.
#[utoipa::path(get, path = "/api/v1/revocations/stream", tag = "verification", operation_id = "stream_revocations",
    params(StreamForm, StreamHeaders),
    responses((status = OK, description = "The events, without end", content_type = "text/event-stream", body = StreamedEvent),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!("deployment_token_needed:revocations:read")),
              (status = GONE, description = "The events after the cursor are no longer kept", body = Problem, example = json!("cursor_pruned")),
              (status = CONFLICT, description = "The cursor is no position of the feed", body = Problem, example = json!(["other_epoch", "cursor_ahead"]))))]
async fn stream(
    caller: Caller<RevocationsRead>,
    State(app): State<Arc<App>>,
    Input { query, headers, .. }: Input<(), StreamForm, (), StreamHeaders>,
) -> Result<Response, Failure> {
    let authority = &app.authority;
    authority.may_follow(&caller)?;
    let news = authority.feed_news();
    let position = match headers.last_event_id.or(query.after) {
        Some(Cursor(position)) => position,
        None => authority.feed_position()?,
    };
    // Errors are answered now, as long as there is a status to answer them with.
    authority.events_after(position, 1).await?;
    let permit = app.streams.permit().ok_or(Error::Busy)?;
    let follower = Follower {
        active: caller.active().clone(),
        position,
        news,
        next_beat: Instant::now(),
        ends_at: caller
            .expires_in()
            .map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        through: None,
        begun: Instant::now(),
        permit,
        app: Arc::clone(&app),
    };
    Ok(event_stream::respond(&app.authority, follower))
}

/// A client that follows the feed.
struct Follower {
    app: Arc<App>,
    active: Active,
    /// The last event that was sent.
    position: Position,
    news: watch::Receiver<Position>,
    next_beat: Instant,
    /// When the client's token expires.
    ends_at: Option<Instant>,
    /// The last event for the client, once its token was revoked.
    through: Option<Position>,
    /// When the stream began.
    begun: Instant,
    permit: Permit,
}

impl event_stream::Follower for Follower {
    async fn text(&mut self) -> Option<Bytes> {
        loop {
            let authority = &self.app.authority;
            self.news.mark_unchanged();
            match (self.through, authority.still_follows(&self.active).await) {
                (None, Err(Error::BadCredential(Inactive::Revoked))) => {
                    // The event that ended the token is sent still: it may have ended many others.
                    self.through = Some(authority.feed_position().ok()?);
                }
                (None, Err(_)) => return None,
                _ => {}
            }
            if self.next_beat <= Instant::now() && self.through.is_none() {
                match authority.feed_head() {
                    Ok(head) if head.cursor.0.sequence >= self.position.sequence => {
                        self.next_beat = Instant::now() + HEARTBEAT;
                        return Some(text_of_head(&head, self.position));
                    }
                    // The index has not applied an event that another process has added, or is not complete.
                    Ok(_) | Err(Error::Busy) => self.next_beat = Instant::now() + SOON,
                    Err(_) => return None,
                }
            }
            if self
                .through
                .is_some_and(|through| through.sequence <= self.position.sequence)
            {
                return None;
            }
            let events = authority.events_after(self.position, AT_ONCE).await.ok()?;
            if let Some(last) = events.last() {
                self.position = last.entry.position();
                let first = events.first().and_then(|first| first.since);
                // Not what the client has missed before.
                if let Some(since) = first.filter(|since| *since >= self.begun.into_std()) {
                    self.permit.delivered(since);
                }
                return Some(text_of(&events));
            }
            if self.through.is_some() {
                return None;
            }
            // Once: a clock that was set back may call the token active for longer, and heartbeats check it too.
            self.ends_at.take_if(|ends_at| *ends_at <= Instant::now());
            let wakes_at = self
                .ends_at
                .map_or(self.next_beat, |ends_at| ends_at.min(self.next_beat));
            tokio::select! {
                biased;
                () = self.permit.stopping.wait() => return None,
                changed = self.news.changed() => changed.ok()?,
                () = sleep_until(wakes_at) => {}
            }
        }
    }

    fn end(&mut self) {
        self.permit.end();
    }
}

/// Returns the text of a heartbeat. Its `id` is the position of the stream, after which the client resumes.
fn text_of_head(head: &Head, position: Position) -> Bytes {
    let data = serde_json::to_string(head).unwrap_or_default();
    format!("event: head\nid: {}\ndata: {data}\n\n", Cursor(position)).into()
}

/// Returns the text of events.
fn text_of(events: &[Arc<Told>]) -> Bytes {
    let mut texts = events.iter().map(|told| told.text(event_text));
    match (events.len(), texts.next()) {
        (1, Some(only)) => only,
        (_, first) => {
            let mut all = first.map_or_else(Vec::new, |first| first.to_vec());
            texts.for_each(|text| all.extend_from_slice(&text));
            all.into()
        }
    }
}

fn event_text(entry: &Entry) -> Bytes {
    let data = serde_json::to_string(&Item::from(entry)).unwrap_or_default();
    format!("id: {}\ndata: {data}\n\n", Cursor(entry.position())).into()
}
