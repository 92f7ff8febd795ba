//! The audit: `/audit`, `/audit/stream` and `/audit/export`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jeton_store::{AuditEntry, AuditHead, AuditOrder, AuditPage, AuditSource, Surface};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::authority::{self, Active, AuditQuery, Error};
use crate::http::caller::{AuditRead, Caller};
use crate::http::domain_types;
use crate::http::event_stream::{self, HEARTBEAT};
use crate::http::input::{Form, Input};
use crate::http::routes::routes;
use crate::http::streamed;
use crate::http::streams::AuditPermit;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, OrganizationReference};
use jeton_core::token::TokenReference;

/// The most lines that are read at once for a stream or an export.
const AT_ONCE: u32 = 250;

/// The time until an overloaded store is asked again.
const SOON: Duration = Duration::from_millis(100);

/// JSON texts, one a line.
const JSON_LINES: &str = "application/x-ndjson";

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(stream))
        .routes(routes!(export))
}

/// Filters: a line must match all that are given.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct FilterForm {
    /// Only lines that concern this organization, by name or id. Default: your only organization; for site
    /// administrators all lines, also those that concern no organization.
    organization: Option<OrganizationReference>,
    /// Only lines of this actor: an exact name, such as an e-mail address or `token` and a number, or the id of a user.
    #[form(length(min = 1, max = 254))]
    actor: Option<String>,
    /// Only lines that concern this token, by number or `jti`.
    token: Option<TokenReference>,
    /// Only lines with exactly this action.
    #[form(length(min = 1, max = 64), example = "token.issue")]
    action: Option<String>,
    /// Only lines of this instant or later.
    after: Option<Timestamp>,
    /// Only lines before this instant.
    before: Option<Timestamp>,
    /// Only lines whose action, actor, target or reason contains this text, ignoring the case of ASCII letters.
    #[form(length(min = 1, max = 255))]
    q: Option<String>,
}

impl From<FilterForm> for AuditQuery {
    fn from(form: FilterForm) -> Self {
        Self {
            organization: form.organization,
            actor: form.actor,
            token: form.token,
            action: form.action,
            after: form.after,
            before: form.before,
            text: form.q,
        }
    }
}

/// Filters and page of the list.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct ListForm {
    #[form(flatten)]
    filter: FilterForm,
    /// The page size.
    #[form(default = 100, range(min = 1, max = 1000))]
    limit: i64,
    /// `next_cursor` of the previous page. Default: the first page.
    #[form(length(max = 20))]
    cursor: Option<String>,
    /// Whether the newest lines come first.
    #[form(default = true)]
    descending: bool,
}

/// A line of the audit. `actor` did `action` at `at`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditLine)]
struct LineInfo {
    /// The number of the line. Lines are numbered without a gap, for all organizations together.
    #[schema(example = 412)]
    sequence: u64,
    /// When it happened.
    #[schema(value_type = domain_types::Instant)]
    at: Timestamp,
    /// What happened.
    #[schema(example = "token.issue")]
    action: String,
    /// Who did it: an e-mail address, `token` and a number, or a name of the server's own work.
    #[schema(example = "admin@example.com")]
    actor: String,
    /// The user's id, if a user did it, or a token that acts for one.
    #[schema(required = true, example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    actor_user: Option<String>,
    /// The number of the token or session by which the actor was authenticated; `null` for a token that was created with
    /// a session.
    #[schema(required = true, example = "7")]
    actor_token: Option<String>,
    /// The person for whom a service says that it acted (`x-user-email`). Not verified.
    #[schema(required = true)]
    on_behalf_of: Option<String>,
    /// The id of the organization that it concerns.
    #[schema(required = true)]
    organization: Option<Uuid>,
    /// The number of the token that it concerns.
    #[schema(required = true, example = "2")]
    token: Option<String>,
    /// The id, number or address of what was changed.
    #[schema(required = true)]
    target: Option<String>,
    /// The former values, where they are small.
    #[schema(required = true, value_type = Option<Object>)]
    before: Option<Box<RawValue>>,
    /// The new values, where they are small.
    #[schema(required = true, value_type = Option<Object>)]
    after: Option<Box<RawValue>>,
    /// The reason that was given.
    #[schema(required = true)]
    reason: Option<String>,
    /// The interface: `native`, `oauth`, `cave`, `terraform`, `quantcdn`, `command` or `server`.
    #[schema(required = true, example = "native")]
    surface: Option<&'static str>,
    /// The client's address.
    #[schema(required = true, value_type = Option<String>, example = "192.0.2.1")]
    address: Option<IpAddr>,
    /// The id of the request (`X-Request-Id`).
    #[schema(required = true)]
    request_id: Option<String>,
    /// Whether the record behind the line is deleted, so that only the line is left.
    is_record_deleted: bool,
    /// The kind of the record: `token`, `event` of the revocation feed, or `action`.
    #[schema(example = "token")]
    source: &'static str,
    /// The number of the record among those of its kind.
    source_number: i64,
    /// The SHA-256 hash of the record, in base64.
    #[schema(example = "6b86LHK0eDsN5hqYxPtk4nZc8uMDPT9oN5rYVWsxvpo=")]
    content_hash: String,
    /// The SHA-256 hash of the line before and this line, in base64.
    #[schema(example = "1KmMIRTk0kMxJlDKA2bJHoPl2wTHRKGDNgkq6yWTXHE=")]
    hash: String,
}

impl From<AuditEntry> for LineInfo {
    fn from(AuditEntry { line, detail }: AuditEntry) -> Self {
        let is_record_deleted = detail.is_none();
        let detail = detail.unwrap_or_default();
        let record = line.record;
        let json = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        Self {
            sequence: line.sequence,
            at: record.at,
            action: record.action.into_owned(),
            actor: record.actor.name,
            actor_user: record.actor.user.map(|user| user.to_string()),
            actor_token: record.actor_token.map(|token| token.to_string()),
            on_behalf_of: detail.on_behalf_of,
            organization: record.organization.map(|organization| organization.0),
            token: record.token.map(|token| token.to_string()),
            target: detail.target,
            before: json(detail.before),
            after: json(detail.after),
            reason: detail.reason,
            surface: detail.surface.map(word),
            address: detail.address,
            request_id: detail.request_id,
            is_record_deleted,
            source: match record.source {
                AuditSource::Token => "token",
                AuditSource::Event => "event",
                AuditSource::Action => "action",
            },
            source_number: record.number,
            content_hash: STANDARD.encode(record.content),
            hash: STANDARD.encode(line.hash),
        }
    }
}

fn word(surface: Surface) -> &'static str {
    match surface {
        Surface::Native => "native",
        Surface::OAuth => "oauth",
        Surface::Cave => "cave",
        Surface::Terraform => "terraform",
        Surface::Quant => "quantcdn",
        Surface::Command => "command",
        Surface::Server => "server",
    }
}

/// A page of the audit.
#[derive(Debug, Serialize, ToSchema)]
struct AuditLines {
    /// The lines of this page.
    items: Vec<LineInfo>,
    /// The `cursor` of the next page; `null` on the last page.
    #[schema(required = true)]
    next_cursor: Option<String>,
    /// Whether there is a next page.
    has_next: bool,
}

/// List the audit
///
/// Lists who changed what, the newest first: tokens that were created and revoked, logins, and every change of
/// organizations, members, teams, projects, users and keys. Admins of an organization see the lines that concern it,
/// site administrators see all. A change is listed within a second. Lines that are added meanwhile change no page of an
/// order. `jeton audit verify` checks the hashes.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", operation_id = "list_audit",
    params(ListForm),
    responses((status = OK, description = "A page of the audit", body = AuditLines),
              (status = BAD_REQUEST, description = "The request is malformed, must name the organization, has a cursor of no page, or reads too many lines without a match", body = Problem, example = json!(["organization_needed", "bad_cursor", "too_costly"])),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!("forbidden")),
              (status = NOT_FOUND, description = "No such organization, or you may not see it", body = Problem)))]
async fn list(
    caller: Caller<AuditRead>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), ListForm>,
) -> Result<Json<AuditLines>, Failure> {
    let after = query.cursor.map(|text| text.parse()).transpose();
    let page = AuditPage {
        order: match query.descending {
            true => AuditOrder::NewestFirst,
            false => AuditOrder::OldestFirst,
        },
        after: after.map_err(|_| Error::BadCursor)?,
        skip: 0,
        limit: u32::try_from(query.limit).unwrap_or(1),
    };
    let listing = app.authority.audit(&caller, &query.filter.into(), page).await?;
    let last = listing.entries.last().filter(|_| listing.has_more);
    Ok(Json(AuditLines {
        next_cursor: last.map(|entry| entry.line.sequence.to_string()),
        has_next: listing.has_more,
        items: listing.entries.into_iter().map(LineInfo::from).collect(),
    }))
}

/// Export the audit
///
/// Returns all lines that match, the oldest first, as JSON texts of which each is a line: an `AuditLine` as in
/// `GET /api/v1/audit`. The response is sent while it is read, and ends early, without its last chunk, if reading fails.
#[utoipa::path(get, path = "/api/v1/audit/export", tag = "audit", operation_id = "export_audit",
    params(FilterForm),
    responses((status = OK, description = "The lines", body = String, content_type = "application/x-ndjson"),
              (status = BAD_REQUEST, description = "The request is malformed, must name the organization, or reads too many lines without a match", body = Problem, example = json!(["organization_needed", "too_costly"])),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!("forbidden")),
              (status = NOT_FOUND, description = "No such organization, or you may not see it", body = Problem)))]
async fn export(
    caller: Caller<AuditRead>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), FilterForm>,
) -> Result<Response, Failure> {
    let caller = authority::Caller::clone(&caller);
    let query = AuditQuery::from(query);
    let response = streamed::respond(JSON_LINES, |mut out| async move {
        let mut page = AuditPage {
            order: AuditOrder::OldestFirst,
            after: None,
            skip: 0,
            limit: AT_ONCE,
        };
        let mut listing = app.authority.audit(&caller, &query, page).await?;
        loop {
            page.after = listing.entries.last().map(|entry| entry.line.sequence);
            for entry in listing.entries {
                out.value(&LineInfo::from(entry))?;
                out.raw("\n");
            }
            if !listing.has_more {
                return Ok(out);
            }
            out.send().await?;
            // A client that reads slowly must not go on after the end of its token or its role.
            listing = app.authority.audit_further(&caller, &query, page).await?;
        }
    });
    Ok(response.await?)
}

/// Where a stream begins, and what it contains.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct StreamForm {
    /// Only lines that concern this organization, by name or id. Default: your only organization; for site
    /// administrators all lines.
    organization: Option<OrganizationReference>,
    /// The `sequence` after which to begin. Default: now.
    #[form(range(min = 0, max = 9_007_199_254_740_991))]
    after_sequence: Option<i64>,
}

/// Where a stream continues.
#[derive(Debug, Form)]
#[form(header)]
pub(crate) struct StreamHeaders {
    /// The last `id` that was received; counts more than `after_sequence`.
    #[form(range(min = 0, max = 9_007_199_254_740_991))]
    last_event_id: Option<i64>,
}

/// An event of the stream: its fields as server-sent events write them.
#[derive(ToSchema)]
#[schema(as = StreamedAudit)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
struct StreamedLine {
    /// `head`: a heartbeat. Absent: a line.
    event: Option<String>,
    /// The `sequence` after which the stream continues.
    id: String,
    /// In JSON: an `AuditLine`, or `sequence` and `hash` of the last line in a heartbeat.
    data: String,
}

/// Follow the audit
///
/// Sends every line as soon as it is written, as server-sent events: `data` is the line in JSON as in `GET /api/v1/audit`,
/// and `id` its `sequence`. Every five seconds, and at the beginning, an event named `head` contains the last line of
/// the audit. To resume, send the last `id` as `Last-Event-ID`. The stream ends when the token ends, when the caller may
/// not see the lines any more, or when the server stops.
#[utoipa::path(get, path = "/api/v1/audit/stream", tag = "audit", operation_id = "stream_audit",
    params(StreamForm, StreamHeaders),
    responses((status = OK, description = "The lines, without end", content_type = "text/event-stream", body = StreamedLine),
              (status = BAD_REQUEST, description = "The request is malformed, or must name the organization", body = Problem, example = json!("organization_needed")),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!("forbidden")),
              (status = NOT_FOUND, description = "No such organization, or you may not see it", body = Problem),
              (status = GONE, description = "The lines after this one are no longer kept", body = Problem, example = json!("audit_pruned")),
              (status = CONFLICT, description = "The audit has not come so far", body = Problem, example = json!("audit_ahead"))))]
async fn stream(
    caller: Caller<AuditRead>,
    State(app): State<Arc<App>>,
    Input { query, headers, .. }: Input<(), StreamForm, (), StreamHeaders>,
) -> Result<Response, Failure> {
    let authority = &app.authority;
    let organization = authority.audited(&caller, query.organization.as_ref()).await?;
    let news = authority.audit_head();
    let sequence = match headers.last_event_id.or(query.after_sequence) {
        Some(sequence) => sequence.unsigned_abs(),
        None => authority.audit_end().await?.sequence,
    };
    // Errors are answered now, as long as there is a status to answer them with.
    authority.audit_after(organization, sequence, 1).await?;
    let permit = app.streams.audit_permit(organization).ok_or(Error::Busy)?;
    let follower = Follower {
        active: caller.active().clone(),
        organization,
        sequence,
        news,
        next_beat: Instant::now(),
        ends_at: caller
            .expires_in()
            .map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        permit,
        app: Arc::clone(&app),
    };
    Ok(event_stream::respond(&app.authority, follower))
}

/// A client that follows the audit.
struct Follower {
    app: Arc<App>,
    active: Active,
    /// The organization whose lines it sees; `None` is all.
    organization: Option<OrganizationId>,
    /// The number up to which the client has its lines.
    sequence: u64,
    news: watch::Receiver<AuditHead>,
    next_beat: Instant,
    /// When the client's token expires.
    ends_at: Option<Instant>,
    permit: AuditPermit,
}

impl event_stream::Follower for Follower {
    async fn text(&mut self) -> Option<Bytes> {
        loop {
            self.news.mark_unchanged();
            let is_busy = match self.read().await {
                Ok(Some(text)) => return Some(text),
                Ok(None) => false,
                Err(Error::Busy) => true,
                Err(_) => return None,
            };
            // Once: a clock that was set back may call the token active for longer, and heartbeats check it too.
            self.ends_at.take_if(|ends_at| *ends_at <= Instant::now());
            let wakes_at = match is_busy {
                true => Instant::now() + SOON,
                false => self
                    .ends_at
                    .map_or(self.next_beat, |ends_at| ends_at.min(self.next_beat)),
            };
            tokio::select! {
                biased;
                () = self.permit.stopped() => return None,
                changed = self.news.changed(), if !is_busy => changed.ok()?,
                () = sleep_until(wakes_at) => {}
            }
        }
    }
}

impl Follower {
    /// Returns the next text if there is one.
    async fn read(&mut self) -> Result<Option<Bytes>, Error> {
        let authority = &self.app.authority;
        authority.still_audits(&self.active, self.organization).await?;
        let (entries, through) = authority
            .audit_after(self.organization, self.sequence, AT_ONCE)
            .await?;
        self.sequence = through;
        if !entries.is_empty() {
            return Ok(Some(text_of(entries)));
        }
        if self.next_beat > Instant::now() {
            return Ok(None);
        }
        let head = authority.audit_end().await?;
        self.next_beat = Instant::now() + HEARTBEAT;
        Ok(Some(text_of_head(head, through)))
    }
}

/// Returns the text of lines.
fn text_of(entries: Vec<AuditEntry>) -> Bytes {
    let mut text = String::new();
    for entry in entries {
        let sequence = entry.line.sequence;
        let data = serde_json::to_string(&LineInfo::from(entry)).unwrap_or_default();
        text.push_str(&format!("id: {sequence}\ndata: {data}\n\n"));
    }
    text.into()
}

/// Returns the text of a heartbeat. Its `id` is the line after which the client resumes.
fn text_of_head(head: AuditHead, sequence: u64) -> Bytes {
    let data = serde_json::json!({"sequence": head.sequence, "hash": STANDARD.encode(head.hash)});
    format!("event: head\nid: {sequence}\ndata: {data}\n\n").into()
}
