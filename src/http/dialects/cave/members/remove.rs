//! Removes members: `DELETE …/users/{email}`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::{MemberPath, TeamMemberPath, other_email, parse_email};
use crate::http::caller::{Caller, LoggedIn};
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::Input;
use crate::http::{App, no_content};

/// Remove a member from an organization
///
/// Removes the user from the organization and its teams, and revokes the user's tokens of this
/// organization permanently. You cannot remove yourself. Only for admins of the organization. Needs a
/// session.
#[utoipa::path(delete, path = "/organizations/{organization}/users/{email}", tag = "members", operation_id = "remove_member",
    params(MemberPath),
    responses((status = NO_CONTENT, description = "The user is removed"),
              (status = BAD_REQUEST, description = "`Cannot remove self.`", body = String, content_type = "text/plain")))]
pub(super) async fn from_organization(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<MemberPath>,
) -> Result<Response, Refusal> {
    let MemberPath { organization, email } = &path;
    let email = other_email(&caller, email, "Cannot remove self.")?;
    app.authority.remove_member(&caller, organization, &email).await?;
    Ok(no_content().into_response())
}

/// Remove a member from a team
///
/// The user stays in the organization and keeps their own tokens. Only for admins of the team and of
/// the organization. Needs a session.
#[utoipa::path(delete, path = "/organizations/{organization}/teams/{team}/users/{email}", tag = "members", operation_id = "remove_team_member",
    params(TeamMemberPath),
    responses((status = NO_CONTENT, description = "The user is removed")))]
pub(super) async fn from_team(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamMemberPath>,
) -> Result<Response, Refusal> {
    let TeamMemberPath {
        organization,
        team,
        email,
    } = &path;
    app.authority
        .remove_team_member(&caller, organization, team, &parse_email(email)?.into())
        .await?;
    Ok(no_content().into_response())
}
