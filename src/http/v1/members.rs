//! Members: `/organizations/{organization}/members`, and the same below a team.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::authority::{Change, Whom};
use crate::http::caller::{Caller, LoggedIn, Once, OrganizationsRead};
use crate::http::domain_types;
use crate::http::input::{Form, Input};
use crate::http::v1::organizations::OrganizationPath;
use crate::http::v1::page::{Items, SliceForm};
use crate::http::v1::preview::{self, DryRunForm, PreviewInfo};
use crate::http::v1::render::Problem;
use crate::http::v1::teams::TeamPath;
use crate::http::{App, Failure, no_content};
use jeton_core::directory::{
    Belonging, Email, Member, MemberStatus, OrganizationReference, Role, TeamReference,
};
use jeton_store::Slice;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(put, remove))
        .routes(routes!(list_of_team))
        .routes(routes!(put_into_team, remove_from_team))
}

/// A member of an organization.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct MemberPath {
    /// The organization's name or id.
    #[form(example = "default")]
    pub(super) organization: OrganizationReference,
    /// The user's e-mail address.
    #[form(example = "ada@example.com")]
    pub(super) email: Email,
}

/// A member of a team.
#[derive(Debug, Form)]
#[form(path)]
struct TeamMemberPath {
    /// The organization's name or id.
    #[form(example = "default")]
    organization: OrganizationReference,
    /// The team's name or its `team-…` id.
    #[form(example = "runners")]
    team: TeamReference,
    /// The user's e-mail address.
    #[form(example = "ada@example.com")]
    email: Email,
}

/// The role of a member.
#[derive(Debug, Form)]
#[form(body, name = "PutMember", unknown = Forbidden)]
pub(crate) struct RoleForm {
    /// The role.
    role: Role,
}

/// A member of an organization or a team, or an invited e-mail address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Member)]
struct MemberInfo {
    /// The user's id; `null` for an invited address, whether or not a user has it.
    #[schema(required = true, example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    id: Option<String>,
    /// The e-mail address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// The role.
    #[schema(value_type = domain_types::RoleWord)]
    role: Role,
    /// `active`: the role holds. `invited`: it is offered to the address, and holds once its user accepts it.
    #[schema(value_type = domain_types::MemberStatusWord)]
    status: MemberStatus,
}

impl From<Belonging> for MemberInfo {
    fn from(belonging: Belonging) -> Self {
        let status = belonging.status();
        let (id, email, role) = match belonging {
            Belonging::Member(Member { person, role }) => (Some(person.id.to_string()), person.email, role),
            Belonging::Invited { email, role } => (None, email, role),
        };
        Self {
            id,
            email: email.to_string(),
            role,
            status,
        }
    }
}

/// List the members of an organization
///
/// Includes invited e-mail addresses, with `status: invited` and `id: null`.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/members", tag = "organizations", operation_id = "list_members",
    params(OrganizationPath, SliceForm),
    responses((status = OK, description = "A page of members, sorted by e-mail address", body = Items<MemberInfo>)))]
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

/// Add or update a member of an organization
///
/// Sets the user's role: an `admin` manages the organization, a `member` has tokens of their own, and a `viewer`
/// can only read. A lower role limits a member's tokens at once.
///
/// A user who is not a member yet is invited: the role holds once the user accepts it with
/// `POST /api/v1/me/invitations/{organization}/accept`, and until then the list of members shows the address with
/// `status: invited`. The response is the same if no user has the e-mail address. If a site administrator gives the
/// role, or the server does not require consent, the role holds at once, or as soon as the user is created.
#[utoipa::path(put, path = "/api/v1/organizations/{organization}/members/{email}", tag = "organizations", operation_id = "put_member",
    params(MemberPath), request_body = RoleForm,
    responses((status = NO_CONTENT, description = "The role is set"),
              (status = CONFLICT, description = "The user is the organization's last admin", body = Problem, example = json!(["last_admin", "quota_reached:members"])),
              (status = FORBIDDEN, description = "Only admins of the organization may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn put(
    caller: Caller<Once<LoggedIn>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<MemberPath, (), RoleForm>,
) -> Result<impl IntoResponse, Failure> {
    app.authority
        .put_member(&caller, &path.organization, &path.email, body.role, Whom::Anybody)
        .await?;
    Ok(no_content())
}

/// Remove a member from an organization
///
/// Removes the user from the organization and its teams, and revokes the user's tokens of this organization
/// permanently. If the address is invited, its invitations to the organization and its teams are withdrawn.
///
/// With `dry_run`, nothing is changed, and the response says which tokens would be revoked.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}/members/{email}", tag = "organizations", operation_id = "delete_member",
    params(MemberPath, DryRunForm),
    responses((status = OK, description = "What would be revoked, with `dry_run`", body = PreviewInfo),
              (status = NO_CONTENT, description = "The user is not a member"),
              (status = CONFLICT, description = "The user is the organization's last admin", body = Problem, example = json!("last_admin")),
              (status = FORBIDDEN, description = "Only admins of the organization may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn remove(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<MemberPath, DryRunForm>,
) -> Result<Response, Failure> {
    if query.dry_run {
        return preview::answer(
            &app,
            &caller,
            Change::RemoveMember(&path.organization, &path.email),
        )
        .await;
    }
    app.authority
        .remove_member(&caller, &path.organization, &path.email)
        .await?;
    Ok(no_content().into_response())
}

/// List the members of a team
///
/// Includes invited e-mail addresses, with `status: invited` and `id: null`.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/teams/{team}/members", tag = "teams", operation_id = "list_team_members",
    params(TeamPath, SliceForm),
    responses((status = OK, description = "A page of members, sorted by e-mail address", body = Items<MemberInfo>)))]
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

/// Add or update a member of a team
///
/// Sets the user's role in the team; an `admin` of the team manages its tokens. A user who does not belong to the
/// organization is invited to it as a `member`, or as a `viewer` if that is the role, and to the team; only an admin
/// of the organization may do this. `PUT …/members/{email}` of the organization says when such a role holds. A viewer of the organization has no more rights in a team, whatever the role there.
#[utoipa::path(put, path = "/api/v1/organizations/{organization}/teams/{team}/members/{email}", tag = "teams", operation_id = "put_team_member",
    params(TeamMemberPath), request_body = RoleForm,
    responses((status = NO_CONTENT, description = "The role is set"),
              (status = CONFLICT, description = "The user is not a member of the organization, and the caller is not its admin", body = Problem, example = json!(["not_a_member", "quota_reached:members"])),
              (status = FORBIDDEN, description = "Only admins of the team or the organization may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn put_into_team(
    caller: Caller<Once<LoggedIn>>,
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

/// Remove a member from a team
///
/// The user stays in the organization and keeps their own tokens. If the address is invited, its invitation to the
/// team is withdrawn.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}/teams/{team}/members/{email}", tag = "teams", operation_id = "delete_team_member",
    params(TeamMemberPath),
    responses((status = NO_CONTENT, description = "The user is not a member"),
              (status = FORBIDDEN, description = "Only admins of the team or the organization may do this, with a session", body = Problem, example = json!("forbidden"))))]
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
