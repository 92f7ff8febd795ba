//! The caller's own memberships: `/me/invitations` and `/me/organizations`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use crate::authority::Change;
use crate::http::caller::{Caller, LoggedIn};
use crate::http::domain_types;
use crate::http::input::Input;
use crate::http::v1::organizations::OrganizationPath;
use crate::http::v1::page::{Items, SliceForm};
use crate::http::v1::preview::{self, DryRunForm, PreviewInfo};
use crate::http::v1::render::Problem;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Invitation, Name, Role, TeamId};
use jeton_store::Slice;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(accept))
        .routes(routes!(decline))
        .routes(routes!(leave))
}

/// An invitation of the caller to an organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Invitation)]
struct InvitationInfo {
    /// The organization.
    organization: InvitedTo,
    /// The role in the organization.
    #[schema(value_type = domain_types::RoleWord)]
    role: Role,
    /// The teams, sorted by name; at most 100 of them.
    teams: Vec<InvitedToTeam>,
    /// The e-mail address of the user who gave the role; `null`: it was given by a version of jeton that did not record
    /// this.
    #[schema(required = true, example = "admin@example.com")]
    invited_by: Option<String>,
    /// When the role was given; `null`: as for `invited_by`.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    invited_at: Option<Timestamp>,
}

/// An organization that the caller is invited to.
#[derive(Debug, Serialize, ToSchema)]
struct InvitedTo {
    /// The id of the organization.
    id: Uuid,
    /// The name of the organization.
    #[schema(example = "acme")]
    name: String,
}

/// A team that an address is invited to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InvitedToTeam {
    /// The id of the team.
    #[schema(example = "team-Hn5Lq9BcX1dF7gJk")]
    id: String,
    /// The name of the team.
    #[schema(example = "runners")]
    name: String,
    /// The role in the team.
    #[schema(value_type = domain_types::RoleWord)]
    role: Role,
}

impl From<(TeamId, Name, Role)> for InvitedToTeam {
    fn from((id, name, role): (TeamId, Name, Role)) -> Self {
        Self {
            id: id.to_string(),
            name: name.to_string(),
            role,
        }
    }
}

impl From<Invitation> for InvitationInfo {
    fn from(invitation: Invitation) -> Self {
        let Invitation {
            organization,
            name,
            role,
            teams,
            invited_by,
            invited_at,
        } = invitation;
        Self {
            organization: InvitedTo {
                id: organization.0,
                name: name.to_string(),
            },
            role,
            teams: teams.into_iter().map(InvitedToTeam::from).collect(),
            invited_by,
            invited_at,
        }
    }
}

/// List your invitations
///
/// Lists the organizations that offer you a role. Until you accept, an invitation has no effect: you do not see the
/// organization, its policy does not apply to you, and it learns nothing about you. Needs a session.
#[utoipa::path(get, path = "/api/v1/me/invitations", tag = "invitations", operation_id = "list_invitations",
    params(SliceForm),
    responses((status = OK, description = "A page of invitations, sorted by the organization's name", body = Items<InvitationInfo>)))]
async fn list(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), Slice>,
) -> Result<Json<Items<InvitationInfo>>, Failure> {
    let found = app.authority.invitations(&caller, query.clone()).await?;
    Ok(Json(Items::of(
        &query,
        found,
        |invitation| invitation.name.canonical(),
        InvitationInfo::from,
    )))
}

/// Accept an invitation
///
/// Makes you a member of the organization and of its teams, with the roles of the invitation. Needs a session.
#[utoipa::path(post, path = "/api/v1/me/invitations/{organization}/accept", tag = "invitations", operation_id = "accept_invitation",
    params(OrganizationPath),
    responses((status = NO_CONTENT, description = "You are a member of the organization")))]
async fn accept(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<impl IntoResponse, Failure> {
    app.authority
        .accept_invitation(&caller, &path.organization)
        .await?;
    Ok(no_content())
}

/// Decline an invitation
///
/// Deletes your invitations to the organization and its teams. Needs a session.
#[utoipa::path(delete, path = "/api/v1/me/invitations/{organization}", tag = "invitations", operation_id = "decline_invitation",
    params(OrganizationPath),
    responses((status = NO_CONTENT, description = "You are not invited to the organization")))]
async fn decline(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<impl IntoResponse, Failure> {
    app.authority
        .decline_invitation(&caller, &path.organization)
        .await?;
    Ok(no_content())
}

/// Leave an organization
///
/// Removes you from the organization and its teams, and revokes your tokens of this organization permanently. Needs
/// a session.
///
/// With `dry_run`, nothing is changed, and the response says which tokens would be revoked.
#[utoipa::path(delete, path = "/api/v1/me/organizations/{organization}", tag = "invitations", operation_id = "leave_organization",
    params(OrganizationPath, DryRunForm),
    responses((status = OK, description = "What would be revoked, with `dry_run`", body = PreviewInfo),
              (status = NO_CONTENT, description = "You are not a member of the organization"),
              (status = CONFLICT, description = "You are the organization's last admin", body = Problem, example = json!("last_admin"))))]
async fn leave(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<OrganizationPath, DryRunForm>,
) -> Result<Response, Failure> {
    if query.dry_run {
        return preview::answer(&app, &caller, Change::Leave(&path.organization)).await;
    }
    app.authority
        .leave_organization(&caller, &path.organization)
        .await?;
    Ok(no_content().into_response())
}
