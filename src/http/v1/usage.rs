//! `/usage`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::authority::SeenTokens;
use crate::http::caller::{Caller, UsageWrite};
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::nouns::OneOrMany;
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::token::ReportedUse;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(report))
}

/// That a token was used.
#[derive(Debug, Form)]
#[form(body, name = "ReportedUse", unknown = Forbidden, example = json!({"jti": "019b7c2e-6f1a-7000-8000-5f0c2a9d1e34", "at": "2026-01-02T03:04:05.678Z"}))]
pub(crate) struct UseForm {
    /// The token's `jti` claim.
    jti: Uuid,
    /// When it was last used.
    at: Timestamp,
}

impl Request for ReportedUse {
    type Form = UseForm;

    fn parse(UseForm { jti, at }: UseForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        Ok(Self { jti, at })
    }
}

/// What a verifier saw since its report before.
#[derive(Debug, Form)]
#[form(body, name = "UsageReport", unknown = Forbidden, example = json!({"uses": [{"jti": "019b7c2e-6f1a-7000-8000-5f0c2a9d1e34", "at": "2026-01-02T03:04:05.678Z"}], "audience": "https://api.example.com"}))]
pub(crate) struct ReportForm {
    /// Which tokens were used. It may be empty: that too says that somebody reports.
    #[form(nested, length(max = 500))]
    uses: Vec<ReportedUse>,
    /// The audiences, one as a string or several, of which this is all that was seen. With it you
    /// promise that whoever accepts tokens for this audience reports, at least once a day. Leave it out
    /// where others accept them too and do not report.
    audience: Option<OneOrMany>,
}

impl Request for SeenTokens {
    type Form = ReportForm;

    fn parse(form: ReportForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        let audiences = form
            .audience
            .map_or_else(Vec::new, |OneOrMany(audiences)| audiences);
        if audiences.len() > 20 {
            return Err(fields.refuse("audience", "name at most 20 audiences"));
        }
        for (index, audience) in audiences.iter().enumerate() {
            let readable = !audience.is_empty() && audience.len() <= 2048;
            if !readable || audience.chars().any(char::is_control) {
                let text = "an audience is a text of at most 2048 bytes without control characters";
                return Err(fields.refuse_element("audience", index, text));
            }
        }
        Ok(Self {
            uses: form.uses,
            audiences,
        })
    }
}

/// What became of a report.
#[derive(Debug, Serialize, ToSchema)]
struct ReportedUsage {
    /// So many were of API tokens that this authority made.
    #[schema(example = 1)]
    known: usize,
    /// So many were not, and were passed over.
    #[schema(example = 0)]
    unknown: usize,
}

/// Report use
///
/// For services that verify tokens by themselves: what they see is seen by nobody else. It moves
/// `last_used_at`, which is how unused tokens are found. Each token once, with its last use, is enough.
/// An instant that lies ahead counts as now, one before the token was made as that of its making, and
/// none is moved back. Only a token of the deployment may report.
#[utoipa::path(post, path = "/api/v1/usage", tag = "tokens", operation_id = "report_usage",
    request_body = ReportForm,
    responses((status = OK, description = "It is noted", body = ReportedUsage)))]
async fn report(
    caller: Caller<UsageWrite>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), SeenTokens>,
) -> Result<Json<ReportedUsage>, Failure> {
    let reported = app.authority.report_use(&caller, body).await?;
    Ok(Json(ReportedUsage {
        known: reported.known,
        unknown: reported.unknown,
    }))
}
