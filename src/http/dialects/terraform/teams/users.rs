//! Members of a team: `/teams/{team_id}/relationships/users`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;

use crate::http::caller::{Caller, LoggedIn, Once};
use crate::http::dialects::terraform::data::Identifiers;
use crate::http::dialects::terraform::path::TeamPath;
use crate::http::input::Input;
use crate::http::{App, Failure, no_content};
use jeton_store::PersonReference;

/// A list of users.
type People = Identifiers<PersonReference>;

/// Add users to a team
///
/// Each user is given by e-mail address, which is the `username` in this API, or by id. Members of the
/// team keep their role. Only an admin of the organization may add users from outside of it, who are
/// invited to the organization and the team. All users are added, or none. Needs a session.
#[utoipa::path(post, path = "/api/v2/teams/{team_id}/relationships/users", tag = "teams",
    operation_id = "add_team_users", params(TeamPath),
    request_body(content = People, content_type = "application/vnd.api+json",
        example = json!({"data": [{"type": "users", "id": "ada@example.com"}]})),
    responses((status = NO_CONTENT, description = "The users are members")))]
pub(super) async fn add(
    caller: Caller<Once<LoggedIn>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TeamPath, (), People>,
) -> Result<impl IntoResponse, Failure> {
    let (organization, team) = path.references(&app.authority, &caller).await?;
    app.authority
        .add_members(&caller, &organization, &[team], &body.ids())
        .await?;
    Ok(no_content())
}

/// Remove users from a team
///
/// The users stay in the organization. Needs a session.
#[utoipa::path(delete, path = "/api/v2/teams/{team_id}/relationships/users", tag = "teams",
    operation_id = "remove_team_users", params(TeamPath),
    request_body(content = People, content_type = "application/vnd.api+json",
        example = json!({"data": [{"type": "users", "id": "ada@example.com"}]})),
    responses((status = NO_CONTENT, description = "The users are removed")))]
pub(super) async fn remove(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TeamPath, (), People>,
) -> Result<impl IntoResponse, Failure> {
    let (organization, team) = path.references(&app.authority, &caller).await?;
    for person in &body.ids() {
        app.authority
            .remove_team_member(&caller, &organization, &team, person)
            .await?;
    }
    Ok(no_content())
}
