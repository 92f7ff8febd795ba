//! Members of an organization: `/organizations/{organization}/organization-memberships`.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::caller::{Caller, LoggedIn, OrganizationsRead};
use crate::http::dialects::terraform::data::{Data, Identifiers};
use crate::http::dialects::terraform::document::{
    Document, Identifier, Including, JsonApi, ListDocument, ToOne,
};
use crate::http::dialects::terraform::page::{PageForm, Paged};
use crate::http::dialects::terraform::path::OrganizationPath;
use crate::http::dialects::terraform::user::UserResource;
use crate::http::domain_types::{MemberStatusWord, Word};
use crate::http::input::{Form, Input};
use crate::http::{App, Failure};
use jeton_core::directory::{Email, MemberStatus, Organization, TeamReference};
use jeton_store::{Found, PersonReference, Search};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, create))
}

/// Filters and included resources of the list.
#[derive(Debug, Form)]
#[form(query)]
struct FilterForm {
    /// Only users whose e-mail address contains this text, ignoring case.
    #[form(length(max = 255))]
    q: Option<String>,
    /// Only users with one of these e-mail addresses, separated by commas. The parameter can be
    /// repeated.
    #[form(name = "filter[email]", length(max = 100))]
    email: Option<Vec<String>>,
    /// Only memberships with this status.
    #[form(name = "filter[status]")]
    status: Option<MemberStatus>,
    /// `user` includes the users; other names are ignored.
    #[form(length(max = 255), example = "user")]
    include: Option<String>,
}

impl FilterForm {
    fn search(&self, page: PageForm) -> Search {
        let text = self.q.as_ref().map(|text| text.to_lowercase());
        let emails = self.email.as_ref().map(|emails| {
            let emails = emails.iter().flat_map(|emails| emails.split(','));
            emails.map(|email| email.trim().to_lowercase()).collect()
        });
        page.search(text, emails)
    }

    fn includes_users(&self) -> bool {
        let mut names = self.include.iter().flat_map(|names| names.split(','));
        names.any(|name| name.trim() == "user")
    }
}

/// A membership to create.
type NewMembership = Data<CreateAttributes, CreateRelationships>;

/// The attributes of a membership to create.
#[derive(Debug, Form)]
#[form(body, name = "CreateOrganizationMembershipAttributes")]
struct CreateAttributes {
    #[form(example = "ada@example.com")]
    email: Email,
}

/// The relationships of a membership to create.
#[derive(Debug, Form)]
#[form(body, name = "CreateOrganizationMembershipRelationships")]
struct CreateRelationships {
    /// Teams of the organization that the user is added to.
    #[form(nested)]
    teams: Option<Identifiers<String>>,
}

/// A membership in an organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrganizationMembership)]
struct MembershipResource {
    /// The id, which depends only on the e-mail address and the organization.
    #[schema(example = "ou-Qm8VtW2pR6sYxZk3")]
    id: String,
    #[serde(rename = "type")]
    #[schema(example = "organization-memberships")]
    kind: &'static str,
    attributes: MembershipAttributes,
    relationships: MembershipRelationships,
}

/// The attributes of a membership.
#[derive(Debug, Serialize, ToSchema)]
struct MembershipAttributes {
    #[schema(inline)]
    status: MemberStatusWord,
    #[schema(example = "ada@example.com")]
    email: String,
}

/// The relationships of a membership.
#[derive(Debug, Serialize, ToSchema)]
struct MembershipRelationships {
    organization: ToOne,
    /// For an `invited` address an id that belongs to nobody, so that the list does not reveal whether a user has the
    /// address; `null` in the response that creates the membership.
    user: ToOne,
}

impl MembershipResource {
    fn of(
        organization: &Organization,
        email: &Email,
        status: MemberStatus,
        user: Option<Identifier>,
    ) -> Self {
        Self {
            id: format!("ou-{}", suffix(organization, email)),
            kind: "organization-memberships",
            attributes: MembershipAttributes {
                status: Word(status),
                email: email.to_string(),
            },
            relationships: MembershipRelationships {
                organization: ToOne::with("organizations", &organization.name),
                user: ToOne { data: user },
            },
        }
    }
}

/// Returns the part of an id that depends only on the e-mail address and the organization.
fn suffix(organization: &Organization, email: &Email) -> String {
    let named = format!("{} {email}", organization.id);
    let hash = digest::digest(&digest::SHA256, named.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hash.get(..16).unwrap_or_default().to_owned()
}

/// List organization memberships
///
/// Lists members and invited addresses, sorted by e-mail address.
#[utoipa::path(get, path = "/api/v2/organizations/{organization}/organization-memberships", tag = "organizations",
    operation_id = "list_organization_memberships", params(OrganizationPath, FilterForm, PageForm),
    responses((status = OK, description = "A page of the list",
                  body = Including<ListDocument<MembershipResource>, UserResource>,
                  content_type = "application/vnd.api+json")))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    uri: Uri,
    Input { path, query, .. }: Input<OrganizationPath, Paged<FilterForm>>,
) -> Result<JsonApi<Including<ListDocument<MembershipResource>, UserResource>>, Failure> {
    let Paged { filter, page } = query;
    let organization = app.authority.organization(&caller, &path.organization).await?;
    let Found { items, total } = app
        .authority
        .find_members(&caller, &path.organization, filter.status, filter.search(page))
        .await?;
    let (mut data, mut users) = (Vec::new(), Vec::new());
    for belonging in items {
        let (email, status) = (belonging.email().clone(), belonging.status());
        let user = match belonging.member() {
            Some(member) => UserResource::of(&member.person),
            None => UserResource::invited(&suffix(&organization, &email), &email),
        };
        let user_id = Some(Identifier::of("users", &user.id()));
        data.push(MembershipResource::of(&organization, &email, status, user_id));
        users.push(user);
    }
    let base = &app.authority.settings().issuer;
    Ok(JsonApi(Including {
        document: ListDocument::of(data, page, total, base, &uri),
        included: filter.includes_users().then_some(users),
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
async fn create(
    caller: Caller<LoggedIn>,
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
    let data = MembershipResource::of(&organization, &email, MemberStatus::Invited, None);
    Ok((StatusCode::CREATED, JsonApi(Document { data })))
}
