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
use crate::http::dialects::terraform::document::{Document, Including, JsonApi, ListDocument, ToOne};
use crate::http::dialects::terraform::page::{PageForm, Paged};
use crate::http::dialects::terraform::path::OrganizationPath;
use crate::http::dialects::terraform::user::UserResource;
use crate::http::domain_types::Word;
use crate::http::input::{Choice, Form, Input};
use crate::http::{App, Failure};
use jeton_core::directory::{Email, Member, Organization, TeamReference};
use jeton_store::{Found, PersonReference, Search};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, create))
}

/// Whether a membership is active or waits for its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Active,
    Invited,
}

/// The status in a response.
type StatusWord = Word<Status>;

impl Choice for Status {
    const WORDS: &'static [(&'static str, Self)] = &[("active", Self::Active), ("invited", Self::Invited)];
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
    /// Only memberships with this status. All listed memberships are `active`: the list does not reveal
    /// invited addresses.
    #[form(name = "filter[status]")]
    status: Option<Status>,
    /// `user` includes the users; other names are ignored.
    #[form(length(max = 255), example = "user")]
    include: Option<String>,
}

impl FilterForm {
    fn search(&self, page: PageForm) -> Search {
        let text = self.q.as_ref().map(|text| text.to_lowercase());
        let emails = match (self.status, &self.email) {
            (Some(Status::Invited), _) => Some(Vec::new()),
            (_, None) => None,
            (_, Some(emails)) => {
                let emails = emails.iter().flat_map(|emails| emails.split(','));
                Some(emails.map(|email| email.trim().to_lowercase()).collect())
            }
        };
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
#[form(body, name = "NewOrganizationMembershipAttributes")]
struct CreateAttributes {
    #[form(example = "ada@example.com")]
    email: Email,
}

/// The relationships of a membership to create.
#[derive(Debug, Form)]
#[form(body, name = "NewOrganizationMembershipRelationships")]
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
    status: StatusWord,
    #[schema(example = "ada@example.com")]
    email: String,
}

/// The relationships of a membership.
#[derive(Debug, Serialize, ToSchema)]
struct MembershipRelationships {
    organization: ToOne,
    /// `null` in the response that creates the membership, which must not reveal whether a user has the
    /// address.
    user: ToOne,
}

impl MembershipResource {
    fn of(organization: &Organization, email: &Email, status: Status, user: ToOne) -> Self {
        let named = format!("{} {email}", organization.id);
        let hash = digest::digest(&digest::SHA256, named.as_bytes());
        let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            id: format!("ou-{}", hash.get(..16).unwrap_or_default()),
            kind: "organization-memberships",
            attributes: MembershipAttributes {
                status: Word(status),
                email: email.to_string(),
            },
            relationships: MembershipRelationships {
                organization: ToOne::with("organizations", &organization.name),
                user,
            },
        }
    }
}

/// List organization memberships
///
/// Sorted by e-mail address.
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
        .find_members(&caller, &path.organization, filter.search(page))
        .await?;
    let (mut data, mut users) = (Vec::new(), Vec::new());
    for Member { person, .. } in items {
        let user = ToOne::with("users", &person.id);
        data.push(MembershipResource::of(
            &organization,
            &person.email,
            Status::Active,
            user,
        ));
        users.push(UserResource::of(&person));
    }
    let base = &app.authority.settings().issuer;
    Ok(JsonApi(Including {
        document: ListDocument::of(data, page, total, base, &uri),
        included: filter.includes_users().then_some(users),
    }))
}

/// Add a user to an organization
///
/// Adds the user as a member, and to the given teams. A user who already has a role keeps it. If no
/// user has the e-mail address, the membership applies once the user is created. The response has the
/// status `invited` in both cases. Needs a session.
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
    let user = ToOne { data: None };
    let data = MembershipResource::of(&organization, &email, Status::Invited, user);
    Ok((StatusCode::CREATED, JsonApi(Document { data })))
}
