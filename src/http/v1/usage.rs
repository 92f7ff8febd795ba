//! Reports of token use by verifiers: `/usage`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::http::caller::{Caller, UsageWrite};
use crate::http::domain_types::OneOrMany;
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::v1::render::Problem;
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::text::hidden;
use jeton_core::token::ReportedUse;
use jeton_store::rules::usage::UseReport;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(report))
}

/// A use of a token.
#[derive(Debug, Form)]
#[form(body, name = "ReportedUse", unknown = Forbidden, example = json!({"jti": "019b7c2e-6f1a-7000-8000-5f0c2a9d1e34", "at": "2026-01-02T03:04:05.678Z"}))]
pub(crate) struct UseForm {
    /// The token's `jti` claim.
    jti: Uuid,
    /// When the token was last used.
    at: Timestamp,
}

impl Request for ReportedUse {
    type Form = UseForm;

    fn parse(UseForm { jti, at }: UseForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        Ok(Self { jti, at })
    }
}

/// The tokens that a verifier saw since its previous report.
#[derive(Debug, Form)]
#[form(body, name = "UsageReport", unknown = Forbidden, example = json!({"uses": [{"jti": "019b7c2e-6f1a-7000-8000-5f0c2a9d1e34", "at": "2026-01-02T03:04:05.678Z"}], "audience": "https://api.example.com"}))]
pub(crate) struct ReportForm {
    /// The used tokens, at most 500, each once with its last use. May be empty, to confirm that the verifier reports.
    #[form(nested, length(max = 500))]
    uses: Vec<ReportedUse>,
    /// The audiences for which this report is complete: one as a string, or a list of at most 20. By naming an
    /// audience you declare that all services that accept tokens for it report at least once a day. Omit it if
    /// other services accept such tokens and do not report.
    audience: Option<OneOrMany>,
}

impl Request for UseReport {
    type Form = ReportForm;

    fn parse(form: ReportForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        let audiences = form
            .audience
            .map_or_else(Vec::new, |OneOrMany(audiences)| audiences);
        if audiences.len() > 20 {
            return Err(fields.refuse("audience", "`audience` must name at most 20 audiences"));
        }
        for (index, audience) in audiences.iter().enumerate() {
            let readable = !audience.is_empty() && audience.len() <= 2048;
            if !readable || hidden(audience).is_some() {
                let text = "an audience must be 1 to 2048 bytes without control or invisible characters";
                return Err(fields.refuse_element("audience", index, text));
            }
        }
        Ok(Self {
            uses: form.uses,
            audiences,
        })
    }
}

/// The result of a report.
#[derive(Debug, Serialize, ToSchema)]
struct ReportedUsage {
    /// The number of uses of API tokens that this authority created.
    #[schema(example = 1)]
    known: usize,
    /// The number of other uses, which were ignored.
    #[schema(example = 0)]
    unknown: usize,
}

/// Report token use
///
/// Updates `last_used_at` of tokens that a service verified offline, so that unused tokens can be found. Only a
/// token of the deployment with `usage:write` may report. `last_used_at` never moves back: an instant in the future
/// counts as now, and one before the token's creation as its creation.
#[utoipa::path(post, path = "/api/v1/usage", tag = "tokens", operation_id = "report_usage",
    request_body = ReportForm,
    responses((status = OK, description = "The report is recorded", body = ReportedUsage),
              (status = FORBIDDEN, description = "The caller may not do this", body = Problem, example = json!("deployment_token_needed:usage:write"))))]
async fn report(
    caller: Caller<UsageWrite>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), UseReport>,
) -> Result<Json<ReportedUsage>, Failure> {
    let reported = app.authority.report_use(&caller, body).await?;
    Ok(Json(ReportedUsage {
        known: reported.known,
        unknown: reported.unknown,
    }))
}
