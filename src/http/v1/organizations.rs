//! `/organizations`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;
use validator::Validate;

use crate::clock::Timestamp;
use crate::directory::{Name, Organization, OrganizationReference, Policy};
use crate::http::caller::{Caller, LoggedIn, OrganizationsRead, OrganizationsWrite};
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::v1::page::{Items, SliceForm};
use crate::http::v1::render::Problem;
use crate::http::{App, Failure, no_content};
use crate::store::{OrganizationChanges, Slice};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show, change, remove))
}

/// Which organization.
#[derive(Debug, Validate, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OrganizationPath {
    /// Its name or its id.
    #[param(value_type = String, example = "default")]
    pub(super) organization: OrganizationReference,
}

impl Form for OrganizationPath {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            organization: fields.required("organization"),
        }
    }
}

/// An organization's own limits. `null` is no limit.
#[derive(Debug, Validate, ToSchema)]
#[schema(as = OrganizationPolicy)]
pub(crate) struct PolicyForm {
    /// The longest life of a new token, in seconds. Tokens that never expire are then refused.
    #[validate(range(min = 60, max = 3_153_600_000_i64))]
    #[schema(minimum = 60, maximum = 3_153_600_000_i64, example = 31_536_000)]
    max_lifetime: Option<i64>,
    /// The most active tokens that one owner (a person, a team, the organization) may have.
    #[validate(range(min = 1, max = 1_000_000))]
    #[schema(minimum = 1, maximum = 1_000_000, example = 10)]
    max_active_tokens_per_owner: Option<i64>,
}

impl Form for PolicyForm {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            max_lifetime: fields.optional("max_lifetime"),
            max_active_tokens_per_owner: fields.optional("max_active_tokens_per_owner"),
        }
    }
}

impl Request for Policy {
    type Form = PolicyForm;

    fn parse(form: PolicyForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        Ok(Self {
            max_lifetime: form.max_lifetime.and_then(|seconds| seconds.try_into().ok()),
            max_active_tokens_per_owner: form
                .max_active_tokens_per_owner
                .and_then(|most| most.try_into().ok()),
        })
    }
}

/// A new organization.
#[derive(Debug, Validate, ToSchema)]
#[schema(as = CreateOrganization)]
pub(crate) struct CreateForm {
    /// Up to 90 letters, digits and `.`, `_`, `*`, `-`; unique whatever its case.
    #[schema(value_type = String, min_length = 1, max_length = 90, pattern = "^[A-Za-z0-9][A-Za-z0-9._*-]{0,89}$", example = "acme")]
    name: Name,
    /// Whom to write to.
    #[validate(length(max = 254))]
    #[schema(max_length = 254, example = "ops@example.com")]
    email: Option<String>,
    /// Where it wants to be told things.
    #[validate(length(max = 2048))]
    #[schema(max_length = 2048, example = "https://example.com/notify")]
    notification_url: Option<String>,
    #[schema(value_type = Option<PolicyForm>)]
    policy: Option<Policy>,
}

impl Form for CreateForm {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.required("name"),
            email: fields.optional("email"),
            notification_url: fields.optional("notification_url"),
            policy: fields.nested("policy"),
        }
    }
}

/// Changes to an organization. What is absent stays as it is.
#[derive(Debug, Validate, ToSchema)]
#[schema(as = ChangeOrganization)]
pub(crate) struct ChangeForm {
    /// A new name. Tokens are not touched: they carry the id.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 90, pattern = "^[A-Za-z0-9][A-Za-z0-9._*-]{0,89}$")]
    name: Option<Name>,
    /// Whom to write to; `null` takes it away.
    #[validate(length(max = 254))]
    #[schema(value_type = Option<String>, max_length = 254, example = "ops@example.com")]
    email: Option<Option<String>>,
    /// Where it wants to be told things; `null` takes it away.
    #[validate(length(max = 2048))]
    #[schema(value_type = Option<String>, max_length = 2048)]
    notification_url: Option<Option<String>>,
    /// The whole new policy. It holds for the next token; needs a session.
    #[schema(value_type = Option<PolicyForm>)]
    policy: Option<Policy>,
}

impl Form for ChangeForm {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            name: fields.given("name"),
            email: fields.change("email"),
            notification_url: fields.change("notification_url"),
            policy: fields.nested("policy"),
        }
    }
}

impl Request for OrganizationChanges {
    type Form = ChangeForm;

    fn parse(form: ChangeForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        let ChangeForm {
            name,
            email,
            notification_url,
            policy,
        } = form;
        Ok(Self {
            name,
            email,
            notification_url,
            policy,
        })
    }
}

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
pub(super) struct OrganizationInfo {
    /// Never changes.
    id: Uuid,
    #[schema(example = "default")]
    name: String,
    #[schema(required = true)]
    email: Option<String>,
    #[schema(required = true)]
    notification_url: Option<String>,
    policy: Policy,
    created_at: Timestamp,
}

impl From<Organization> for OrganizationInfo {
    fn from(organization: Organization) -> Self {
        let Organization {
            id,
            name,
            email,
            notification_url,
            policy,
            created_at,
        } = organization;
        Self {
            id: id.0,
            name: name.to_string(),
            email,
            notification_url,
            policy,
            created_at,
        }
    }
}

/// Make an organization
///
/// Whoever makes it becomes its admin.
#[utoipa::path(post, path = "/api/v1/organizations", tag = "organizations", operation_id = "create_organization",
    request_body = CreateForm,
    responses((status = CREATED, description = "The organization", body = OrganizationInfo,
                  headers(("Location" = String, description = "Its address"))),
              (status = CONFLICT, description = "The name belongs to another", body = Problem)))]
async fn create(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), CreateForm>,
) -> Result<impl IntoResponse, Failure> {
    let CreateForm {
        name,
        email,
        notification_url,
        policy,
    } = body;
    let details = OrganizationChanges {
        name: None,
        email: Some(email),
        notification_url: Some(notification_url),
        policy,
    };
    let made = app
        .authority
        .create_organization(&caller, &name, &details)
        .await?;
    let location = [(header::LOCATION, format!("/api/v1/organizations/{}", made.id))];
    Ok((StatusCode::CREATED, location, Json(OrganizationInfo::from(made))))
}

/// List organizations
///
/// Those you belong to, in the order of their names; all of them for a site administrator.
#[utoipa::path(get, path = "/api/v1/organizations", tag = "organizations", operation_id = "list_organizations",
    params(SliceForm),
    responses((status = OK, description = "A part of the list", body = Items<OrganizationInfo>)))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), Slice>,
) -> Result<Json<Items<OrganizationInfo>>, Failure> {
    let found = app.authority.organizations(&caller, query.clone()).await?;
    Ok(Json(Items::of(
        &query,
        found,
        |one| one.name.canonical(),
        OrganizationInfo::from,
    )))
}

/// Show an organization
#[utoipa::path(get, path = "/api/v1/organizations/{organization}", tag = "organizations", operation_id = "get_organization",
    params(OrganizationPath),
    responses((status = OK, description = "The organization", body = OrganizationInfo)))]
async fn show(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Json<OrganizationInfo>, Failure> {
    Ok(Json(
        app.authority
            .organization(&caller, &path.organization)
            .await?
            .into(),
    ))
}

/// Change an organization
#[utoipa::path(patch, path = "/api/v1/organizations/{organization}", tag = "organizations", operation_id = "change_organization",
    params(OrganizationPath), request_body = ChangeForm,
    responses((status = OK, description = "The organization as it is now", body = OrganizationInfo),
              (status = CONFLICT, description = "The name belongs to another", body = Problem)))]
async fn change(
    caller: Caller<OrganizationsWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<OrganizationPath, (), OrganizationChanges>,
) -> Result<Json<OrganizationInfo>, Failure> {
    Ok(Json(
        app.authority
            .change_organization(&caller, &path.organization, &body)
            .await?
            .into(),
    ))
}

/// Remove an organization
///
/// With its teams and projects. From the answer on all of its tokens are refused.
#[utoipa::path(delete, path = "/api/v1/organizations/{organization}", tag = "organizations", operation_id = "delete_organization",
    params(OrganizationPath),
    responses((status = NO_CONTENT, description = "It is gone")))]
async fn remove(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<impl IntoResponse, Failure> {
    app.authority
        .remove_organization(&caller, &path.organization)
        .await?;
    Ok(no_content())
}
