//! A membership: `/organization-memberships/{membership_id}`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;

use crate::authority::Error;
use crate::http::caller::{Caller, LoggedIn, OrganizationsRead};
use crate::http::dialects::terraform::data::NoData;
use crate::http::dialects::terraform::document::{Document, Including, JsonApi};
use crate::http::dialects::terraform::organization_memberships::IncludeForm;
use crate::http::dialects::terraform::organization_memberships::id::MembershipId;
use crate::http::dialects::terraform::organization_memberships::resource::MembershipResource;
use crate::http::dialects::terraform::render::ErrorDocument;
use crate::http::dialects::terraform::user::UserResource;
use crate::http::input::{Form, Input};
use crate::http::{App, Failure, no_content};

/// A membership.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct MembershipPath {
    /// The id of the membership.
    #[form(example = "ou-AZfyoFwfT26aVXp9Pw9LHmFkYUBleGFtcGxlLmNvbQ")]
    membership_id: String,
}

impl MembershipPath {
    fn id(&self) -> Result<MembershipId, Error> {
        self.membership_id.parse()
    }
}

/// Get an organization membership
#[utoipa::path(get, path = "/api/v2/organization-memberships/{membership_id}", tag = "organizations",
    operation_id = "show_organization_membership", params(MembershipPath, IncludeForm),
    responses((status = OK, description = "The membership",
                  body = Including<Document<MembershipResource>, UserResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn show(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, query, .. }: Input<MembershipPath, IncludeForm>,
) -> Result<JsonApi<Including<Document<MembershipResource>, UserResource>>, Failure> {
    let (organization, belonging) = path.id()?.find(&app.authority, &caller).await?;
    let (data, user) = MembershipResource::of(organization.id, &organization.name, &belonging);
    Ok(JsonApi(Including {
        document: Document { data },
        included: query.users().then(|| vec![user]),
    }))
}

/// Remove a user from an organization
///
/// Removes the user from the organization's teams too and revokes the user's tokens of the organization;
/// withdraws the invitations of an invited address. Needs a session.
#[utoipa::path(delete, path = "/api/v2/organization-memberships/{membership_id}", tag = "organizations",
    operation_id = "remove_organization_membership", params(MembershipPath),
    responses((status = NO_CONTENT, description = "The user is removed"),
              (status = CONFLICT, description = "The user is the organization's last admin", body = ErrorDocument,
                  content_type = "application/vnd.api+json", example = json!("last_admin"))))]
pub(super) async fn remove(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<MembershipPath, (), NoData>,
) -> Result<impl IntoResponse, Failure> {
    let id = path.id()?;
    id.find(&app.authority, &caller).await?;
    app.authority
        .remove_member(&caller, &id.organization.into(), &id.email)
        .await?;
    Ok(no_content())
}
