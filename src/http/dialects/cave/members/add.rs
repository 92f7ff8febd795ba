//! `POST …/users`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::accepted;
use crate::authority::Whom;
use crate::http::App;
use crate::http::caller::{Caller, LoggedIn};
use crate::http::dialects::cave::render::Refusal;
use crate::http::dialects::cave::sent::{Body, Sent};
use crate::http::input::Form;
use crate::http::v1::{OrganizationPath, TeamPath};
use jeton_core::directory::{Email, Role};

/// Somebody and what they are to be.
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

/// Bring somebody into an organization
///
/// For its admins. An address that belongs to nobody is answered in the same way; the role holds once a
/// site administrator makes that person. Needs a session.
#[utoipa::path(post, path = "/organizations/{organization}/users", tag = "members", operation_id = "add_member",
    params(OrganizationPath), request_body = AddForm,
    responses((status = ACCEPTED, description = "It is so"),
              (status = BAD_REQUEST, description = "`Unable to parse request body: must have both 'email' and 'role'.`, or the request cannot be read", body = String, content_type = "text/plain"),
              (status = CONFLICT, description = "They belong to it already")))]
pub(super) async fn to_organization(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Sent { path, body }: Sent<OrganizationPath, AddForm>,
) -> Result<Response, Refusal> {
    let AddForm { email, role } = &body;
    let added = app
        .authority
        .put_member(&caller, &path.organization, email, *role, Whom::Newcomer)
        .await?;
    Ok(accepted(added, StatusCode::CONFLICT))
}

/// Bring somebody into a team
///
/// For its admins and those of the organization. Who does not belong to the organization yet becomes its
/// member too, or as a viewer its viewer, which only an admin of the organization can bring about. Needs a
/// session.
#[utoipa::path(post, path = "/organizations/{organization}/teams/{team}/users", tag = "members", operation_id = "add_team_member",
    params(TeamPath), request_body = AddForm,
    responses((status = ACCEPTED, description = "It is so"),
              (status = BAD_REQUEST, description = "`Unable to parse request body: must have both 'email' and 'role'.`, or the request cannot be read", body = String, content_type = "text/plain"),
              (status = CONFLICT, description = "They belong to it already")))]
pub(super) async fn to_team(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Sent { path, body }: Sent<TeamPath, AddForm>,
) -> Result<Response, Refusal> {
    let TeamPath { organization, team } = &path;
    let AddForm { email, role } = &body;
    let added = app
        .authority
        .put_team_member(&caller, organization, team, email, *role, Whom::Newcomer)
        .await?;
    Ok(accepted(added, StatusCode::CONFLICT))
}
