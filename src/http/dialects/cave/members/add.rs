//! Adds members: `POST …/users`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::role_response;
use crate::authority::Whom;
use crate::http::App;
use crate::http::caller::{Caller, LoggedIn, Once};
use crate::http::dialects::cave::input::{Body, CaveInput};
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::Form;
use crate::http::v1::{OrganizationPath, TeamPath};
use jeton_core::directory::{Email, Role};

/// A member to add.
#[derive(Debug, Form)]
#[form(body, name = "AddMember")]
pub(super) struct AddForm {
    #[form(example = "ada@example.com")]
    email: Email,
    role: Role,
}

impl Body for AddForm {
    const UNREADABLE: &'static str = "Unable to parse request body: must have both 'email' and 'role'.";
}

/// Add a member to an organization
///
/// Only for admins of the organization. The user is invited, and is a member once they accept; if a site
/// administrator gives the role, or the server does not require consent, they are one at once, or as soon
/// as the user is created. The response is the same in all cases. Needs a session.
#[utoipa::path(post, path = "/organizations/{organization}/users", tag = "members", operation_id = "add_member",
    params(OrganizationPath), request_body = AddForm,
    responses((status = ACCEPTED, description = "The role is set"),
              (status = BAD_REQUEST, description = "`Unable to parse request body: must have both 'email' and 'role'.`, or the request cannot be read", body = String, content_type = "text/plain",
                  examples(("invalid" = (value = json!(AddForm::UNREADABLE))))),
              (status = CONFLICT, description = "The user is a member already")))]
pub(super) async fn to_organization(
    caller: Caller<Once<LoggedIn>>,
    State(app): State<Arc<App>>,
    CaveInput { path, body }: CaveInput<OrganizationPath, AddForm>,
) -> Result<Response, Refusal> {
    let AddForm { email, role } = &body;
    let added = app
        .authority
        .put_member(&caller, &path.organization, email, *role, Whom::Newcomer)
        .await?;
    Ok(role_response(added, StatusCode::CONFLICT))
}

/// Add a member to a team
///
/// Only for admins of the team and of the organization. A user who does not belong to the organization
/// is invited to it as a `member`, or as a `viewer` if that is the role; only an admin of the
/// organization may do this. Needs a session.
#[utoipa::path(post, path = "/organizations/{organization}/teams/{team}/users", tag = "members", operation_id = "add_team_member",
    params(TeamPath), request_body = AddForm,
    responses((status = ACCEPTED, description = "The role is set"),
              (status = BAD_REQUEST, description = "`Unable to parse request body: must have both 'email' and 'role'.`, or the request cannot be read", body = String, content_type = "text/plain",
                  examples(("invalid" = (value = json!(AddForm::UNREADABLE))))),
              (status = CONFLICT, description = "The user is a member already")))]
pub(super) async fn to_team(
    caller: Caller<Once<LoggedIn>>,
    State(app): State<Arc<App>>,
    CaveInput { path, body }: CaveInput<TeamPath, AddForm>,
) -> Result<Response, Refusal> {
    let TeamPath { organization, team } = &path;
    let AddForm { email, role } = &body;
    let added = app
        .authority
        .put_team_member(&caller, organization, team, email, *role, Whom::Newcomer)
        .await?;
    Ok(role_response(added, StatusCode::CONFLICT))
}
