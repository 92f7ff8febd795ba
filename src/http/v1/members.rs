//! `/organizations/{organization}/members`, and the same below a team.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::authority::Whom;
use crate::http::caller::{Caller, LoggedIn, OrganizationsRead};
use crate::http::input::{Form, Input};
use crate::http::nouns;
use crate::http::v1::organizations::OrganizationPath;
use crate::http::v1::page::{Items, SliceForm};
use crate::http::v1::render::Problem;
use crate::http::v1::teams::TeamPath;
use crate::http::{App, Failure, no_content};
use jeton_core::directory::{Belonging, Email, Member, OrganizationReference, Role, TeamReference};
use jeton_store::Slice;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(put, remove))
        .routes(routes!(list_of_team))
        .routes(routes!(put_into_team, remove_from_team))
}

/// Which member of an organization.
#[derive(Debug, Form)]
#[form(path)]
struct MemberPath {
    /// The organization's name or id.
    #[form(example = "default")]
    organization: OrganizationReference,
    /// The person's address.
    #[form(example = "ada@example.com")]
    email: Email,
}

/// Which member of a team.
#[derive(Debug, Form)]
#[form(path)]
struct TeamMemberPath {
    /// The organization's name or id.
    #[form(example = "default")]
    organization: OrganizationReference,
    /// The team's name or its `team-…` id.
    #[form(example = "runners")]
    team: TeamReference,
    /// The person's address.
    #[form(example = "ada@example.com")]
    email: Email,
}

/// A role.
#[derive(Debug, Form)]
#[form(body, name = "PutMember", unknown = Forbidden)]
pub(crate) struct RoleForm {
    role: Role,
}

/// Somebody who belongs to an organization or a team, or an address that will.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
struct MemberInfo {
    /// `null` where nobody has the address yet: the role holds once a site administrator makes that person.
    #[schema(required = true, example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    id: Option<String>,
    #[schema(example = "ada@example.com")]
    email: String,
    #[schema(value_type = nouns::RoleWord)]
    role: Role,
}

impl From<Belonging> for MemberInfo {
    fn from(belonging: Belonging) -> Self {
        let (id, email, role) = match belonging {
            Belonging::Member(Member { person, role }) => (Some(person.id.to_string()), person.email, role),
            Belonging::Invited { email, role } => (None, email, role),
        };
        Self {
            id,
            email: email.to_string(),
            role,
        }
    }
}

/// List the members of an organization
///
/// With them stand the addresses that nobody has yet and that a role waits for; their `id` is `null`. So
/// whoever sees the list sees which of them have no account yet.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/members", tag = "organizations", operation_id = "list_members",
    params(OrganizationPath, SliceForm),
    responses((status = OK, description = "A part of the list, in the order of addresses", body = Items<MemberInfo>)))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<OrganizationPath, Slice>,
) -> Result<Json<Items<MemberInfo>>, Failure> {
    let found = app
        .authority
        .members(&caller, &path.organization, query.clone())
        .await?;
    Ok(Json(Items::of(
        &query,
        found,
        |belonging| belonging.email().to_string(),
        MemberInfo::from,
    )))
}

/// Give somebody a role in an organization
///
/// An address that belongs to nobody is answered in the same way; the role holds once a site
/// administrator makes that person. Until then the list of members shows it with `id: null`, so an
/// organization's admins see which of those they brought in have no account yet. A demotion narrows what the person's tokens can do at once. An
/// `admin` manages the organization, a `member` has tokens of their own, and a `viewer` only sees it.
#[utoipa::path(put, path = "/api/v1/organizations/{organization}/members/{email}", tag = "organizations", operation_id = "put_member",
    params(MemberPath), request_body = RoleForm,
    responses((status = NO_CONTENT, description = "It is so"),
              (status = CONFLICT, description = "The organization would have no admin", body = Problem)))]
async fn put(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<MemberPath, (), RoleForm>,
) -> Result<impl IntoResponse, Failure> {
    app.authority
        .put_member(&caller, &path.organization, &path.email, body.role, Whom::Anybody)
        .await?;
    Ok(no_content())
}

/// Take somebody out of an organization
///
/// And out of its teams. From the answer on their tokens of this organization are refused, for good. For
/// an address that nobody has yet it takes back every role that waits there.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}/members/{email}", tag = "organizations", operation_id = "delete_member",
    params(MemberPath),
    responses((status = NO_CONTENT, description = "They do not belong to it"),
              (status = CONFLICT, description = "The organization would have no admin", body = Problem)))]
async fn remove(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<MemberPath>,
) -> Result<impl IntoResponse, Failure> {
    app.authority
        .remove_member(&caller, &path.organization, &path.email)
        .await?;
    Ok(no_content())
}

/// List the members of a team
///
/// With them stand the addresses that nobody has yet and that a role waits for; their `id` is `null`.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/teams/{team}/members", tag = "teams", operation_id = "list_team_members",
    params(TeamPath, SliceForm),
    responses((status = OK, description = "A part of the list, in the order of addresses", body = Items<MemberInfo>)))]
async fn list_of_team(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<TeamPath, Slice>,
) -> Result<Json<Items<MemberInfo>>, Failure> {
    let found = app
        .authority
        .team_members(&caller, &path.organization, &path.team, query.clone())
        .await?;
    Ok(Json(Items::of(
        &query,
        found,
        |belonging| belonging.email().to_string(),
        MemberInfo::from,
    )))
}

/// Give somebody a role in a team
///
/// An admin of the team manages its tokens. Who does not belong to the organization yet becomes its
/// member too, or as a viewer its viewer, which only an admin of the organization can bring about. A
/// viewer of the organization stays one in its teams, whatever their role there.
#[utoipa::path(put, path = "/api/v1/organizations/{organization}/teams/{team}/members/{email}", tag = "teams", operation_id = "put_team_member",
    params(TeamMemberPath), request_body = RoleForm,
    responses((status = NO_CONTENT, description = "It is so"),
              (status = CONFLICT, description = "The person does not belong to the organization", body = Problem)))]
async fn put_into_team(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TeamMemberPath, (), RoleForm>,
) -> Result<impl IntoResponse, Failure> {
    let TeamMemberPath {
        organization,
        team,
        email,
    } = &path;
    app.authority
        .put_team_member(&caller, organization, team, email, body.role, Whom::Anybody)
        .await?;
    Ok(no_content())
}

/// Take somebody out of a team
///
/// They stay in the organization, and so do their own tokens. For an address that nobody has yet it takes
/// back the role that waits in the team.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}/teams/{team}/members/{email}", tag = "teams", operation_id = "delete_team_member",
    params(TeamMemberPath),
    responses((status = NO_CONTENT, description = "They do not belong to it")))]
async fn remove_from_team(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamMemberPath>,
) -> Result<impl IntoResponse, Failure> {
    app.authority
        .remove_team_member(&caller, &path.organization, &path.team, &path.email.into())
        .await?;
    Ok(no_content())
}
