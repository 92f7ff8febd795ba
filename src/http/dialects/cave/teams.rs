//! Teams: `/organizations/{organization}/teams`.

use std::collections::HashMap;
use std::sync::Arc;

use crate::http::routes::routes;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use super::input::{Body, CaveInput};
use super::render::Refusal;
use super::tokens::{self, PathOwner, TokenInfo};
use super::{JSON, json, url_below};
use crate::authority::{self, Wanted};
use crate::http::caller::{Caller, Once, OrganizationsRead, OrganizationsWrite, TokensRead, TokensWrite};
use crate::http::input::{Form, Input};
use crate::http::streamed::{self, Interrupted, Streamed};
use crate::http::v1::{OrganizationPath, TeamPath};
use crate::http::{App, all_pages, no_content};
use jeton_core::directory::{Name, OrganizationReference, Team, TeamId, TeamReference};
use jeton_core::token::{Status, WantedStatus};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, delete))
}

/// A team to create.
#[derive(Debug, Form)]
#[form(body, name = "CreateTeam")]
struct CreateForm {
    /// The name: 1 to 90 letters, digits and `.`, `_`, `*`, `-`, beginning with a letter or digit.
    /// Unique in the organization, ignoring case.
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
    /// The team's active tokens. Empty unless the caller manages them.
    tokens: Vec<TokenInfo>,
}

/// How many teams' tokens are read in one query, which merges an index range per team.
const TEAMS_AT_ONCE: usize = 100;

impl TeamInfo {
    /// Writes the teams, each with its active tokens if the caller manages them.
    async fn write(
        out: &mut Streamed,
        app: &App,
        caller: &authority::Caller,
        organization: &OrganizationReference,
        teams: &[Team],
    ) -> Result<(), Interrupted> {
        let tokens_of = |teams: &[Team]| {
            let wanted = Wanted {
                organization: Some(organization.clone()),
                teams: Some(teams.iter().map(|team| team.id.clone()).collect()),
                status: Some(WantedStatus::Only(Status::Active)),
                ..Wanted::default()
            };
            all_pages::Tokens::new(&app.authority, caller, wanted)
        };
        let mut count = 0;
        for teams in teams.chunks(TEAMS_AT_ONCE) {
            let mut few = tokens_of(teams);
            let page = few.page().await?;
            let mut tokens: HashMap<TeamId, Vec<TokenInfo>> = HashMap::new();
            if !few.goes_on() {
                for record in page {
                    if let Some(team) = record.token.owner.team() {
                        let tokens = tokens.entry(team.clone()).or_default();
                        tokens.push(TokenInfo::of(&record));
                    }
                }
            }
            for team in teams {
                out.item(&mut count);
                if few.goes_on() {
                    out.open(&Self::of(team, Vec::new()))?;
                    let many = tokens_of(std::slice::from_ref(team));
                    many.write(out, TokenInfo::of).await?;
                    out.raw("]}");
                } else {
                    out.value(&Self::of(team, tokens.remove(&team.id).unwrap_or_default()))?;
                }
            }
            out.send().await?;
        }
        Ok(())
    }

    fn of(team: &Team, tokens: Vec<TokenInfo>) -> Self {
        let name = team.name.to_string();
        Self { name, tokens }
    }
}

/// List teams
///
/// Lists the teams of the organization, sorted by name. For all members of the organization; a team's
/// tokens are visible to users who manage them.
#[utoipa::path(get, path = "/organizations/{organization}/teams", tag = "teams", operation_id = "list_teams",
    params(OrganizationPath),
    responses((status = OK, description = "The teams", body = Vec<TeamInfo>)))]
async fn list(
    caller: Caller<(OrganizationsRead, TokensRead)>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Response, Refusal> {
    let OrganizationPath { organization } = &path;
    let part = |slice| app.authority.teams(&caller, organization, slice);
    let teams = all_pages::slices(part, |team| team.name.canonical()).await?;
    let (caller, organization) = (authority::Caller::clone(&caller), organization.clone());
    let response = streamed::respond(JSON, |mut out| async move {
        out.raw("[");
        TeamInfo::write(&mut out, &app, &caller, &organization, &teams).await?;
        out.raw("]");
        Ok(out)
    });
    Ok(response.await?)
}

/// Create a team
///
/// The team gets a token with the description `default`, which only this response shows. Only for
/// admins of the organization.
#[utoipa::path(post, path = "/organizations/{organization}/teams", tag = "teams", operation_id = "create_team",
    params(OrganizationPath), request_body = CreateForm,
    responses((status = CREATED, description = "The team, with its first token, shown only once", body = TeamInfo,
                  headers(("Location" = String, description = "The URL of the resource"))),
              (status = BAD_REQUEST, description = "`Cannot parse JSON as Team.`, `Invalid team name X.`, or the request cannot be read", body = String, content_type = "text/plain",
                  examples(("invalid" = (value = json!(CreateForm::UNREADABLE))))),
              (status = CONFLICT, description = "`Team 'X' already exists.`", body = String, content_type = "text/plain", example = json!("Team 'runners' already exists."))))]
async fn create(
    caller: Caller<Once<(OrganizationsWrite, TokensWrite)>>,
    State(app): State<Arc<App>>,
    uri: Uri,
    CaveInput { path, body }: CaveInput<OrganizationPath, CreateForm>,
) -> Result<Response, Refusal> {
    let CreateForm { name } = body;
    let named = name.parse::<Name>();
    let valid = named.map_err(|_| Refusal::bad_request(format!("Invalid team name {name}.")))?;
    let OrganizationPath { organization } = path;
    let made = app.authority.create_team(&caller, &organization, &valid).await;
    let team = made.map_err(|error| Refusal::of_creation(error, "Team", &name))?;
    let place = PathOwner {
        organization: team.organization.into(),
        team: Some(TeamReference::Id(team.id.clone())),
    };
    let token = tokens::issue(&app, &caller.without_key(), place, "default".into()).await?;
    let location = [(header::LOCATION, url_below(&app, &uri, &team.name))];
    let body = json(TeamInfo::of(&team, vec![TokenInfo::with_secret(&token)]));
    Ok((StatusCode::CREATED, location, body).into_response())
}

/// Get a team
///
/// For all members of the organization; the team's tokens are visible to users who manage them.
#[utoipa::path(get, path = "/organizations/{organization}/teams/{team}", tag = "teams", operation_id = "get_team",
    params(TeamPath),
    responses((status = OK, description = "The team", body = TeamInfo)))]
async fn show(
    caller: Caller<(OrganizationsRead, TokensRead)>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath>,
) -> Result<Response, Refusal> {
    let TeamPath { organization, team } = path;
    let found = app.authority.team(&caller, &organization, &team).await?;
    let caller = authority::Caller::clone(&caller);
    let response = streamed::respond(JSON, |mut out| async move {
        TeamInfo::write(&mut out, &app, &caller, &organization, &[found]).await?;
        Ok(out)
    });
    Ok(response.await?)
}

/// Delete a team
///
/// Revokes all of its tokens at once. Only for admins of the organization.
#[utoipa::path(delete, path = "/organizations/{organization}/teams/{team}", tag = "teams", operation_id = "delete_team",
    params(TeamPath),
    responses((status = NO_CONTENT, description = "The team is deleted")))]
async fn delete(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath>,
) -> Result<Response, Refusal> {
    let TeamPath { organization, team } = &path;
    app.authority.remove_team(&caller, organization, team).await?;
    Ok(no_content().into_response())
}
