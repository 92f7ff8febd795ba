//! Organizations: `/api/v2/organizations`, for clients that do not use JSON:API.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::http::caller::{Caller, OrganizationsRead};
use crate::http::domain_types;
use crate::http::input::{Form, Input};
use crate::http::{App, Failure, all_pages};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Organization, OrganizationReference};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// An organization.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct OrganizationPath {
    /// The organization's machine name (jeton's name) or id.
    #[form(example = "default")]
    pub(super) organization: OrganizationReference,
}

/// An organization in the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedOrganization)]
struct Listed {
    /// The name. In jeton it is the same as the machine name.
    #[schema(example = "default")]
    name: String,
    /// The machine name, which URLs contain.
    #[schema(example = "default")]
    machine_name: String,
}

/// An organization. Fields that jeton does not have are `null`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
struct Shown {
    #[serde(flatten)]
    names: Listed,
    /// Always `null`.
    #[serde(rename = "type")]
    #[schema(required = true)]
    kind: Option<String>,
    /// Always `null`.
    #[schema(required = true)]
    region: Option<String>,
    /// Always `null`.
    #[schema(required = true)]
    subscription: Option<String>,
    #[schema(value_type = domain_types::Instant)]
    created_at: Timestamp,
    /// Always `null`.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    updated_at: Option<Timestamp>,
}

impl Listed {
    fn of(organization: &Organization) -> Self {
        Self {
            name: organization.name.to_string(),
            machine_name: organization.name.to_string(),
        }
    }
}

/// List organizations
///
/// Lists the organizations you belong to, sorted by name. Site administrators see all organizations.
#[utoipa::path(get, path = "/api/v2/organizations", tag = "organizations", operation_id = "organizations_list",
    responses((status = OK, description = "The organizations", body = Vec<Listed>)))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
) -> Result<Json<Vec<Listed>>, Failure> {
    let part = |slice| app.authority.organizations(&caller, slice);
    let found = all_pages::slices(part, |one| one.name.canonical()).await?;
    Ok(Json(found.iter().map(Listed::of).collect()))
}

/// Get an organization
#[utoipa::path(get, path = "/api/v2/organizations/{organization}", tag = "organizations", operation_id = "organizations_read",
    params(OrganizationPath),
    responses((status = OK, description = "The organization", body = Shown)))]
async fn show(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<Json<Shown>, Failure> {
    let organization = app.authority.organization(&caller, &path.organization).await?;
    Ok(Json(Shown {
        names: Listed::of(&organization),
        kind: None,
        region: None,
        subscription: None,
        created_at: organization.created_at,
        updated_at: None,
    }))
}
