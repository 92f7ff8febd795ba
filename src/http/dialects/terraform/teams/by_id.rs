//! A team: `/teams/{team_id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;

use crate::http::caller::{Caller, OrganizationsRead, OrganizationsWrite};
use crate::http::dialects::terraform::data::NoData;
use crate::http::dialects::terraform::document::{Document, Including, JsonApi};
use crate::http::dialects::terraform::path::TeamPath;
use crate::http::dialects::terraform::teams::resource::TeamResource;
use crate::http::dialects::terraform::teams::{ChangedTeam, IncludeForm, Related};
use crate::http::input::Input;
use crate::http::{App, Failure, no_content};

/// Get a team
#[utoipa::path(get, path = "/api/v2/teams/{team_id}", tag = "teams", operation_id = "show_team",
    params(TeamPath, IncludeForm),
    responses((status = OK, description = "The team", body = Including<Document<TeamResource>, Related>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn show(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<TeamPath, IncludeForm>,
) -> Result<JsonApi<Including<Document<TeamResource>, Related>>, Failure> {
    let team = app.authority.team_with_id(&caller, &path.id()?).await?;
    let (data, members) = TeamResource::of(&app, &caller, team).await?;
    Ok(JsonApi(query.document(Document { data }, members)))
}

/// Update a team
///
/// Changes the name. The team's id, members and tokens stay unchanged.
#[utoipa::path(patch, path = "/api/v2/teams/{team_id}", tag = "teams", operation_id = "change_team",
    params(TeamPath), request_body(content = Option<ChangedTeam>, content_type = "application/vnd.api+json",
        example = json!({"data": {"type": "teams", "attributes": {"name": "runners"}}})),
    responses((status = OK, description = "The team", body = Document<TeamResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn change(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TeamPath, (), ChangedTeam>,
) -> Result<JsonApi<Document<TeamResource>>, Failure> {
    let (organization, team) = path.references(&app.authority, &caller).await?;
    let name = body.data.attributes.name;
    let changed = app
        .authority
        .change_team(&caller, &organization, &team, name.as_ref())
        .await?;
    let (data, _) = TeamResource::of(&app, &caller, changed).await?;
    Ok(JsonApi(Document { data }))
}

/// Delete a team
///
/// Revokes all of its tokens at once. Its members stay in the organization.
#[utoipa::path(delete, path = "/api/v2/teams/{team_id}", tag = "teams", operation_id = "remove_team", params(TeamPath),
    responses((status = NO_CONTENT, description = "The team is deleted")))]
pub(super) async fn remove(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath, (), NoData>,
) -> Result<impl IntoResponse, Failure> {
    let (organization, team) = path.references(&app.authority, &caller).await?;
    app.authority.remove_team(&caller, &organization, &team).await?;
    Ok(no_content())
}
