//! A token of any kind: `/authentication-tokens/{token_id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;

use crate::authority::Error;
use crate::http::caller::{Caller, TokensRead, TokensWrite};
use crate::http::dialects::terraform::data::NoData;
use crate::http::dialects::terraform::document::{Document, JsonApi};
use crate::http::dialects::terraform::path::TokenPath;
use crate::http::dialects::terraform::render::ErrorDocument;
use crate::http::dialects::terraform::tokens::resource::TokenResource;
use crate::http::input::Input;
use crate::http::{App, Failure, no_content};
use jeton_core::token::Status;

/// Get a token
///
/// Returns a token of a team, an organization or a user. Revoked tokens are not found; expired ones
/// are.
#[utoipa::path(get, path = "/api/v2/authentication-tokens/{token_id}", tag = "tokens",
    operation_id = "show_token", params(TokenPath),
    responses((status = OK, description = "The token, without its secret", body = Document<TokenResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn show(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TokenPath>,
) -> Result<JsonApi<Document<TokenResource>>, Failure> {
    let record = app.authority.token(&caller, path.reference()?).await?;
    match app.authority.status(&record) {
        Status::Active | Status::Expired => Ok(JsonApi((&record).into())),
        Status::Revoked => Err(Error::Absent.into()),
    }
}

/// Delete a token
///
/// Revokes a token of a team, an organization or a user permanently.
#[utoipa::path(delete, path = "/api/v2/authentication-tokens/{token_id}", tag = "tokens",
    operation_id = "remove_token", params(TokenPath),
    responses((status = NO_CONTENT, description = "The token is revoked"),
              (status = CONFLICT, description = "It is the owner's last active token, and the organization's policy sets `keep_last_token`",
                  body = ErrorDocument, content_type = "application/vnd.api+json", example = json!("last_token"))))]
pub(super) async fn remove(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TokenPath, (), NoData>,
) -> Result<impl IntoResponse, Failure> {
    let record = app.authority.token(&caller, path.reference()?).await?;
    app.authority.delete_tokens(&caller, vec![record]).await?;
    Ok(no_content())
}
