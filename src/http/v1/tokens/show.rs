//! A single token: `GET` and `PATCH /tokens/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::caller::{Caller, TokensRead, TokensWrite};
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::v1::tokens::list::ReportingInfo;
use crate::http::v1::tokens::{TokenInfo, TokenPath};
use crate::http::{App, Failure};
use jeton_core::text::{Line, Prose};
use jeton_store::Description;

/// Changes to a token's name and description. An absent field stays unchanged.
#[derive(Debug, Form)]
#[form(body, name = "DescribeToken", unknown = Forbidden, example = json!({"name": "ci", "description": "November 2026"}))]
pub(crate) struct DescribeForm {
    /// The new display name, 1 to 255 characters.
    #[form(given, length(min = 1, max = 255))]
    name: Option<Line>,
    /// The new description, at most 2000 characters; `null` removes it.
    #[form(length(max = 2000))]
    description: Option<Option<Prose>>,
}

impl Request for Description {
    type Form = DescribeForm;

    fn parse(form: DescribeForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        Ok(Self {
            name: form.name.map(Into::into),
            description: form.description.map(|given| given.map(Into::into)),
        })
    }
}

/// A token, and what is known of its use.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Token)]
pub(super) struct ShownToken {
    #[serde(flatten)]
    token: TokenInfo,
    /// Those of its audiences whose verifiers have reported use. With another audience the token can be in use
    /// although `last_used_at` does not show it.
    reporting_audiences: Vec<ReportingInfo>,
}

/// Get a token
///
/// Returns the metadata of a token, never the token itself.
#[utoipa::path(get, path = "/api/v1/tokens/{id}", tag = "tokens", operation_id = "get_token", params(TokenPath),
    responses((status = OK, description = "The metadata of the token", body = ShownToken)))]
pub(super) async fn show(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TokenPath>,
) -> Result<Json<ShownToken>, Failure> {
    let record = app.authority.token(&caller, path.reference()?).await?;
    let reporting = app.authority.reporting_audiences(&record).await?;
    Ok(Json(ShownToken {
        token: TokenInfo::of(&record, app.authority.status(&record)),
        reporting_audiences: reporting.into_iter().map(ReportingInfo::from).collect(),
    }))
}

/// Update a token
///
/// Changes `name` and `description`. Rights and lifetime cannot be changed: revoke the token and create another.
#[utoipa::path(patch, path = "/api/v1/tokens/{id}", tag = "tokens", operation_id = "describe_token",
    params(TokenPath), request_body = DescribeForm,
    responses((status = OK, description = "The updated metadata of the token", body = TokenInfo)))]
pub(super) async fn describe(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TokenPath, (), Description>,
) -> Result<Json<TokenInfo>, Failure> {
    let record = app.authority.describe(&caller, path.reference()?, &body).await?;
    Ok(Json(TokenInfo::of(&record, app.authority.status(&record))))
}
