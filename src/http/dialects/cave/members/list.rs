//! Lists members: `GET …/users`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::caller::{Caller, OrganizationsRead};
use crate::http::dialects::cave::json;
use crate::http::dialects::cave::render::Refusal;
use crate::http::dialects::cave::users::UserInfo;
use crate::http::domain_types;
use crate::http::input::Input;
use crate::http::v1::{OrganizationPath, TeamPath};
use crate::http::{App, all_pages};
use jeton_core::directory::{Member, Role};

/// A member of an organization or a team.
#[derive(Serialize, ToSchema)]
#[schema(as = Member)]
pub(super) struct MemberInfo {
    user: UserInfo,
    #[schema(value_type = domain_types::RoleWord)]
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
/// Sorted by e-mail address, without invited addresses. For all members of the organization.
#[utoipa::path(get, path = "/organizations/{organization}/users", tag = "members", operation_id = "list_members",
    params(OrganizationPath),
    responses((status = OK, description = "The members", body = Vec<MemberInfo>)))]
pub(super) async fn of_organization(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Response, Refusal> {
    let part = |slice| app.authority.members(&caller, &path.organization, slice);
    Ok(listed(&all_pages::members(part).await?))
}

/// List the members of a team
///
/// Sorted by e-mail address, without invited addresses. For all members of the organization.
#[utoipa::path(get, path = "/organizations/{organization}/teams/{team}/users", tag = "members", operation_id = "list_team_members",
    params(TeamPath),
    responses((status = OK, description = "The members", body = Vec<MemberInfo>)))]
pub(super) async fn of_team(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<TeamPath>,
) -> Result<Response, Refusal> {
    let TeamPath { organization, team } = &path;
    let part = |slice| app.authority.team_members(&caller, organization, team, slice);
    Ok(listed(&all_pages::members(part).await?))
}

fn listed(members: &[Member]) -> Response {
    json(members.iter().map(MemberInfo::from).collect::<Vec<_>>())
}
