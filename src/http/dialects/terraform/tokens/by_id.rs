//! `/authentication-tokens/{token_id}`: a token of whichever kind.

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

/// Show a token
///
/// Of a team, an organization or a person. One that was revoked is not there any more; one that has
/// expired is.
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

/// End a token
///
/// Of a team, an organization or a person. From the answer on it is refused.
#[utoipa::path(delete, path = "/api/v2/authentication-tokens/{token_id}", tag = "tokens",
    operation_id = "remove_token", params(TokenPath),
    responses((status = NO_CONTENT, description = "It is refused from now on"),
              (status = CONFLICT, description = "It is its owner's last active token, and the organization keeps that",
                  body = ErrorDocument, content_type = "application/vnd.api+json")))]
pub(super) async fn remove(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TokenPath, (), NoData>,
) -> Result<impl IntoResponse, Failure> {
    let record = app.authority.token(&caller, path.reference()?).await?;
    app.authority.delete_tokens(&caller, vec![record]).await?;
    Ok(no_content())
}
