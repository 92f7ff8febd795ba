//! `/organizations/{organization}/users`, and the same below a team.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use validator::Validate;

use super::json;
use super::render::Refusal;
use super::sent::{Body, Sent};
use super::users::UserInfo;
use crate::authority::{self, Error, RoleGiven, Whom};
use crate::directory::{Email, Member, OrganizationReference, Role, TeamReference};
use crate::http::caller::{Caller, LoggedIn, OrganizationsRead};
use crate::http::input::{Fields, Form, Input};
use crate::http::v1::{OrganizationPath, TeamPath};
use crate::http::{App, no_content, whole};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_of_organization, add_to_organization))
        .routes(routes!(change_in_organization, remove_from_organization))
        .routes(routes!(list_of_team, add_to_team))
        .routes(routes!(change_in_team, remove_from_team))
}

/// Which member of an organization.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Path)]
struct MemberPath {
    /// The organization's name or id.
    #[param(value_type = String, example = "default")]
    organization: OrganizationReference,
    /// The person's address.
    #[param(example = "ada@example.com")]
    email: String,
}

impl Form for MemberPath {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            organization: fields.required("organization"),
            email: fields.required("email"),
        }
    }
}

/// Which member of a team.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Path)]
struct TeamMemberPath {
    /// The organization's name or id.
    #[param(value_type = String, example = "default")]
    organization: OrganizationReference,
    /// The team's name or its `team-…` id.
    #[param(value_type = String, example = "runners")]
    team: TeamReference,
    /// The person's address.
    #[param(example = "ada@example.com")]
    email: String,
}

impl Form for TeamMemberPath {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            organization: fields.required("organization"),
            team: fields.required("team"),
            email: fields.required("email"),
        }
    }
}

/// Somebody and what they are to be.
#[derive(Debug, Validate, ToSchema)]
#[schema(as = AddMember)]
struct AddForm {
    #[schema(value_type = String, example = "ada@example.com")]
    email: Email,
    role: Role,
}

impl Form for AddForm {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            email: fields.required("email"),
            role: fields.required("role"),
        }
    }
}

impl Body for AddForm {
    const UNREADABLE: &'static str = "Unable to parse request body: must have both 'email' and 'role'.";
}

/// What somebody is to be.
#[derive(Debug, Validate, ToSchema)]
#[schema(as = ChangeMember)]
struct ChangeForm {
    role: Role,
}

impl Form for ChangeForm {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            role: fields.required("role"),
        }
    }
}

impl Body for ChangeForm {
    const UNREADABLE: &'static str = "Cannot parse request body: 'role' is missing.";
}

/// Somebody who belongs to an organization or a team.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
struct MemberInfo {
    user: UserInfo,
    role: Role,
}

impl From<&Member> for MemberInfo {
    fn from(Member { person, role }: &Member) -> Self {
        Self {
            user: UserInfo::of(person),
            role: *role,
        }
    }
}

/// List the members of an organization
///
/// In the order of their addresses. For everybody who belongs to it.
#[utoipa::path(get, path = "/organizations/{organization}/users", tag = "members", operation_id = "list_members",
    params(OrganizationPath),
    responses((status = OK, description = "Its members", body = Vec<MemberInfo>)))]
async fn list_of_organization(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Response, Refusal> {
    let part = |slice| app.authority.members(&caller, &path.organization, slice);
    Ok(listed(&whole::slices(part, address).await?))
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
async fn add_to_organization(
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

/// Change somebody's role in an organization
///
/// For its admins, and not for oneself. What the person's tokens can do narrows at once. Needs a session.
#[utoipa::path(patch, path = "/organizations/{organization}/users/{email}", tag = "members", operation_id = "change_member",
    params(MemberPath), request_body = ChangeForm,
    responses((status = ACCEPTED, description = "It is so"),
              (status = BAD_REQUEST, description = "`Cannot modify self.`, `Cannot parse request body: 'role' is missing.`, or the request cannot be read", body = String, content_type = "text/plain")))]
async fn change_in_organization(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Sent { path, body }: Sent<MemberPath, ChangeForm>,
) -> Result<Response, Refusal> {
    let MemberPath { organization, email } = &path;
    let email = somebody(email)?;
    if is_self(&caller, &email) {
        return Err(Refusal::wrong("Cannot modify self."));
    }
    let changed = app
        .authority
        .put_member(&caller, organization, &email, body.role, Whom::Member)
        .await?;
    Ok(accepted(changed, StatusCode::NOT_FOUND))
}

/// Take somebody out of an organization
///
/// And out of its teams; not oneself. For its admins. From the answer on their tokens of this organization
/// are refused, for good. Needs a session.
#[utoipa::path(delete, path = "/organizations/{organization}/users/{email}", tag = "members", operation_id = "remove_member",
    params(MemberPath),
    responses((status = NO_CONTENT, description = "They do not belong to it"),
              (status = BAD_REQUEST, description = "`Cannot remove self.`", body = String, content_type = "text/plain")))]
async fn remove_from_organization(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<MemberPath>,
) -> Result<Response, Refusal> {
    let MemberPath { organization, email } = &path;
    let email = somebody(email)?;
    if is_self(&caller, &email) {
        return Err(Refusal::wrong("Cannot remove self."));
    }
    app.authority.remove_member(&caller, organization, &email).await?;
    Ok(no_content().into_response())
}

/// List the members of a team
///
/// In the order of their addresses. For everybody who belongs to the organization.
#[utoipa::path(get, path = "/organizations/{organization}/teams/{team}/users", tag = "members", operation_id = "list_team_members",
    params(TeamPath),
    responses((status = OK, description = "Its members", body = Vec<MemberInfo>)))]
async fn list_of_team(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath>,
) -> Result<Response, Refusal> {
    let TeamPath { organization, team } = &path;
    let part = |slice| app.authority.team_members(&caller, organization, team, slice);
    Ok(listed(&whole::slices(part, address).await?))
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
async fn add_to_team(
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

/// Change somebody's role in a team
///
/// For its admins and those of the organization. Needs a session.
#[utoipa::path(patch, path = "/organizations/{organization}/teams/{team}/users/{email}", tag = "members", operation_id = "change_team_member",
    params(TeamMemberPath), request_body = ChangeForm,
    responses((status = ACCEPTED, description = "It is so"),
              (status = BAD_REQUEST, description = "`Cannot parse request body: 'role' is missing.`, or the request cannot be read", body = String, content_type = "text/plain")))]
async fn change_in_team(
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

/// Take somebody out of a team
///
/// For its admins and those of the organization. They stay in the organization, and so do their own tokens.
/// Needs a session.
#[utoipa::path(delete, path = "/organizations/{organization}/teams/{team}/users/{email}", tag = "members", operation_id = "remove_team_member",
    params(TeamMemberPath),
    responses((status = NO_CONTENT, description = "They do not belong to it")))]
async fn remove_from_team(
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
        .remove_team_member(&caller, organization, team, &somebody(email)?)
        .await?;
    Ok(no_content().into_response())
}

/// What the lists are ordered by.
fn address(member: &Member) -> String {
    member.person.email.to_string()
}

fn listed(members: &[Member]) -> Response {
    json(members.iter().map(MemberInfo::from).collect::<Vec<_>>())
}

/// CAVE says no more than that it took a role on, or by the status alone why not.
fn accepted(given: RoleGiven, otherwise: StatusCode) -> Response {
    match given {
        RoleGiven::Given => StatusCode::ACCEPTED.into_response(),
        RoleGiven::NotMeant => otherwise.into_response(),
    }
}

/// What can be nobody's address names nobody.
fn somebody(email: &str) -> Result<Email, Error> {
    email.parse().map_err(|_| Error::Absent)
}

fn is_self(caller: &authority::Caller, email: &Email) -> bool {
    caller.logged_in().is_some_and(|person| person.email == *email)
}
