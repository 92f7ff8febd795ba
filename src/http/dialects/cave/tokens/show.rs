//! Returns a token's metadata: `GET …/tokens/{id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::{TeamTokenPath, TokenInfo, TokenPath, find_token};
use crate::http::App;
use crate::http::caller::{Caller, TokensRead};
use crate::http::dialects::cave::json;
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::Input;

/// Get a token of an organization
///
/// Returns the metadata of a token, never the token itself. Only for admins of the organization.
#[utoipa::path(get, path = "/organizations/{organization}/tokens/{id}", tag = "tokens", operation_id = "get_organization_token",
    params(TokenPath),
    responses((status = OK, description = "The metadata of the token", body = TokenInfo)))]
pub(super) async fn of_organization(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TokenPath>,
) -> Result<Response, Refusal> {
    let record = find_token(&app, &caller, path.into()).await?;
    Ok(json(TokenInfo::of(&record)))
}

/// Get a token of a team
///
/// Returns the metadata of a token, never the token itself. Only for admins of the team and of the
/// organization.
#[utoipa::path(get, path = "/organizations/{organization}/teams/{team}/tokens/{id}", tag = "tokens", operation_id = "get_team_token",
    params(TeamTokenPath),
    responses((status = OK, description = "The metadata of the token", body = TokenInfo)))]
pub(super) async fn of_team(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamTokenPath>,
) -> Result<Response, Refusal> {
    let record = find_token(&app, &caller, path.into()).await?;
    Ok(json(TokenInfo::of(&record)))
}
