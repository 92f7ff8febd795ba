//! `/revocations`: cut-offs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::authority::{CutOffOrder, CutOffRecord};
use crate::http::caller::{Caller, TokensWrite};
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::nouns;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationReference, TeamReference};
use jeton_core::token::TokenKind;
use jeton_store::PersonReference;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(create))
}

/// Which tokens are to end: those that match all that is named.
#[derive(Debug, Form)]
// A misspelt team must not end the whole organization's tokens.
#[form(body, name = "CreateRevocation", unknown = Forbidden, example = json!({"organization": "default", "user": "ada@example.com", "reason": "a lost laptop"}))]
pub(crate) struct CutOffForm {
    /// Of this organization, by name or id. Without it you must be a site administrator.
    organization: Option<OrganizationReference>,
    /// Of this team of the organization, by name or id.
    team: Option<TeamReference>,
    /// Of this person, by address or id. Without an organization: in all of them, and their sessions.
    user: Option<PersonReference>,
    /// Restricted to this project of the organization, also if the project is gone by now. A number that
    /// no project has had is refused; one of another organization's project matches nothing here.
    #[form(range(min = 1, max = 2_147_483_647))]
    project: Option<i64>,
    /// Signed by the key with this `kid`; for site administrators. Without an organization: sessions too.
    #[form(length(max = 100))]
    key: Option<String>,
    /// Issued before this instant, which must not lie ahead; now by default. The second in which it
    /// lies is covered as a whole, unless it is the very beginning of it.
    issued_before: Option<Timestamp>,
    /// Why, in your words. No verifier is told.
    #[form(length(max = 1000))]
    reason: Option<String>,
}

impl Request for CutOffOrder {
    type Form = CutOffForm;

    fn parse(form: CutOffForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        if form.organization.is_none() {
            for (name, is_given) in [("team", form.team.is_some()), ("project", form.project.is_some())] {
                if is_given {
                    return Err(fields.refuse(name, "name the organization too"));
                }
            }
            if form.user.is_none() && form.key.is_none() {
                return Err(fields.refuse("organization", "name an organization, a user or a key"));
            }
        }
        if form.team.is_some() && form.user.is_some() {
            return Err(fields.refuse("user", "no token acts for a team and for a person"));
        }
        Ok(Self {
            organization: form.organization,
            team: form.team,
            user: form.user,
            project: form.project.and_then(|project| project.try_into().ok()),
            key: form.key,
            issued_before: form.issued_before,
            reason: form.reason,
        })
    }
}

/// A revocation of everything that matches.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Revocation)]
struct CutOffInfo {
    /// Its number in the feed of revocations.
    #[schema(example = 1)]
    sequence: u64,
    /// The id of the organization.
    #[schema(required = true)]
    organization: Option<Uuid>,
    /// The team's id.
    #[schema(required = true)]
    team: Option<String>,
    /// The person's id.
    #[schema(required = true)]
    user: Option<String>,
    #[schema(required = true)]
    project: Option<u32>,
    #[schema(required = true)]
    key: Option<String>,
    /// What is issued from this instant on is not covered.
    #[schema(value_type = nouns::Instant)]
    issued_before: Timestamp,
    /// Whether sessions are covered too.
    sessions: bool,
    #[schema(value_type = nouns::Instant)]
    effective_at: Timestamp,
    /// Who ordered it.
    #[schema(example = "admin@example.com")]
    revoked_by: String,
    #[schema(required = true)]
    reason: Option<String>,
}

impl From<CutOffRecord> for CutOffInfo {
    fn from(record: CutOffRecord) -> Self {
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
        }
    }
}

/// Revoke everything of an organization, team, person, project or key
///
/// One event, effective at once however many tokens it covers, and never undone: from the answer on
/// every token that matches all that is named and was issued early enough is refused, the one that
/// you call this with included. Tokens that are issued later are not covered. Tokens are shown as
/// revoked from then on; several such revocations add up.
#[utoipa::path(post, path = "/api/v1/revocations", tag = "tokens", operation_id = "create_revocation",
    request_body = CutOffForm,
    responses((status = CREATED, description = "They are revoked", body = CutOffInfo),
              (status = NOT_FOUND, description = "There is no such organization, team or person, or you may not know of it", body = Problem)))]
async fn create(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), CutOffOrder>,
) -> Result<impl IntoResponse, Failure> {
    let record = app.authority.cut_off(&caller, &body).await?;
    Ok((StatusCode::CREATED, Json(CutOffInfo::from(record))))
}
