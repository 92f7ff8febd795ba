//! The invitations of an organization: `/organizations/{organization}/invitations`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::http::caller::{Caller, LoggedIn, OrganizationsRead};
use crate::http::domain_types;
use crate::http::input::Input;
use crate::http::v1::invitations::InvitedToTeam;
use crate::http::v1::members::MemberPath;
use crate::http::v1::organizations::OrganizationPath;
use crate::http::v1::page::{Items, SliceForm};
use crate::http::v1::render::Problem;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Role, SentInvitation};
use jeton_store::Slice;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(withdraw))
}

/// An invitation of an e-mail address to an organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SentInvitation)]
struct SentInvitationInfo {
    /// The e-mail address, whether or not a user has it.
    #[schema(example = "ada@example.com")]
    email: String,
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

impl From<SentInvitation> for SentInvitationInfo {
    fn from(invitation: SentInvitation) -> Self {
        let SentInvitation {
            email,
            role,
            teams,
            invited_by,
            invited_at,
        } = invitation;
        Self {
            email: email.to_string(),
            role,
            teams: teams.into_iter().map(InvitedToTeam::from).collect(),
            invited_by,
            invited_at,
        }
    }
}

/// List the invitations of an organization
///
/// Lists the e-mail addresses that are invited to the organization and have not accepted. Only for admins of the
/// organization; the list of members shows the addresses and roles to all members, with `status: invited`.
#[utoipa::path(get, path = "/api/v1/organizations/{organization}/invitations", tag = "organizations", operation_id = "list_sent_invitations",
    params(OrganizationPath, SliceForm),
    responses((status = OK, description = "A page of invitations, sorted by e-mail address", body = Items<SentInvitationInfo>),
              (status = FORBIDDEN, description = "Only admins of the organization may do this", body = Problem, example = json!("forbidden"))))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<OrganizationPath, Slice>,
) -> Result<Json<Items<SentInvitationInfo>>, Failure> {
    let found = app
        .authority
        .sent_invitations(&caller, &path.organization, query.clone())
        .await?;
    Ok(Json(Items::of(
        &query,
        found,
        |invitation| invitation.email.to_string(),
        SentInvitationInfo::from,
    )))
}

/// Withdraw an invitation
///
/// Deletes the invitations of the e-mail address to the organization and its teams. Unlike
/// `DELETE …/members/{email}`, it removes nobody who has accepted meanwhile: the response is then 404.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}/invitations/{email}", tag = "organizations", operation_id = "withdraw_invitation",
    params(MemberPath),
    responses((status = NO_CONTENT, description = "The address is not invited"),
              (status = NOT_FOUND, description = "No such organization or invitation, or you may not see it", body = Problem),
              (status = FORBIDDEN, description = "Only admins of the organization may do this, with a session", body = Problem, example = json!("forbidden"))))]
async fn withdraw(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<MemberPath>,
) -> Result<impl IntoResponse, Failure> {
    app.authority
        .withdraw_invitation(&caller, &path.organization, &path.email)
        .await?;
    Ok(no_content())
}
