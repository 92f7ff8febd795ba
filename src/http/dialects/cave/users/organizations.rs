//! The caller's organizations: `/users/organizations`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Error;
use crate::http::App;
use crate::http::caller::{Authenticated, Caller, OrganizationsRead};
use crate::http::dialects::cave::json;
use crate::http::dialects::cave::render::Refusal;
use crate::http::domain_types;
use crate::http::input::Input;
use crate::http::v1::OrganizationPath;
use jeton_core::directory::{Name, Role};

/// A membership of the caller.
#[derive(Serialize, ToSchema)]
pub(super) struct Membership {
    /// The name of the organization or team.
    #[schema(example = "acme")]
    name: String,
    /// The caller's role.
    #[schema(value_type = domain_types::RoleWord)]
    role: Role,
}

impl Membership {
    fn new(name: &Name, role: Role) -> Self {
        Self {
            name: name.to_string(),
            role,
        }
    }
}

/// List your organizations
///
/// Sorted by name.
#[utoipa::path(get, path = "/users/organizations", tag = "users", operation_id = "list_user_organizations",
    responses((status = OK, description = "Your organizations", body = Vec<Membership>)))]
pub(super) async fn list(
    caller: Caller<Authenticated>,
    State(app): State<Arc<App>>,
) -> Result<Response, Refusal> {
    let me = app.authority.me(&caller).await?;
    me.person.ok_or(Error::Forbidden)?;
    let memberships = me.memberships.iter();
    let memberships = memberships.map(|one| Membership::new(&one.name, one.role));
    Ok(json(memberships.collect::<Vec<_>>()))
}

/// List your teams in an organization
///
/// Sorted by name.
#[utoipa::path(get, path = "/users/organizations/{organization}/teams", tag = "users", operation_id = "list_user_teams",
    params(OrganizationPath),
    responses((status = OK, description = "Your teams", body = Vec<Membership>)))]
pub(super) async fn list_teams(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Response, Refusal> {
    let teams = app.authority.own_teams(&caller, &path.organization).await?;
    let teams = teams
        .iter()
        .map(|(team, role)| Membership::new(&team.name, *role));
    Ok(json(teams.collect::<Vec<_>>()))
}
