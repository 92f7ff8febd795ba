//! The audit trail of the caller's organization: `/organization/audit-trail`. Unlike the rest of this API, it is not a
//! JSON:API document.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::{Builder, Uuid, Variant, Version};

use crate::http::caller::{AuditRead, Caller};
use crate::http::dialects::terraform::page::Clamped;
use crate::http::dialects::terraform::render::ErrorDocument;
use crate::http::domain_types;
use crate::http::input::{Form, Input};
use crate::http::routes::routes;
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_store::AuditEntry;

/// The default and the maximum page size.
const LARGEST_SIZE: i64 = 1000;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The beginning and the page of the trail. A page out of range counts as the nearest bound.
#[derive(Debug, Form)]
#[form(query)]
pub(crate) struct TrailForm {
    /// Only events of this instant or later. Default: those of the last 14 days.
    #[form(example = "2026-12-01T00:00:00.000Z")]
    since: Option<Timestamp>,
    /// The page number, from 1.
    #[form(name = "page[number]", default = Clamped(1))]
    number: Clamped<{ u32::MAX as i64 }>,
    /// The page size, 1 to 1000.
    #[form(name = "page[size]", default = Clamped(LARGEST_SIZE))]
    size: Clamped<LARGEST_SIZE>,
}

/// A page of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
struct AuditTrail {
    /// The events, the newest first.
    data: Vec<AuditEvent>,
    pagination: AuditTrailPagination,
}

/// The page number and the number of pages.
#[derive(Debug, Serialize, ToSchema)]
struct AuditTrailPagination {
    #[schema(example = 1)]
    current_page: i64,
    #[schema(required = true)]
    prev_page: Option<i64>,
    #[schema(required = true)]
    next_page: Option<i64>,
    /// 0 if there are no events.
    #[schema(example = 1)]
    total_pages: i64,
    total_count: u64,
}

impl AuditTrailPagination {
    fn of(number: i64, size: i64, total: u64) -> Self {
        let last = i64::try_from(total.div_ceil(size.unsigned_abs())).unwrap_or(i64::MAX);
        let page = |number: i64| (1..=last).contains(&number).then_some(number);
        Self {
            current_page: number,
            prev_page: page(number - 1),
            next_page: page(number + 1),
            total_pages: last,
            total_count: total,
        }
    }
}

/// A line of the audit, as an event.
#[derive(Debug, Serialize, ToSchema)]
struct AuditEvent {
    /// The id of the event, which never changes.
    id: Uuid,
    #[schema(example = "0")]
    version: &'static str,
    #[serde(rename = "type")]
    #[schema(example = "Resource")]
    kind: &'static str,
    #[schema(value_type = domain_types::Instant)]
    timestamp: Timestamp,
    auth: AuditEventAuth,
    request: AuditEventRequest,
    resource: AuditEventResource,
}

/// Who did it.
#[derive(Debug, Serialize, ToSchema)]
struct AuditEventAuth {
    /// The id of the user, or of the token if it acts for no user; `null`: neither.
    #[schema(required = true, example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    accessor_id: Option<String>,
    /// The e-mail address, or the name of the token or of the server's own work.
    #[schema(example = "admin@example.com")]
    description: String,
    /// `Client`, or `System` for what was done without a credential.
    #[serde(rename = "type")]
    #[schema(example = "Client")]
    kind: &'static str,
    /// Always `null`: nobody acts as another user.
    #[schema(required = true)]
    impersonator_id: Option<String>,
    /// The `external-id` of the organization.
    #[schema(required = true)]
    organization_id: Option<Uuid>,
}

/// The request.
#[derive(Debug, Serialize, ToSchema)]
struct AuditEventRequest {
    /// The id of the request (`X-Request-Id`).
    #[schema(required = true)]
    id: Option<String>,
}

/// What was changed.
#[derive(Debug, Serialize, ToSchema)]
struct AuditEventResource {
    /// The id, number or address of what was changed; `null` if the record is deleted.
    #[schema(required = true, example = "at-1")]
    id: Option<String>,
    #[serde(rename = "type")]
    #[schema(example = "authentication_token")]
    kind: String,
    #[schema(example = "create")]
    action: String,
    meta: AuditEventMeta,
}

/// What the audit says beside it, as `GET /api/v1/audit`.
#[derive(Debug, Serialize, ToSchema)]
struct AuditEventMeta {
    /// The action in the audit.
    #[schema(example = "token.issue")]
    event: String,
    /// The number of the line.
    #[schema(example = 412)]
    sequence: u64,
    /// The id of the token by which the actor was authenticated.
    #[schema(required = true, example = "at-7")]
    actor_token: Option<String>,
    /// The person for whom a service says that it acted. Not verified.
    #[schema(required = true)]
    on_behalf_of: Option<String>,
    /// The client's address.
    #[schema(required = true, value_type = Option<String>, example = "192.0.2.1")]
    address: Option<IpAddr>,
    /// The former values.
    #[schema(required = true, value_type = Option<Object>)]
    before: Option<Box<RawValue>>,
    /// The new values.
    #[schema(required = true, value_type = Option<Object>)]
    after: Option<Box<RawValue>>,
    /// The reason that was given.
    #[schema(required = true)]
    reason: Option<String>,
}

impl From<AuditEntry> for AuditEvent {
    fn from(AuditEntry { line, detail }: AuditEntry) -> Self {
        let detail = detail.unwrap_or_default();
        let record = line.record;
        let event = record.action.into_owned();
        let (kind, action) = words(&event);
        let token = |token| format!("at-{token}");
        let json = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        let actor_token = record.actor_token.map(token);
        let accessor_id = record.actor.user.map(|user| user.to_string());
        let accessor_id = accessor_id.or_else(|| actor_token.clone());
        Self {
            id: id(&line.hash),
            version: "0",
            kind: "Resource",
            timestamp: record.at,
            auth: AuditEventAuth {
                kind: match accessor_id {
                    Some(_) => "Client",
                    None => "System",
                },
                accessor_id,
                description: record.actor.name,
                impersonator_id: None,
                organization_id: record.organization.map(|organization| organization.0),
            },
            request: AuditEventRequest {
                id: detail.request_id,
            },
            resource: AuditEventResource {
                id: record.token.map(token).or(detail.target),
                kind: kind.to_owned(),
                action: action.to_owned(),
                meta: AuditEventMeta {
                    sequence: line.sequence,
                    actor_token,
                    on_behalf_of: detail.on_behalf_of,
                    address: detail.address,
                    before: json(detail.before),
                    after: json(detail.after),
                    reason: detail.reason,
                    event,
                },
            },
        }
    }
}

/// Returns the id of the line with a hash: a UUID of version 8.
fn id(hash: &[u8; 32]) -> Uuid {
    let bytes = hash.first_chunk().copied().unwrap_or_default();
    Builder::from_bytes(bytes)
        .with_variant(Variant::RFC4122)
        .with_version(Version::Custom)
        .into_uuid()
}

/// Returns the type of the resource and the action, in Terraform's words where it has them.
fn words(event: &str) -> (&str, &str) {
    let (kind, action) = event.split_once('.').unwrap_or((event, ""));
    let kind = match kind {
        "token" => "authentication_token",
        other => other,
    };
    let action = match action {
        "issue" => "create",
        "set_role" => "update",
        "revoke" | "delete" | "remove" => "destroy",
        other => other,
    };
    (kind, action)
}

/// List the audit trail of the organization
///
/// Lists who changed what in the organization whose token the caller has, the newest first. The caller must be a token of
/// an organization with the scope `audit:read`, such as the audit trails token
/// (`POST /api/v2/organizations/{organization}/authentication-token?token=audit-trails`); for all others, also for users,
/// the response is 404. An event is listed within a second. This is not a JSON:API document. `GET /api/v1/audit` has more
/// filters, and pages that stay the same while events are added.
#[utoipa::path(get, path = "/api/v2/organization/audit-trail", tag = "audit trails", operation_id = "list_audit_trail",
    params(TrailForm),
    responses((status = OK, description = "A page of the audit trail", body = AuditTrail),
              (status = BAD_REQUEST, description = "The query is invalid, or too many events were read: name a later `since`",
                  body = ErrorDocument, content_type = "application/vnd.api+json", example = json!("too_costly"))))]
async fn list(
    caller: Caller<AuditRead>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), TrailForm>,
) -> Result<Json<AuditTrail>, Failure> {
    let (number, size) = (query.number.0, query.size.0);
    let skip = (number - 1).saturating_mul(size).unsigned_abs();
    let limit = u32::try_from(size).unwrap_or(1);
    let trail = app.authority.audit_trail(&caller, query.since, skip, limit);
    let (entries, total) = trail.await?;
    Ok(Json(AuditTrail {
        data: entries.into_iter().map(AuditEvent::from).collect(),
        pagination: AuditTrailPagination::of(number, size, total),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_have_the_words_of_terraform_where_it_has_them() {
        for (event, expected) in [
            ("token.issue", ("authentication_token", "create")),
            ("token.revoke", ("authentication_token", "destroy")),
            ("member.set_role", ("member", "update")),
            ("member.remove", ("member", "destroy")),
            ("team.delete", ("team", "destroy")),
            ("team.update", ("team", "update")),
        ] {
            assert_eq!(words(event), expected, "{event}");
        }
    }
}
