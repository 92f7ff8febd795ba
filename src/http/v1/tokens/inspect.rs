//! Why a token is accepted or refused: `POST /tokens/inspect`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::authority::{Check, Inspect, Inspection, Subject};
use crate::http::caller::{AnyToken, Caller};
use crate::http::input::{Fields, Form, Input, Refused, Request, Violations};
use crate::http::oauth::Scopes;
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::TokenInfo;
use crate::http::{App, Failure};

/// The token to inspect, and what a service requires of it.
#[derive(Form)]
#[form(body, name = "InspectToken", echo = Nothing, unknown = Forbidden, example = json!({"jti": "019b76da-a800-7000-8000-0123456789ab", "scope": "projects:read"}))]
pub(crate) struct InspectForm {
    /// The token, with or without the configured prefix; or any text that is refused as a token. Whitespace around it is
    /// ignored. Either this or `jti`.
    #[form(length(min = 1))]
    token: Option<String>,
    /// The `jti` claim of the token. Checks of the text, such as the signature, are left out.
    jti: Option<Uuid>,
    /// The audience of a service: adds the check `audience`.
    #[form(length(min = 1, max = 2000))]
    audience: Option<String>,
    /// Scopes that a service requires, separated by one space: adds the check `scope`.
    #[form(example = "projects:read content:write")]
    scope: Option<Scopes>,
}

const NOTHING: &str = "give `token` or `jti`";

impl Request for Inspect {
    type Form = InspectForm;

    fn parse(form: InspectForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        let subject = match (form.token, form.jti) {
            (Some(token), None) => Subject::Text(token.trim_ascii().to_owned()),
            (None, Some(jti)) => Subject::Jti(jti),
            (None, None) => return Err(fields.refuse("token", NOTHING)),
            (Some(_), Some(_)) => return Err(fields.refuse("jti", "give either `token` or `jti`")),
        };
        Ok(Self {
            subject,
            audience: form.audience,
            scopes: form.scope.map_or_else(Vec::new, |Scopes(scopes)| scopes),
        })
    }
}

/// Why a token is accepted or refused.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Inspection)]
pub(super) struct InspectionInfo {
    /// `active`, or why the token is refused: `malformed`, `unknown_key`, `wrong_algorithm`, `bad_signature`,
    /// `wrong_type`, `wrong_issuer`, `expired`, `unknown` (no record with these claims), `owner_gone`, `revoked` (by a
    /// cut-off too), `wrong_audience` or `insufficient_scope`. A later version may add some.
    #[schema(example = "revoked")]
    verdict: &'static str,
    /// The checks that could be made, in their order. `verdict` is the reason of the first required one that did not
    /// pass.
    checks: Vec<InspectionCheck>,
    /// The metadata of the token; `null` if the text is not a token, and for a session.
    #[schema(required = true)]
    token_info: Option<TokenInfo>,
}

/// A check of a token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InspectionCheck {
    /// Of the text: `form`, `header`, `key`, `algorithm`, `signature`, `type`, `claims`, `issuer`, `session`, `expiry`.
    /// Of the record: `record`, `owner`, `revocation`, `cut_off`. Of the request: `audience`, `scope`. For information:
    /// `schedule` (a revocation that takes effect later), `api` (whether this API accepts the token), `projects`,
    /// `policy` (what the owner may do now, and the organization's policy). A later version may add some.
    #[schema(example = "revocation")]
    name: &'static str,
    /// Whether the token passed the check.
    #[schema(example = false)]
    passed: bool,
    /// Whether a token that does not pass is refused. Other checks only inform.
    #[schema(example = true)]
    required: bool,
    /// What was found, for people. It can change between versions.
    #[schema(
        example = "revoked at 2026-01-02T03:04:05.678Z by admin@example.com: leaked in a build log; in effect since 2026-01-02T03:04:05.678Z"
    )]
    detail: String,
}

impl From<Inspection> for InspectionInfo {
    fn from(inspection: Inspection) -> Self {
        let check = |check: Check| InspectionCheck {
            name: check.name,
            passed: check.passed,
            required: check.required,
            detail: check.detail,
        };
        let record = inspection.record.as_ref();
        Self {
            verdict: inspection.verdict,
            token_info: record.map(|(record, status)| TokenInfo::of(record, *status)),
            checks: inspection.checks.into_iter().map(check).collect(),
        }
    }
}

/// Inspect a token
///
/// Returns why a token is accepted or refused: all checks of the token's text, and of its record. You may inspect the
/// tokens that you manage, with a session or the scope `tokens:read`; a token may inspect itself without a scope, a
/// session too. Any other token is 404, whether it is forged, unknown, somebody else's or another session. A token whose signature is invalid is explained
/// by the record with its `jti`, if you may see that. A text that is not a token is `malformed`. Neither the use nor the
/// refusals of the token are counted, and its text is not stored.
#[utoipa::path(post, path = "/api/v1/tokens/inspect", tag = "tokens", operation_id = "inspect_token",
    request_body = InspectForm,
    responses((status = OK, description = "The checks", body = InspectionInfo),
              (status = FORBIDDEN, description = "Only the token itself can be inspected: the request's token lacks the scope `tokens:read`, or is for another service", body = Problem, example = json!(["tokens:read", "wrong_audience"])),
              (status = UNPROCESSABLE_ENTITY, description = "Invalid fields, all of them, in the order of the fields", body = Violations,
                  examples(("invalid" = (value = json!(Violations::of_empty_body("token", NOTHING).without_input()))))),
              (status = NOT_FOUND, description = "No such token, or you may not see it", body = Problem)))]
pub(super) async fn inspect(
    caller: Caller<AnyToken>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), Inspect>,
) -> Result<Json<InspectionInfo>, Failure> {
    Ok(Json(app.authority.inspect(&caller, &body).await?.into()))
}
