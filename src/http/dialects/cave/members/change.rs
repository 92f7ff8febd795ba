//! Changes roles: `PATCH …/users/{email}`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::{MemberPath, TeamMemberPath, other_email, parse_email, role_response};
use crate::authority::Whom;
use crate::http::App;
use crate::http::caller::{Caller, LoggedIn};
use crate::http::dialects::cave::input::{Body, CaveInput};
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::Form;
use jeton_core::directory::Role;

/// A role.
#[derive(Debug, Form)]
#[form(body, name = "ChangeMember")]
pub(super) struct ChangeForm {
    role: Role,
}

impl Body for ChangeForm {
    const UNREADABLE: &'static str = "Cannot parse request body: 'role' is missing.";
}

/// Update a member of an organization
///
/// Only for admins of the organization. You cannot change your own role. A lower role limits the user's
/// tokens at once. Needs a session.
#[utoipa::path(patch, path = "/organizations/{organization}/users/{email}", tag = "members", operation_id = "change_member",
    params(MemberPath), request_body = ChangeForm,
    responses((status = ACCEPTED, description = "The role is set"),
              (status = BAD_REQUEST, description = "`Cannot modify self.`, `Cannot parse request body: 'role' is missing.`, or the request cannot be read", body = String, content_type = "text/plain",
                  examples(("invalid" = (value = json!(ChangeForm::UNREADABLE)))))))]
pub(super) async fn in_organization(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    CaveInput { path, body }: CaveInput<MemberPath, ChangeForm>,
) -> Result<Response, Refusal> {
    let MemberPath { organization, email } = &path;
    let email = other_email(&caller, email, "Cannot modify self.")?;
    let changed = app
        .authority
        .put_member(&caller, organization, &email, body.role, Whom::Member)
        .await?;
    Ok(role_response(changed, StatusCode::NOT_FOUND))
}

/// Update a member of a team
///
/// Only for admins of the team and of the organization. Needs a session.
#[utoipa::path(patch, path = "/organizations/{organization}/teams/{team}/users/{email}", tag = "members", operation_id = "change_team_member",
    params(TeamMemberPath), request_body = ChangeForm,
    responses((status = ACCEPTED, description = "The role is set"),
              (status = BAD_REQUEST, description = "`Cannot parse request body: 'role' is missing.`, or the request cannot be read", body = String, content_type = "text/plain",
                  examples(("invalid" = (value = json!(ChangeForm::UNREADABLE)))))))]
pub(super) async fn in_team(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    CaveInput { path, body }: CaveInput<TeamMemberPath, ChangeForm>,
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
            &parse_email(email)?,
            body.role,
            Whom::Member,
        )
        .await?;
    Ok(role_response(changed, StatusCode::NOT_FOUND))
}
