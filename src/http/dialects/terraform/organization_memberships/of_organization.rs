//! Members of an organization: `/organizations/{organization}/organization-memberships`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;

use crate::http::caller::{Caller, LoggedIn, Once, OrganizationsRead};
use crate::http::dialects::terraform::data::{Data, Identifiers};
use crate::http::dialects::terraform::document::{Document, Including, JsonApi, ListDocument};
use crate::http::dialects::terraform::organization_memberships::IncludeForm;
use crate::http::dialects::terraform::organization_memberships::id::MembershipId;
use crate::http::dialects::terraform::organization_memberships::resource::MembershipResource;
use crate::http::dialects::terraform::page::{PageForm, Paged};
use crate::http::dialects::terraform::path::OrganizationPath;
use crate::http::dialects::terraform::user::UserResource;
use crate::http::input::{Form, Input};
use crate::http::{App, Failure};
use jeton_core::directory::{Email, MemberStatus, TeamReference};
use jeton_store::{Found, PersonReference, Search};

/// Filters of the list.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct FilterForm {
    /// Only users whose e-mail address contains this text, ignoring the case of ASCII letters.
    #[form(length(max = 255))]
    q: Option<String>,
    /// Only users with one of these e-mail addresses, separated by commas. The parameter can be
    /// repeated.
    #[form(name = "filter[email]", length(max = 100))]
    email: Option<Vec<String>>,
    /// Only memberships with this status.
    #[form(name = "filter[status]")]
    status: Option<MemberStatus>,
}

/// Filters and included resources of the list.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct ListForm {
    #[form(flatten)]
    filter: FilterForm,
    #[form(flatten)]
    include: IncludeForm,
}

impl FilterForm {
    fn search(&self, page: PageForm) -> Search {
        let text = self.q.as_ref().map(|text| Email::searched(text).to_lowercase());
        let emails = self.email.as_ref().map(|emails| {
            let emails = emails.iter().flat_map(|emails| emails.split(','));
            emails
                .map(|email| {
                    email
                        .parse()
                        .map_or_else(|_| email.to_lowercase(), |email: Email| email.to_string())
                })
                .collect()
        });
        page.search(text, emails)
    }
}

/// A membership to create.
type NewMembership = Data<CreateAttributes, CreateRelationships>;

/// The attributes of a membership to create.
#[derive(Debug, Form)]
#[form(body, name = "CreateOrganizationMembershipAttributes")]
pub(super) struct CreateAttributes {
    #[form(example = "ada@example.com")]
    email: Email,
}

/// The relationships of a membership to create.
#[derive(Debug, Form)]
#[form(body, name = "CreateOrganizationMembershipRelationships")]
pub(super) struct CreateRelationships {
    /// Teams of the organization that the user is added to.
    #[form(nested)]
    teams: Option<Identifiers<String>>,
}

/// List organization memberships
///
/// Lists members and invited addresses, sorted by e-mail address.
#[utoipa::path(get, path = "/api/v2/organizations/{organization}/organization-memberships", tag = "organizations",
    operation_id = "list_organization_memberships", params(OrganizationPath, FilterForm, IncludeForm, PageForm),
    responses((status = OK, description = "A page of the list",
                  body = Including<ListDocument<MembershipResource>, UserResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    uri: Uri,
    Input { path, query, .. }: Input<OrganizationPath, Paged<ListForm>>,
) -> Result<JsonApi<Including<ListDocument<MembershipResource>, UserResource>>, Failure> {
    let Paged { filter, page } = query;
    let ListForm { filter, include } = filter;
    let organization = app.authority.organization(&caller, &path.organization).await?;
    let Found { items, total } = app
        .authority
        .find_members(&caller, &path.organization, filter.status, filter.search(page))
        .await?;
    let listed = items
        .iter()
        .map(|belonging| MembershipResource::of(organization.id, &organization.name, belonging));
    let (data, users) = listed.unzip();
    let base = app.authority.issuer();
    Ok(JsonApi(Including {
        document: ListDocument::of(data, page, total, base, &uri),
        included: include.users().then_some(users),
    }))
}

/// Add a user to an organization
///
/// Invites the user as a member, and to the given teams. A user who already has a role keeps it. The
/// membership is `active` once the user accepts the invitation; if a site administrator adds the user, or
/// the server does not require consent, at once, or as soon as the user is created. The response has the
/// status `invited` in all cases. Needs a session.
#[utoipa::path(post, path = "/api/v2/organizations/{organization}/organization-memberships", tag = "organizations",
    operation_id = "create_organization_membership", params(OrganizationPath),
    request_body(content = NewMembership, content_type = "application/vnd.api+json",
        example = json!({"data": {"type": "organization-memberships", "attributes": {"email": "ada@example.com"}}})),
    responses((status = CREATED, description = "The membership", body = Document<MembershipResource>,
                  content_type = "application/vnd.api+json")))]
pub(super) async fn create(
    caller: Caller<Once<LoggedIn>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<OrganizationPath, (), NewMembership>,
) -> Result<impl IntoResponse, Failure> {
    let organization = app.authority.organization(&caller, &path.organization).await?;
    let email = body.data.attributes.email;
    let ids = body
        .data
        .relationships
        .teams
        .map_or_else(Vec::new, Identifiers::ids);
    let Ok(teams) = ids
        .iter()
        .map(|id| id.parse())
        .collect::<Result<Vec<TeamReference>, _>>();
    let people = [PersonReference::Email(email.clone())];
    app.authority
        .add_members(&caller, &path.organization, &teams, &people)
        .await?;
    let id = MembershipId {
        organization: organization.id,
        email,
    };
    let data = MembershipResource::created(&id, &organization.name);
    Ok((StatusCode::CREATED, JsonApi(Document { data })))
}
