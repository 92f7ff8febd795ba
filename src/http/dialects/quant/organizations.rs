//! `/api/v2/organizations`, where clients do not speak JSON:API.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::caller::{Caller, OrganizationsRead};
use crate::http::input::{Form, Input};
use crate::http::nouns;
use crate::http::{App, Failure, whole};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Organization, OrganizationReference};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(show))
}

/// Which organization.
#[derive(Debug, Form)]
#[form(path)]
pub(super) struct OrganizationPath {
    /// Its machine name, which is its name in jeton, or its id.
    #[form(example = "default")]
    pub(super) organization: OrganizationReference,
}

/// An organization in the list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ListedOrganization)]
struct Listed {
    /// Jeton has one name for both.
    #[schema(example = "default")]
    name: String,
    /// What its addresses contain.
    #[schema(example = "default")]
    machine_name: String,
}

/// An organization. What jeton does not have of it is `null`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
struct Shown {
    #[serde(flatten)]
    names: Listed,
    /// Not known here.
    #[serde(rename = "type")]
    #[schema(required = true)]
    kind: Option<String>,
    /// Not known here.
    #[schema(required = true)]
    region: Option<String>,
    /// Not known here.
    #[schema(required = true)]
    subscription: Option<String>,
    #[schema(value_type = nouns::Instant)]
    created_at: Timestamp,
    /// Not known here.
    #[schema(value_type = Option<nouns::Instant>, required = true)]
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
/// Those you belong to, in the order of their names; all of them for a site administrator.
#[utoipa::path(get, path = "/api/v2/organizations", tag = "organizations", operation_id = "organizations_list",
    responses((status = OK, description = "All of them", body = Vec<Listed>)))]
async fn list(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
) -> Result<Json<Vec<Listed>>, Failure> {
    let part = |slice| app.authority.organizations(&caller, slice);
    let found = whole::slices(part, |one| one.name.canonical()).await?;
    Ok(Json(found.iter().map(Listed::of).collect()))
}

/// Show an organization
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
