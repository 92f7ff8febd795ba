//! `/organizations`.

mod resource;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::authority::OrganizationChanges;
use crate::authority::{ChangeOrganization, ExistingTokens, ItsTeams, Run};
use crate::http::caller::{Caller, LoggedIn, OrganizationsRead, OrganizationsWrite};
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

/// A new organization.
type NewOrganization = Data<CreateAttributes>;

/// What is said of a new organization. What is not listed is passed over.
#[derive(Debug, Form)]
#[form(body, name = "NewOrganizationAttributes")]
struct CreateAttributes {
    /// Up to 90 letters, digits and `.`, `_`, `*`, `-`; unique whatever its case.
    #[form(example = "north")]
    name: Name,
    /// Whom to write to.
    #[form(example = "ops@example.com")]
    email: Option<Contact>,
}

/// What is to be different about an organization.
type ChangedOrganization = Data<ChangeAttributes>;

/// What is said of it. What is absent stays, and what is not listed is passed over.
#[derive(Debug, Form)]
#[form(body, name = "ChangedOrganizationAttributes")]
struct ChangeAttributes {
    /// A new name. It is the organization's id in this API; tokens are not touched.
    #[form(example = "north")]
    name: Option<Name>,
    /// Whom to write to; `null` takes it away.
    #[form(example = "ops@example.com")]
    email: Option<Option<Contact>>,
}

/// Which organizations.
#[derive(Debug, Form)]
#[form(query)]
struct FilterForm {
    /// With this in their name or address, whatever its case.
    #[form(length(max = 255))]
    q: Option<String>,
}

/// List organizations
///
/// Those you belong to, in the order of their names; all of them for a site administrator.
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
    let base = &app.authority.settings().issuer;
    Ok(JsonApi(ListDocument::of(data, query.page, total, base, &uri)))
}

/// Make an organization
///
/// Whoever makes it becomes its admin. Needs a session: no API token can do this.
#[utoipa::path(post, path = "/api/v2/organizations", tag = "organizations", operation_id = "create_organization",
    request_body(content = NewOrganization, content_type = "application/vnd.api+json",
        example = json!({"data": {"type": "organizations", "attributes": {"name": "north", "email": "ops@example.com"}}})),
    responses((status = CREATED, description = "The organization", body = Document<OrganizationResource>,
                  content_type = "application/vnd.api+json")))]
async fn create(
    caller: Caller<LoggedIn>,
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

/// Show an organization
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

/// Change an organization
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

/// Remove an organization
///
/// With everything in it: from the answer on all of its tokens are refused. Needs a session.
#[utoipa::path(delete, path = "/api/v2/organizations/{organization}", tag = "organizations",
    operation_id = "remove_organization", params(OrganizationPath),
    responses((status = NO_CONTENT, description = "It is gone")))]
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
