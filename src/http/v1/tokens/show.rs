//! `GET` and `PATCH /tokens/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use crate::http::caller::{Caller, TokensRead, TokensWrite};
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::v1::tokens::{TokenInfo, TokenPath};
use crate::http::{App, Failure};
use jeton_store::Description;

/// Changes to what people read about a token. What is absent stays as it is.
#[derive(Debug, Form)]
#[form(body, name = "DescribeToken", unknown = Forbidden, example = json!({"name": "ci", "description": "November 2026"}))]
pub(crate) struct DescribeForm {
    /// A new name.
    #[form(given, length(min = 1, max = 255))]
    name: Option<String>,
    /// A new description; `null` takes it away.
    #[form(length(max = 2000))]
    description: Option<Option<String>>,
}

impl Request for Description {
    type Form = DescribeForm;

    fn parse(form: DescribeForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        Ok(Self {
            name: form.name,
            description: form.description,
        })
    }
}

/// Show a token
///
/// Its metadata; the token itself is never shown again.
#[utoipa::path(get, path = "/api/v1/tokens/{id}", tag = "tokens", operation_id = "get_token", params(TokenPath),
    responses((status = OK, description = "Its metadata", body = TokenInfo)))]
pub(super) async fn show(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TokenPath>,
) -> Result<Json<TokenInfo>, Failure> {
    let record = app.authority.token(&caller, path.reference()?).await?;
    Ok(Json(TokenInfo::of(&record, app.authority.status(&record))))
}

/// Describe a token
///
/// Changes its name and description. What it can do cannot be changed: revoke it and issue another.
#[utoipa::path(patch, path = "/api/v1/tokens/{id}", tag = "tokens", operation_id = "describe_token",
    params(TokenPath), request_body = DescribeForm,
    responses((status = OK, description = "Its metadata as they are now", body = TokenInfo)))]
pub(super) async fn describe(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TokenPath, (), Description>,
) -> Result<Json<TokenInfo>, Failure> {
    let record = app.authority.describe(&caller, path.reference()?, &body).await?;
    Ok(Json(TokenInfo::of(&record, app.authority.status(&record))))
}
