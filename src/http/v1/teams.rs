//! Teams: `/organizations/{organization}/teams`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::authority::Change;
use crate::http::caller::{Caller, Once, OrganizationsRead, OrganizationsWrite};
use crate::http::domain_types;
use crate::http::input::{Form, Input};
use crate::http::v1::organizations::OrganizationPath;
use crate::http::v1::page::{Items, SliceForm};
use crate::http::v1::preview::{self, DryRunForm, PreviewInfo};
use crate::http::v1::render::Problem;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Name, OrganizationReference, Team, TeamReference};
use jeton_store::Slice;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change, remove))
}

/// The team.
#[derive(Debug, Form)]
#[form(path)]
pub(in crate::http) struct TeamPath {
    /// The organization's name or id.
    #[form(example = "default")]
    pub(in crate::http) organization: OrganizationReference,
    /// The team's name or id (`team-…`).
    #[form(example = "runners")]
    pub(in crate::http) team: TeamReference,
}

/// A team to create.
#[derive(Debug, Form)]
#[form(body, name = "CreateTeam", unknown = Forbidden)]
pub(crate) struct CreateForm {
    /// The name: 1 to 90 letters, digits and `.`, `_`, `*`, `-`, beginning with a letter or digit. Unique in the
    /// organization, ignoring case.
    #[form(example = "runners")]
    name: Name,
}

/// Changes to a team. An absent field stays unchanged.
#[derive(Debug, Form)]
#[form(body, name = "ChangeTeam", unknown = Forbidden)]
pub(crate) struct ChangeForm {
    /// The new name. Tokens stay valid, since they contain the team's id.
    #[form(given, example = "builders")]
    name: Option<Name>,
}

/// A team.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Team)]
struct TeamInfo {
    /// The id. It never changes.
    #[schema(example = "team-Hn5Lq9BcX1dF7gJk")]
    id: String,
    /// The name.
    #[schema(example = "runners")]
    name: String,
    /// The id of the team's organization.
    organization: Uuid,
    /// When the team was created.
    #[schema(value_type = domain_types::Instant)]
    created_at: Timestamp,
}

impl From<Team> for TeamInfo {
    fn from(team: Team) -> Self {
        let Team {
            id,
            name,
            organization,
            created_at,
        } = team;
        Self {
            id: id.to_string(),
            name: name.to_string(),
            organization: organization.0,
            created_at,
        }
    }
}

/// Create a team
///
/// Creates a team without members in the organization.
#[utoipa::path(post, path = "/api/v1/organizations/{organization}/teams", tag = "teams", operation_id = "create_team",
    params(OrganizationPath), request_body = CreateForm,
    responses((status = CREATED, description = "The team", body = TeamInfo,
                  headers(("Location" = String, description = "The URL of the resource"))),
              (status = CONFLICT, description = "Another team of the organization has this name", body = Problem, example = json!(["name_taken", "quota_reached:teams"])),
              (status = FORBIDDEN, description = "Only admins of the organization may do this", body = Problem, example = json!("forbidden"))))]
async fn create(
    caller: Caller<Once<OrganizationsWrite>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<OrganizationPath, (), CreateForm>,
) -> Result<impl IntoResponse, Failure> {
    let made = app
        .authority
        .create_team(&caller, &path.organization, &body.name)
        .await?;
    let location = format!("/api/v1/organizations/{}/teams/{}", made.organization, made.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(TeamInfo::from(made)),
    ))
}

/// List teams
///
/// Lists the teams of the organization, sorted by name.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/teams", tag = "teams", operation_id = "list_teams",
    params(OrganizationPath, SliceForm),
    responses((status = OK, description = "A page of teams, sorted by name", body = Items<TeamInfo>)))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<OrganizationPath, Slice>,
) -> Result<Json<Items<TeamInfo>>, Failure> {
    let found = app
        .authority
        .teams(&caller, &path.organization, query.clone())
        .await?;
    Ok(Json(Items::of(
        &query,
        found,
        |team| team.name.canonical(),
        TeamInfo::from,
    )))
}

/// Get a team
///
/// Visible to everyone who may see the organization.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/teams/{team}", tag = "teams", operation_id = "get_team",
    params(TeamPath),
    responses((status = OK, description = "The team", body = TeamInfo)))]
async fn show(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath>,
) -> Result<Json<TeamInfo>, Failure> {
    Ok(Json(
        app.authority
            .team(&caller, &path.organization, &path.team)
            .await?
            .into(),
    ))
}

/// Update a team
///
/// Changes `name`. The team's id, members and tokens stay unchanged.
#[utoipa::path(patch, path = "/api/v1/organizations/{organization}/teams/{team}", tag = "teams", operation_id = "change_team",
    params(TeamPath), request_body = ChangeForm,
    responses((status = OK, description = "The updated team", body = TeamInfo),
              (status = CONFLICT, description = "Another team of the organization has this name", body = Problem, example = json!("name_taken")),
              (status = FORBIDDEN, description = "Only admins of the organization may do this", body = Problem, example = json!("forbidden"))))]
async fn change(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TeamPath, (), ChangeForm>,
) -> Result<Json<TeamInfo>, Failure> {
    let TeamPath { organization, team } = path;
    let changed = app
        .authority
        .change_team(&caller, &organization, &team, body.name.as_ref())
        .await?;
    Ok(Json(changed.into()))
}

/// Delete a team
///
/// Revokes all of its tokens at once. Its members stay in the organization.
///
/// With `dry_run`, nothing is changed, and the response says which tokens would be revoked.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}/teams/{team}", tag = "teams", operation_id = "delete_team",
    params(TeamPath, DryRunForm),
    responses((status = OK, description = "What would be revoked, with `dry_run`", body = PreviewInfo),
              (status = NO_CONTENT, description = "The team is deleted"),
              (status = FORBIDDEN, description = "Only admins of the organization may do this", body = Problem, example = json!("forbidden"))))]
async fn remove(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<TeamPath, DryRunForm>,
) -> Result<Response, Failure> {
    if query.dry_run {
        return preview::answer(&app, &caller, Change::RemoveTeam(&path.organization, &path.team)).await;
    }
    app.authority
        .remove_team(&caller, &path.organization, &path.team)
        .await?;
    Ok(no_content().into_response())
}
