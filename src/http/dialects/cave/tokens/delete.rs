//! Revokes tokens: `DELETE …/tokens/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::{PathToken, TeamTokenPath, TokenPath, find_token};
use crate::authority;
use crate::http::caller::{Caller, TokensWrite};
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::Input;
use crate::http::{App, no_content};

/// Delete a token of an organization
///
/// Revokes the token permanently. Only for admins of the organization.
#[utoipa::path(delete, path = "/organizations/{organization}/tokens/{id}", tag = "tokens", operation_id = "delete_organization_token",
    params(TokenPath),
    responses((status = NO_CONTENT, description = "The token is revoked"),
              (status = BAD_REQUEST, description = "`Cannot delete the last organization token.`", body = String, content_type = "text/plain")))]
pub(super) async fn of_organization(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TokenPath>,
) -> Result<Response, Refusal> {
    delete(&app, &caller, path.into()).await
}

/// Delete a token of a team
///
/// Revokes the token permanently. Only for admins of the team and of the organization.
#[utoipa::path(delete, path = "/organizations/{organization}/teams/{team}/tokens/{id}", tag = "tokens", operation_id = "delete_team_token",
    params(TeamTokenPath),
    responses((status = NO_CONTENT, description = "The token is revoked"),
              (status = BAD_REQUEST, description = "`Cannot delete the last team token.`", body = String, content_type = "text/plain")))]
pub(super) async fn of_team(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamTokenPath>,
) -> Result<Response, Refusal> {
    delete(&app, &caller, path.into()).await
}

async fn delete(app: &App, caller: &authority::Caller, which: PathToken) -> Result<Response, Refusal> {
    let record = find_token(app, caller, which).await?;
    app.authority.delete_tokens(caller, vec![record]).await?;
    Ok(no_content().into_response())
}
