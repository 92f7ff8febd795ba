//! The stream of the audit: `/audit/stream`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jeton_store::{AuditEntry, AuditHead, AuditPosition};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use super::{AT_ONCE, LineInfo};
use crate::authority::{Active, Error};
use crate::http::caller::{AuditRead, Caller};
use crate::http::event_stream::{self, HEARTBEAT};
use crate::http::input::{Form, Input};
use crate::http::routes::routes;
use crate::http::streams::AuditPermit;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure};
use jeton_core::directory::{OrganizationId, OrganizationReference};

/// The time until an overloaded store is asked again.
const SOON: Duration = Duration::from_millis(100);

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(stream))
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
    /// The last `id` that was received; counts more than `after_sequence`. The number of a line alone is accepted too,
    /// but does not tell lines of another history apart.
    #[form(example = "412-d4a98c21")]
    last_event_id: Option<AuditPosition>,
}

/// An event of the stream: its fields as server-sent events write them.
#[derive(ToSchema)]
#[schema(as = StreamedAudit)]
#[expect(dead_code, reason = "only the OpenAPI document reads it")]
struct StreamedLine {
    /// `head`: a heartbeat. Absent: a line.
    event: Option<String>,
    /// The `sequence` after which the stream continues, and the beginning of that line's hash in hexadecimal digits.
    id: String,
    /// In JSON: an `AuditLine`, or `sequence` and `hash` of the last line in a heartbeat.
    data: String,
}

/// Follow the audit
///
/// Sends every line as soon as it is written, as server-sent events: `data` is the line in JSON as in `GET /api/v1/audit`,
/// and `id` its `sequence` with the beginning of its hash. Every five seconds, and at the beginning, an event named `head` contains the last line of
/// the audit. To resume, send the last `id` as `Last-Event-ID`. The stream ends when the token ends, when the caller may
/// not see the lines any more, or when the server stops.
#[utoipa::path(get, path = "/api/v1/audit/stream", tag = "audit", operation_id = "stream_audit",
    params(StreamForm, StreamHeaders),
    responses((status = OK, description = "The lines, without end", content_type = "text/event-stream", body = StreamedLine),
              (status = BAD_REQUEST, description = "The request is malformed, or must name the organization", body = Problem, example = json!("organization_needed")),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!("forbidden")),
              (status = NOT_FOUND, description = "No such organization, or you may not see it", body = Problem),
              (status = GONE, description = "The lines after this one are no longer kept", body = Problem, example = json!("audit_pruned")),
              (status = CONFLICT, description = "The audit has no such line: it has not come so far, or its history was replaced", body = Problem, example = json!("audit_ahead"))))]
async fn stream(
    caller: Caller<AuditRead>,
    State(app): State<Arc<App>>,
    Input { query, headers, .. }: Input<(), StreamForm, (), StreamHeaders>,
) -> Result<Response, Failure> {
    let authority = &app.authority;
    let organization = authority.audited(&caller, query.organization.as_ref()).await?;
    let news = authority.audit_head();
    let named = query
        .after_sequence
        .map(|sequence| sequence.unsigned_abs().into());
    let position = match headers.last_event_id.or(named) {
        Some(position) => position,
        None => authority.audit_end().await?.into(),
    };
    // Errors are answered now, as long as there is a status to answer them with.
    authority.audit_after(organization, position.clone(), 1).await?;
    let permit = app.streams.audit_permit(organization).ok_or(Error::Busy)?;
    let follower = Follower {
        active: caller.active().clone(),
        organization,
        position,
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
    /// The line up to which the client has its lines.
    position: AuditPosition,
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
                () = self.permit.stopping.wait() => return None,
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
            .audit_after(self.organization, self.position.clone(), AT_ONCE)
            .await?;
        self.position = through.into();
        if !entries.is_empty() {
            return Ok(Some(text_of(entries)));
        }
        if self.next_beat > Instant::now() {
            return Ok(None);
        }
        let head = authority.audit_end().await?;
        self.next_beat = Instant::now() + HEARTBEAT;
        Ok(Some(text_of_head(head, &self.position)))
    }
}

/// Returns the text of lines.
fn text_of(entries: Vec<AuditEntry>) -> Bytes {
    let mut text = String::new();
    for entry in entries {
        let position = AuditPosition::from(entry.line.head());
        let data = serde_json::to_string(&LineInfo::from(entry)).unwrap_or_default();
        text.push_str(&format!("id: {position}\ndata: {data}\n\n"));
    }
    text.into()
}

/// Returns the text of a heartbeat. Its `id` is the line after which the client resumes.
fn text_of_head(head: AuditHead, position: &AuditPosition) -> Bytes {
    let data = serde_json::json!({"sequence": head.sequence, "hash": STANDARD.encode(head.hash)});
    format!("event: head\nid: {position}\ndata: {data}\n\n").into()
}
