//! The audit: `/audit`, `/audit/stream` and `/audit/export`.

mod stream;

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jeton_store::{AuditEntry, AuditFilter, AuditOrder, AuditPage, AuditSource, Surface};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::authority::{self, AuditQuery, Error};
use crate::http::caller::{AuditRead, Caller};
use crate::http::domain_types;
use crate::http::input::{Form, Input};
use crate::http::routes::routes;
use crate::http::streamed;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationReference;
use jeton_core::token::TokenReference;

/// The most lines that are read at once for a stream or an export.
const AT_ONCE: u32 = 250;

/// JSON texts, one a line.
const JSON_LINES: &str = "application/x-ndjson";

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .merge(stream::routes())
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
    /// Only lines that concern this token, by number or `jti`. Once the record of the token is deleted, only its number
    /// finds them.
    token: Option<TokenReference>,
    /// Only lines with exactly this action.
    #[form(length(min = 1, max = 64), example = "token.issue")]
    action: Option<String>,
    /// Only lines of this instant or later.
    after: Option<Timestamp>,
    /// Only lines before this instant.
    before: Option<Timestamp>,
    /// Only lines whose action, actor, target or reason contains this text, ignoring the case of ASCII letters. The `jti`
    /// that is the target of a revocation is not searched, nor is what only a deleted record said.
    #[form(length(min = 1, max = 255))]
    q: Option<String>,
}

impl From<FilterForm> for AuditQuery {
    fn from(form: FilterForm) -> Self {
        Self {
            organization: form.organization,
            token: form.token,
            rest: AuditFilter {
                organization: None,
                token: None,
                actor: form.actor,
                action: form.action,
                after: form.after,
                before: form.before,
                text: form.q,
            },
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
    /// The interface: `native`, `oauth`, `cave`, `terraform`, `quantcdn`, `console`, `command` or `server`.
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
            surface: detail.surface.map(surface_word),
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

/// Returns the name of an interface.
pub(super) fn surface_word(surface: Surface) -> &'static str {
    match surface {
        Surface::Native => "native",
        Surface::OAuth => "oauth",
        Surface::Cave => "cave",
        Surface::Terraform => "terraform",
        Surface::Quant => "quantcdn",
        Surface::Console => "console",
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

/// Filters and the beginning of an export.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct ExportForm {
    #[form(flatten)]
    filter: FilterForm,
    /// Only lines after this `sequence`, such as the last one of an export before. Default: all.
    #[form(range(min = 0, max = 9_007_199_254_740_991))]
    after_sequence: Option<i64>,
}

/// Export the audit
///
/// Returns all lines that match, the oldest first, as JSON texts of which each is a line: an `AuditLine` as in
/// `GET /api/v1/audit`. The response is sent while it is read, and ends early, without its last chunk, if reading fails:
/// continue with the last `sequence` as `after_sequence`.
#[utoipa::path(get, path = "/api/v1/audit/export", tag = "audit", operation_id = "export_audit",
    params(ExportForm),
    responses((status = OK, description = "The lines", body = String, content_type = "application/x-ndjson"),
              (status = BAD_REQUEST, description = "The request is malformed, must name the organization, or reads too many lines without a match", body = Problem, example = json!(["organization_needed", "too_costly"])),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!("forbidden")),
              (status = NOT_FOUND, description = "No such organization, or you may not see it", body = Problem)))]
async fn export(
    caller: Caller<AuditRead>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), ExportForm>,
) -> Result<Response, Failure> {
    let caller = authority::Caller::clone(&caller);
    let after = query.after_sequence.map(i64::unsigned_abs);
    let query = AuditQuery::from(query.filter);
    let response = streamed::respond(JSON_LINES, |mut out| async move {
        let mut page = AuditPage {
            order: AuditOrder::OldestFirst,
            after,
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
