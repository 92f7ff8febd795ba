//! Organizations: `/organizations`.

mod resource;

use std::sync::Arc;

use crate::http::routes::routes;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;

use crate::authority::OrganizationChanges;
use crate::authority::{ChangeOrganization, ExistingTokens, ItsTeams, Run};
use crate::http::caller::{Caller, LoggedIn, Once, OrganizationsRead, OrganizationsWrite};
use crate::http::dialects::terraform::data::{Data, NoData};
use crate::http::dialects::terraform::document::{Document, JsonApi, ListDocument};
use crate::http::dialects::terraform::organizations::resource::OrganizationResource;
use crate::http::dialects::terraform::page::{PageForm, Paged};
use crate::http::dialects::terraform::path::OrganizationPath;
use crate::http::input::{Form, Input};
use crate::http::{App, Failure, no_content};
use jeton_core::directory::{Contact, Name};
use jeton_store::Found;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, remove))
}

/// An organization to create.
type NewOrganization = Data<CreateAttributes>;

/// The attributes of an organization to create. Other attributes are ignored.
#[derive(Debug, Form)]
#[form(body, name = "CreateOrganizationAttributes")]
struct CreateAttributes {
    /// The name: 1 to 90 letters, digits and `.`, `_`, `*`, `-`. Unique, ignoring case.
    #[form(example = "north")]
    name: Name,
    /// A contact e-mail address.
    #[form(example = "ops@example.com")]
    email: Option<Contact>,
}

/// Changes to an organization.
type ChangedOrganization = Data<ChangeAttributes>;

/// The changed attributes. An absent attribute stays unchanged; other attributes are ignored.
#[derive(Debug, Form)]
#[form(body, name = "ChangedOrganizationAttributes")]
struct ChangeAttributes {
    /// The new name, which is the organization's id in this API. Tokens stay valid.
    #[form(example = "north")]
    name: Option<Name>,
    /// The contact e-mail address; `null` removes it.
    #[form(example = "ops@example.com")]
    email: Option<Option<Contact>>,
}

/// Filters of the list.
#[derive(Debug, Form)]
#[form(query)]
struct FilterForm {
    /// Only organizations whose name or e-mail address contains this text, ignoring the case of ASCII letters.
    #[form(length(max = 255))]
    q: Option<String>,
}

/// List organizations
///
/// Lists the organizations you belong to, sorted by name. Site administrators see all organizations.
#[utoipa::path(get, path = "/api/v2/organizations", tag = "organizations", operation_id = "list_organizations",
    params(FilterForm, PageForm),
    responses((status = OK, description = "A page of the list", body = ListDocument<OrganizationResource>,
                  content_type = "application/vnd.api+json")))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    uri: Uri,
    Input { query, .. }: Input<(), Paged<FilterForm>>,
) -> Result<JsonApi<ListDocument<OrganizationResource>>, Failure> {
    let text = query.filter.q.map(|text| text.to_lowercase());
    let search = query.page.search(text, None);
    let Found { items, total } = app.authority.find_organizations(&caller, search).await?;
    let mut data = Vec::new();
    for organization in items {
        data.push(OrganizationResource::of(&app, &caller, organization).await?);
    }
    let base = app.authority.issuer();
    Ok(JsonApi(ListDocument::of(data, query.page, total, base, &uri)))
}

/// Create an organization
///
/// The caller becomes its admin. Needs a session.
#[utoipa::path(post, path = "/api/v2/organizations", tag = "organizations", operation_id = "create_organization",
    request_body(content = NewOrganization, content_type = "application/vnd.api+json",
        example = json!({"data": {"type": "organizations", "attributes": {"name": "north", "email": "ops@example.com"}}})),
    responses((status = CREATED, description = "The organization", body = Document<OrganizationResource>,
                  content_type = "application/vnd.api+json")))]
async fn create(
    caller: Caller<Once<LoggedIn>>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), NewOrganization>,
) -> Result<impl IntoResponse, Failure> {
    let CreateAttributes { name, email } = body.data.attributes;
    let changes = OrganizationChanges {
        email: Some(email.map(String::from)),
        ..OrganizationChanges::default()
    };
    let made = app
        .authority
        .create_organization(&caller, &name, &changes)
        .await?;
    let data = OrganizationResource::of(&app, &caller, made).await?;
    Ok((StatusCode::CREATED, JsonApi(Document { data })))
}

/// Get an organization
#[utoipa::path(get, path = "/api/v2/organizations/{organization}", tag = "organizations",
    operation_id = "show_organization", params(OrganizationPath),
    responses((status = OK, description = "The organization", body = Document<OrganizationResource>,
                  content_type = "application/vnd.api+json")))]
async fn show(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<JsonApi<Document<OrganizationResource>>, Failure> {
    let found = app.authority.organization(&caller, &path.organization).await?;
    let data = OrganizationResource::of(&app, &caller, found).await?;
    Ok(JsonApi(Document { data }))
}

/// Update an organization
#[utoipa::path(patch, path = "/api/v2/organizations/{organization}", tag = "organizations",
    operation_id = "change_organization", params(OrganizationPath),
    request_body(content = Option<ChangedOrganization>, content_type = "application/vnd.api+json",
        example = json!({"data": {"type": "organizations", "attributes": {"email": "ops@example.com"}}})),
    responses((status = OK, description = "The organization", body = Document<OrganizationResource>,
                  content_type = "application/vnd.api+json")))]
async fn change(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<OrganizationPath, (), ChangedOrganization>,
) -> Result<JsonApi<Document<OrganizationResource>>, Failure> {
    let ChangeAttributes { name, email } = body.data.attributes;
    let order = ChangeOrganization {
        changes: OrganizationChanges {
            name,
            email: email.map(|email| email.map(String::from)),
            ..OrganizationChanges::default()
        },
        existing: ExistingTokens::Keep,
        run: Run::Earnest,
    };
    let changed = app
        .authority
        .change_organization(&caller, &path.organization, &order)
        .await?;
    let data = OrganizationResource::of(&app, &caller, changed.organization).await?;
    Ok(JsonApi(Document { data }))
}

/// Delete an organization
///
/// Deletes its teams and projects too, and revokes all of its tokens at once. Needs a session.
#[utoipa::path(delete, path = "/api/v2/organizations/{organization}", tag = "organizations",
    operation_id = "remove_organization", params(OrganizationPath),
    responses((status = NO_CONTENT, description = "The organization is deleted")))]
async fn remove(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath, (), NoData>,
) -> Result<impl IntoResponse, Failure> {
    app.authority
        .remove_organization(&caller, &path.organization, ItsTeams::GoToo)
        .await?;
    Ok(no_content())
}
