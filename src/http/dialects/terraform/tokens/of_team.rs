//! Tokens of a team: `/teams/{team_id}/authentication-token`, of which a team has one, and
//! `/teams/{team_id}/authentication-tokens`, of which it can have several.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;

use crate::authority::Issue;
use crate::http::caller::{Caller, Once, TokensRead, TokensWrite};
use crate::http::dialects::terraform::data::{Data, NoData};
use crate::http::dialects::terraform::document::{Document, JsonApi};
use crate::http::dialects::terraform::path::TeamPath;
use crate::http::dialects::terraform::render::ErrorDocument;
use crate::http::dialects::terraform::tokens::owner::Owner;
use crate::http::dialects::terraform::tokens::resource::TokenResource;
use crate::http::dialects::terraform::tokens::slot::Kind;
use crate::http::dialects::terraform::tokens::{NewToken, NewTokenAttributes, create_token};
use crate::http::input::Input;
use crate::http::{App, Failure, no_content};

/// Get the token of a team
///
/// Returns the token without a description.
#[utoipa::path(get, path = "/api/v2/teams/{team_id}/authentication-token", tag = "team tokens",
    operation_id = "show_team_token", params(TeamPath),
    responses((status = OK, description = "The token, without its secret", body = Document<TokenResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn show(
    caller: Caller<TokensRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath>,
) -> Result<JsonApi<Document<TokenResource>>, Failure> {
    let owner = team(&app, &caller, &path).await?;
    let record = owner.token(&app.authority, &caller, Kind::Authentication).await?;
    Ok(JsonApi((&record).into()))
}

/// Create the token of a team
///
/// Revokes the previous token without a description, if any, in the same transaction. Tokens with a
/// description stay valid.
#[utoipa::path(post, path = "/api/v2/teams/{team_id}/authentication-token", tag = "team tokens",
    operation_id = "replace_team_token", params(TeamPath),
    request_body(content = Option<NewToken>, content_type = "application/vnd.api+json"),
    responses((status = CREATED, description = "The token with its secret, shown only once", body = Document<TokenResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn replace(
    caller: Caller<Once<TokensWrite>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TeamPath, (), Data<NewTokenAttributes>>,
) -> Result<impl IntoResponse, Failure> {
    let owner = team(&app, &caller, &path).await?;
    let order = owner.replace(&body.data.attributes, Kind::Authentication);
    create_token(&app.authority, &caller, &order).await
}

/// Delete the token of a team
///
/// Revokes the token without a description permanently.
#[utoipa::path(delete, path = "/api/v2/teams/{team_id}/authentication-token", tag = "team tokens",
    operation_id = "remove_team_token", params(TeamPath),
    responses((status = NO_CONTENT, description = "The token is revoked"),
              (status = CONFLICT, description = "It is the team's last active token, and the organization's policy sets `keep_last_token`",
                  body = ErrorDocument, content_type = "application/vnd.api+json", example = json!("last_token"))))]
pub(super) async fn remove(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath, (), NoData>,
) -> Result<impl IntoResponse, Failure> {
    let owner = team(&app, &caller, &path).await?;
    owner
        .revoke(&app.authority, &caller, Kind::Authentication)
        .await?;
    Ok(no_content())
}

/// Create a token of a team with a description
///
/// The team's other tokens stay valid. The description must be unique among the team's active tokens.
#[utoipa::path(post, path = "/api/v2/teams/{team_id}/authentication-tokens", tag = "team tokens",
    operation_id = "create_team_token", params(TeamPath),
    request_body(content = Option<NewToken>, content_type = "application/vnd.api+json"),
    responses((status = CREATED, description = "The token with its secret, shown only once", body = Document<TokenResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn create(
    caller: Caller<Once<TokensWrite>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TeamPath, (), Data<NewTokenAttributes>>,
) -> Result<impl IntoResponse, Failure> {
    let owner = team(&app, &caller, &path).await?;
    let order = Issue {
        unique_name: true,
        ..owner.issue(&body.data.attributes)
    };
    create_token(&app.authority, &caller, &order).await
}

async fn team<P>(app: &App, caller: &Caller<P>, path: &TeamPath) -> Result<Owner, Failure> {
    let (organization, team) = path.references(&app.authority, caller).await?;
    Ok(Owner::Team(organization, team))
}
