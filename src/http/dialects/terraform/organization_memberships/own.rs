//! The caller's memberships: `/organization-memberships`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;

use crate::http::caller::{Caller, OrganizationsRead};
use crate::http::dialects::terraform::document::{Including, JsonApi, ListDocument};
use crate::http::dialects::terraform::organization_memberships::IncludeForm;
use crate::http::dialects::terraform::organization_memberships::resource::MembershipResource;
use crate::http::dialects::terraform::page::{PageForm, Paged};
use crate::http::dialects::terraform::user::UserResource;
use crate::http::input::Input;
use crate::http::{App, Failure};
use jeton_core::directory::{Belonging, Member};

/// List your organization memberships
///
/// Lists the organizations that the token's user is a member of, sorted by name. Empty for a token of a team or
/// an organization. Invitations are not listed: see `GET /api/v1/me/invitations`.
#[utoipa::path(get, path = "/api/v2/organization-memberships", tag = "organizations",
    operation_id = "list_own_organization_memberships", params(IncludeForm, PageForm),
    responses((status = OK, description = "A page of the list",
                  body = Including<ListDocument<MembershipResource>, UserResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    uri: Uri,
    Input { query, .. }: Input<(), Paged<IncludeForm>>,
) -> Result<JsonApi<Including<ListDocument<MembershipResource>, UserResource>>, Failure> {
    let Paged { filter, page } = query;
    let me = app.authority.me(&caller).await?;
    let total = me.memberships.len() as u64;
    let (mut data, mut user) = (Vec::new(), None);
    if let Some(person) = me.person {
        let before = usize::try_from(page.offset()).unwrap_or(usize::MAX);
        let memberships = me.memberships.into_iter().skip(before);
        for membership in memberships.take(page.size() as usize) {
            let member = Belonging::Member(Member {
                person: person.clone(),
                role: membership.role,
            });
            let (one, itself) = MembershipResource::of(membership.organization, &membership.name, &member);
            data.push(one);
            user = Some(itself);
        }
    }
    let base = app.authority.issuer();
    Ok(JsonApi(Including {
        document: ListDocument::of(data, page, total, base, &uri),
        included: filter.users().then(|| user.into_iter().collect()),
    }))
}
