//! `DELETE …/users/{email}`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::{MemberPath, TeamMemberPath, another, somebody};
use crate::http::caller::{Caller, LoggedIn};
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::Input;
use crate::http::{App, no_content};

/// Take somebody out of an organization
///
/// And out of its teams; not oneself. For its admins. From the answer on their tokens of this organization
/// are refused, for good. Needs a session.
#[utoipa::path(delete, path = "/organizations/{organization}/users/{email}", tag = "members", operation_id = "remove_member",
    params(MemberPath),
    responses((status = NO_CONTENT, description = "They do not belong to it"),
              (status = BAD_REQUEST, description = "`Cannot remove self.`", body = String, content_type = "text/plain")))]
pub(super) async fn from_organization(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<MemberPath>,
) -> Result<Response, Refusal> {
    let MemberPath { organization, email } = &path;
    let email = another(&caller, email, "Cannot remove self.")?;
    app.authority.remove_member(&caller, organization, &email).await?;
    Ok(no_content().into_response())
}

/// Take somebody out of a team
///
/// For its admins and those of the organization. They stay in the organization, and so do their own tokens.
/// Needs a session.
#[utoipa::path(delete, path = "/organizations/{organization}/teams/{team}/users/{email}", tag = "members", operation_id = "remove_team_member",
    params(TeamMemberPath),
    responses((status = NO_CONTENT, description = "They do not belong to it")))]
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
        .remove_team_member(&caller, organization, team, &somebody(email)?.into())
        .await?;
    Ok(no_content().into_response())
}
