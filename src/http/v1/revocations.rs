//! Cut-offs: `/revocations`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jeton_verifier::feed::Cursor;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::authority::{Change, CutOffOrder, CutOffRecord, Propagation};
use crate::http::caller::{Caller, RevokesOnce, TokensWrite};
use crate::http::domain_types;
use crate::http::input::{Fields, Form, Input, Refused, Request, Violations};
use crate::http::v1::feed;
use crate::http::v1::preview::{self, PreviewInfo};
use crate::http::v1::render::Problem;
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::text::Prose;
use jeton_core::token::TokenKind;
use jeton_store::PersonReference;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create, feed::list))
}

/// A revocation to create. It covers the tokens that match all given fields.
#[derive(Debug, Form)]
// A misspelt `team` must not revoke all tokens of the organization.
#[form(body, name = "CreateRevocation", unknown = Forbidden, example = json!({"organization": "default", "user": "nobody@example.com", "reason": "a lost laptop"}))]
pub(crate) struct CutOffForm {
    /// Tokens of this organization, by name or id. Required unless you are a site administrator.
    organization: Option<OrganizationReference>,
    /// Tokens of this team of the organization, by name or id.
    team: Option<TeamReference>,
    /// Tokens of this user, by e-mail address or id. Without `organization`: the user's tokens in all organizations,
    /// and the user's sessions.
    user: Option<PersonReference>,
    /// Tokens restricted to this project of the organization, also if the project is deleted. A number that no
    /// project ever had is an error; the number of another organization's project matches no token.
    #[form(range(min = 1, max = 2_147_483_647))]
    project: Option<i64>,
    /// Tokens signed by the key with this `kid`; only for site administrators. Without `organization`: sessions too.
    #[form(length(max = 100))]
    key: Option<String>,
    /// Tokens issued before this instant, which must not be in the future. Default: now. It is rounded up to a whole
    /// second.
    issued_before: Option<Timestamp>,
    /// The reason, at most 1000 characters. It is not published to verifiers.
    #[form(length(max = 1000))]
    reason: Option<Prose>,
    /// Whether to revoke nothing and only return which tokens would be revoked.
    #[form(default = false)]
    dry_run: bool,
}

/// A revocation to create, or its dry run.
struct CutOffRequest {
    order: CutOffOrder,
    is_dry_run: bool,
}

const TOO_WIDE: &str = "give `organization`, `user` or `key`";

impl Request for CutOffRequest {
    type Form = CutOffForm;

    fn parse(form: CutOffForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        if form.organization.is_none() {
            for (name, is_given) in [("team", form.team.is_some()), ("project", form.project.is_some())] {
                if is_given {
                    return Err(fields.refuse(name, "this field needs the field `organization`"));
                }
            }
            if form.user.is_none() && form.key.is_none() {
                return Err(fields.refuse("organization", TOO_WIDE));
            }
        }
        if form.team.is_some() && form.user.is_some() {
            return Err(fields.refuse(
                "user",
                "`user` and `team` cannot be combined: a token acts for one of them",
            ));
        }
        let order = CutOffOrder {
            organization: form.organization,
            team: form.team,
            user: form.user,
            project: form.project.and_then(|project| project.try_into().ok()),
            key: form.key,
            issued_before: form.issued_before,
            reason: form.reason.map(Into::into),
        };
        Ok(Self {
            order,
            is_dry_run: form.dry_run,
        })
    }
}

/// A revocation of all matching tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revocation)]
struct CutOffInfo {
    /// The sequence number in the revocation feed.
    #[schema(example = 1)]
    sequence: u64,
    /// The id of the organization.
    #[schema(required = true)]
    organization: Option<Uuid>,
    /// The team's id.
    #[schema(required = true)]
    team: Option<String>,
    /// The user's id.
    #[schema(required = true)]
    user: Option<String>,
    /// The project's number.
    #[schema(required = true)]
    project: Option<u32>,
    /// The `kid` of the signing key.
    #[schema(required = true)]
    key: Option<String>,
    /// Tokens issued at or after this instant are not covered.
    #[schema(value_type = domain_types::Instant)]
    issued_before: Timestamp,
    /// Whether sessions are covered too.
    sessions: bool,
    /// When the revocation took effect.
    #[schema(value_type = domain_types::Instant)]
    effective_at: Timestamp,
    /// Who created the revocation.
    #[schema(example = "admin@example.com")]
    revoked_by: String,
    /// The reason given.
    #[schema(required = true)]
    reason: Option<String>,
    /// A position in the revocation feed that includes the revocation: wait for it to know that a verifier has it.
    #[schema(value_type = String, min_length = 75, max_length = 75)]
    revocation_cursor: Cursor,
    /// With PostgreSQL: from when on every server refuses the tokens, the one that answers having done so before. `null`
    /// with a database file, whose only server does.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    refused_everywhere_by: Option<Timestamp>,
}

impl CutOffInfo {
    fn of(record: CutOffRecord, propagation: Propagation) -> Self {
        let CutOffRecord {
            sequence,
            cut_off,
            ordered_by,
            reason,
        } = record;
        let reach = cut_off.reach;
        Self {
            sequence,
            organization: reach.organization.map(|organization| organization.0),
            team: reach.team.map(|team| team.to_string()),
            user: reach.user.map(|user| user.to_string()),
            project: reach.project,
            key: reach.kid,
            issued_before: Timestamp::from_seconds(cut_off.issued_through.saturating_add(1))
                .unwrap_or(Timestamp::LAST),
            sessions: reach.kind != Some(TokenKind::Api),
            effective_at: cut_off.effective_at,
            revoked_by: ordered_by.name,
            reason,
            revocation_cursor: Cursor(propagation.position),
            refused_everywhere_by: propagation.refused_everywhere_by,
        }
    }
}

/// Create a revocation
///
/// Revokes all tokens of an organization, team, user, project or signing key that were issued before
/// `issued_before`, including the token that you call this with. It is one permanent event in the revocation feed
/// that takes effect at once, however many tokens it covers. Tokens must match all given fields. Tokens issued
/// later are not covered. To revoke tokens by other filters, use `POST /api/v1/tokens/revoke`.
///
/// With `dry_run`, nothing is changed, and the response says which tokens would be revoked.
#[utoipa::path(post, path = "/api/v1/revocations", tag = "tokens", operation_id = "create_revocation",
    request_body = CutOffForm,
    responses((status = OK, description = "What would be revoked, with `dry_run`", body = PreviewInfo),
              (status = CREATED, description = "The revocation, in effect", body = CutOffInfo),
              (status = UNPROCESSABLE_ENTITY, description = "Invalid fields, all of them, in the order of the fields", body = Violations,
                  examples(("invalid" = (value = json!(Violations::of_empty_body("organization", TOO_WIDE)))))),
              (status = NOT_FOUND, description = "No such organization, team or user, or you may not see it", body = Problem),
              (status = FORBIDDEN, description = "Only admins of the organization may do this; for all organizations, only site administrators", body = Problem, example = json!("forbidden"))))]
async fn create(
    caller: Caller<RevokesOnce<TokensWrite>>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), CutOffRequest>,
) -> Result<Response, Failure> {
    let CutOffRequest { order, is_dry_run } = &body;
    if *is_dry_run {
        return preview::answer(&app, &caller, Change::CutOff(order)).await;
    }
    let record = app.authority.cut_off(&caller, order).await?;
    let propagation = app.authority.propagation().await?;
    Ok((StatusCode::CREATED, Json(CutOffInfo::of(record, propagation))).into_response())
}
