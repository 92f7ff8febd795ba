//! Memberships of a team: `/teams/{team_id}/relationships/organization-memberships`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;

use crate::authority::{self, Error};
use crate::http::caller::{Caller, LoggedIn, Once, OrganizationsRead};
use crate::http::dialects::terraform::data::Identifiers;
use crate::http::dialects::terraform::document::{JsonApi, ToMany};
use crate::http::dialects::terraform::organization_memberships::MembershipId;
use crate::http::dialects::terraform::path::TeamPath;
use crate::http::dialects::terraform::teams::resource::{self, TeamResource};
use crate::http::input::Input;
use crate::http::{App, Failure, no_content};
use jeton_core::directory::{Email, Team, TeamReference};
use jeton_store::PersonReference;

/// A list of memberships.
type Memberships = Identifiers<String>;

/// List memberships of a team
///
/// Lists the memberships of the team's members and of the addresses invited to it, sorted by e-mail address.
#[utoipa::path(get, path = "/api/v2/teams/{team_id}/relationships/organization-memberships", tag = "teams",
    operation_id = "list_team_memberships", params(TeamPath),
    responses((status = OK, description = "The memberships", body = ToMany,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath>,
) -> Result<JsonApi<ToMany>, Failure> {
    let team = app.authority.team_with_id(&caller, &path.id()?).await?;
    let (_, members) = TeamResource::of(&app, &caller, team).await?;
    Ok(JsonApi(resource::memberships(&members)))
}

/// Add memberships to a team
///
/// Adds members of the organization to the team. An admin of the organization also adds its invited addresses, which
/// are invited to the team. Members of the team keep their role. All are added, or none. Needs a session.
#[utoipa::path(post, path = "/api/v2/teams/{team_id}/relationships/organization-memberships", tag = "teams",
    operation_id = "add_team_memberships", params(TeamPath),
    request_body(content = Memberships, content_type = "application/vnd.api+json",
        example = json!({"data": [{"type": "organization-memberships", "id": "ou-AZfyoFwfT26aVXp9Pw9LHmFkYUBleGFtcGxlLmNvbQ"}]})),
    responses((status = NO_CONTENT, description = "The memberships are added")))]
pub(super) async fn add(
    caller: Caller<Once<LoggedIn>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TeamPath, (), Memberships>,
) -> Result<impl IntoResponse, Failure> {
    let team = app.authority.team_with_id(&caller, &path.id()?).await?;
    let emails = emails(&app, &caller, &team, body).await?;
    let people: Vec<PersonReference> = emails.into_iter().map(Into::into).collect();
    app.authority
        .add_members(
            &caller,
            &team.organization.into(),
            &[TeamReference::Id(team.id)],
            &people,
        )
        .await?;
    Ok(no_content())
}

/// Remove memberships from a team
///
/// The memberships in the organization stay. Needs a session.
#[utoipa::path(delete, path = "/api/v2/teams/{team_id}/relationships/organization-memberships", tag = "teams",
    operation_id = "remove_team_memberships", params(TeamPath),
    request_body(content = Memberships, content_type = "application/vnd.api+json",
        example = json!({"data": [{"type": "organization-memberships", "id": "ou-AZfyoFwfT26aVXp9Pw9LHmFkYUBleGFtcGxlLmNvbQ"}]})),
    responses((status = NO_CONTENT, description = "The memberships are removed")))]
pub(super) async fn remove(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TeamPath, (), Memberships>,
) -> Result<impl IntoResponse, Failure> {
    let team = app.authority.team_with_id(&caller, &path.id()?).await?;
    let emails = emails(&app, &caller, &team, body).await?;
    let (organization, team) = (team.organization.into(), TeamReference::Id(team.id));
    for email in emails {
        app.authority
            .remove_team_member(&caller, &organization, &team, &email.into())
            .await?;
    }
    Ok(no_content())
}

/// Returns the addresses of memberships, which must be of the team's organization.
async fn emails(
    app: &App,
    caller: &authority::Caller,
    team: &Team,
    memberships: Memberships,
) -> Result<Vec<Email>, Error> {
    let mut emails = Vec::new();
    for id in memberships.ids() {
        let id: MembershipId = id.parse()?;
        if id.organization != team.organization {
            return Err(Error::Absent);
        }
        id.find(&app.authority, caller).await?;
        emails.push(id.email);
    }
    Ok(emails)
}
