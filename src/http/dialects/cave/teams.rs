//! `/organizations/{organization}/teams`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::render::Refusal;
use super::sent::{Body, Sent};
use super::tokens::{self, Place, TokenInfo};
use super::{below, json};
use crate::http::caller::{Caller, OrganizationsRead, OrganizationsWrite, TokensRead, TokensWrite};
use crate::http::input::{Form, Input};
use crate::http::v1::{OrganizationPath, TeamPath};
use crate::http::{App, no_content, whole};
use jeton_core::directory::{Name, Team, TeamReference};
use jeton_core::token::{OwnerKind, Record};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, delete))
}

/// A new team.
#[derive(Debug, Form)]
#[form(body, name = "CreateTeam")]
struct CreateForm {
    /// Up to 90 letters, digits and `.`, `_`, `*`, `-`, the first one a letter or digit; unique in the
    /// organization whatever its case.
    #[form(example = "runners")]
    name: String,
}

impl Body for CreateForm {
    const UNREADABLE: &'static str = "Cannot parse JSON as Team.";
}

/// A team.
#[derive(Serialize, ToSchema)]
#[schema(as = Team)]
struct TeamInfo {
    #[schema(example = "runners")]
    name: String,
    /// Its active tokens, for whoever manages them.
    tokens: Vec<TokenInfo>,
}

impl TeamInfo {
    /// A team, with those of the tokens that are its own.
    fn of(team: &Team, tokens: &[Record]) -> Self {
        let own = |record: &&Record| record.token.owner.team() == Some(&team.id);
        Self {
            name: team.name.to_string(),
            tokens: tokens.iter().filter(own).map(TokenInfo::of).collect(),
        }
    }
}

/// List teams
///
/// All of the organization's, in the order of their names. For everybody who belongs to it; a team's tokens
/// for those who manage them only.
#[utoipa::path(get, path = "/organizations/{organization}/teams", tag = "teams", operation_id = "list_teams",
    params(OrganizationPath),
    responses((status = OK, description = "Its teams", body = Vec<TeamInfo>)))]
async fn list(
    caller: Caller<(OrganizationsRead, TokensRead)>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Response, Refusal> {
    let OrganizationPath { organization } = &path;
    let part = |slice| app.authority.teams(&caller, organization, slice);
    let teams = whole::slices(part, |team| team.name.canonical()).await?;
    let tokens = tokens::managed(&app, &caller, organization, OwnerKind::Team, None).await?;
    let teams = teams.iter().map(|team| TeamInfo::of(team, &tokens));
    Ok(json(teams.collect::<Vec<_>>()))
}

/// Make a team
///
/// For admins of the organization. The team gets a token with the description `default`, which this answer
/// and no other shows.
#[utoipa::path(post, path = "/organizations/{organization}/teams", tag = "teams", operation_id = "create_team",
    params(OrganizationPath), request_body = CreateForm,
    responses((status = CREATED, description = "The team, with its first token this once", body = TeamInfo,
                  headers(("Location" = String, description = "Its address"))),
              (status = BAD_REQUEST, description = "`Cannot parse JSON as Team.`, `Invalid team name X.`, or the request cannot be read", body = String, content_type = "text/plain"),
              (status = CONFLICT, description = "`Team 'X' already exists.`", body = String, content_type = "text/plain")))]
async fn create(
    caller: Caller<(OrganizationsWrite, TokensWrite)>,
    State(app): State<Arc<App>>,
    uri: Uri,
    Sent { path, body }: Sent<OrganizationPath, CreateForm>,
) -> Result<Response, Refusal> {
    let CreateForm { name } = body;
    let named = name.parse::<Name>();
    let valid = named.map_err(|_| Refusal::wrong(format!("Invalid team name {name}.")))?;
    let OrganizationPath { organization } = path;
    let made = app.authority.create_team(&caller, &organization, &valid).await;
    let team = made.map_err(|error| Refusal::of_making(error, "Team", &name))?;
    let place = Place {
        organization: team.organization.into(),
        team: Some(TeamReference::Id(team.id)),
    };
    let token = tokens::issue(&app, &caller, place, "default".to_owned()).await?;
    let location = [(header::LOCATION, below(&app, &uri, &team.name))];
    let body = json(TeamInfo {
        name: team.name.to_string(),
        tokens: vec![TokenInfo::made(&token)],
    });
    Ok((StatusCode::CREATED, location, body).into_response())
}

/// Show a team
///
/// For everybody who belongs to the organization; the team's tokens for those who manage them only.
#[utoipa::path(get, path = "/organizations/{organization}/teams/{team}", tag = "teams", operation_id = "get_team",
    params(TeamPath),
    responses((status = OK, description = "The team", body = TeamInfo)))]
async fn show(
    caller: Caller<(OrganizationsRead, TokensRead)>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath>,
) -> Result<Response, Refusal> {
    let TeamPath { organization, team } = &path;
    let found = app.authority.team(&caller, organization, team).await?;
    let tokens = tokens::managed(&app, &caller, organization, OwnerKind::Team, Some(team)).await?;
    Ok(json(TeamInfo::of(&found, &tokens)))
}

/// Delete a team
///
/// For admins of the organization. From the answer on all of the team's tokens are refused.
#[utoipa::path(delete, path = "/organizations/{organization}/teams/{team}", tag = "teams", operation_id = "delete_team",
    params(TeamPath),
    responses((status = NO_CONTENT, description = "It is gone")))]
async fn delete(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath>,
) -> Result<Response, Refusal> {
    let TeamPath { organization, team } = &path;
    app.authority.remove_team(&caller, organization, team).await?;
    Ok(no_content().into_response())
}
