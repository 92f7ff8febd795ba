//! `PATCH …/users/{email}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{MemberPath, TeamMemberPath, accepted, another, somebody};
use crate::authority::Whom;
use crate::http::App;
use crate::http::caller::{Caller, LoggedIn};
use crate::http::dialects::cave::render::Refusal;
use crate::http::dialects::cave::sent::{Body, Sent};
use crate::http::input::Form;
use jeton_core::directory::Role;

/// What somebody is to be.
#[derive(Debug, Form)]
#[form(body, name = "ChangeMember")]
pub(super) struct ChangeForm {
    role: Role,
}

impl Body for ChangeForm {
    const UNREADABLE: &'static str = "Cannot parse request body: 'role' is missing.";
}

/// Change somebody's role in an organization
///
/// For its admins, and not for oneself. What the person's tokens can do narrows at once. Needs a session.
#[utoipa::path(patch, path = "/organizations/{organization}/users/{email}", tag = "members", operation_id = "change_member",
    params(MemberPath), request_body = ChangeForm,
    responses((status = ACCEPTED, description = "It is so"),
              (status = BAD_REQUEST, description = "`Cannot modify self.`, `Cannot parse request body: 'role' is missing.`, or the request cannot be read", body = String, content_type = "text/plain")))]
pub(super) async fn in_organization(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Sent { path, body }: Sent<MemberPath, ChangeForm>,
) -> Result<Response, Refusal> {
    let MemberPath { organization, email } = &path;
    let email = another(&caller, email, "Cannot modify self.")?;
    let changed = app
        .authority
        .put_member(&caller, organization, &email, body.role, Whom::Member)
        .await?;
    Ok(accepted(changed, StatusCode::NOT_FOUND))
}

/// Change somebody's role in a team
///
/// For its admins and those of the organization. Needs a session.
#[utoipa::path(patch, path = "/organizations/{organization}/teams/{team}/users/{email}", tag = "members", operation_id = "change_team_member",
    params(TeamMemberPath), request_body = ChangeForm,
    responses((status = ACCEPTED, description = "It is so"),
              (status = BAD_REQUEST, description = "`Cannot parse request body: 'role' is missing.`, or the request cannot be read", body = String, content_type = "text/plain")))]
pub(super) async fn in_team(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Sent { path, body }: Sent<TeamMemberPath, ChangeForm>,
) -> Result<Response, Refusal> {
    let TeamMemberPath {
        organization,
        team,
        email,
    } = &path;
    let changed = app
        .authority
        .put_team_member(
            &caller,
            organization,
            team,
            &somebody(email)?,
            body.role,
            Whom::Member,
        )
        .await?;
    Ok(accepted(changed, StatusCode::NOT_FOUND))
}
