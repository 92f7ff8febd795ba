//! Lists tokens: `GET …/tokens`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::{PathOwner, TokenInfo, active_tokens};
use crate::authority;
use crate::http::caller::{Caller, TokensRead};
use crate::http::dialects::cave::JSON;
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::Input;
use crate::http::v1::{OrganizationPath, TeamPath};
use crate::http::{App, all_pages, streamed};

/// List tokens of an organization
///
/// Lists the active tokens, oldest first. Only for admins of the organization.
#[utoipa::path(get, path = "/organizations/{organization}/tokens", tag = "tokens", operation_id = "list_organization_tokens",
    params(OrganizationPath),
    responses((status = OK, description = "The tokens", body = Vec<TokenInfo>)))]
pub(super) async fn of_organization(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Response, Refusal> {
    list(app, &caller, path.into()).await
}

/// List tokens of a team
///
/// Lists the active tokens, oldest first. Only for admins of the team and of the organization.
#[utoipa::path(get, path = "/organizations/{organization}/teams/{team}/tokens", tag = "tokens", operation_id = "list_team_tokens",
    params(TeamPath),
    responses((status = OK, description = "The tokens", body = Vec<TokenInfo>)))]
pub(super) async fn of_team(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath>,
) -> Result<Response, Refusal> {
    list(app, &caller, path.into()).await
}

async fn list(app: Arc<App>, caller: &authority::Caller, place: PathOwner) -> Result<Response, Refusal> {
    let PathOwner { organization, team } = place;
    let owner = app.authority.owner(caller, &organization, team.as_ref()).await?;
    let wanted = active_tokens(organization, owner.kind(), team);
    let caller = caller.clone();
    let response = streamed::respond(JSON, |mut out| async move {
        out.raw("[");
        let tokens = all_pages::Tokens::new(&app.authority, &caller, wanted);
        tokens.write(&mut out, TokenInfo::of).await?;
        out.raw("]");
        Ok(out)
    });
    Ok(response.await?)
}
