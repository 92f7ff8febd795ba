//! The features of an organization: `/organizations/{organization}/entitlement-set`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::http::caller::{Caller, OrganizationsRead};
use crate::http::dialects::terraform::document::{Document, JsonApi};
use crate::http::dialects::terraform::path::OrganizationPath;
use crate::http::input::Input;
use crate::http::{App, Failure};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// The features of an organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EntitlementSet)]
struct EntitlementSetResource {
    /// The id of the organization, which never changes.
    #[schema(example = "0197f2a0-5c1f-4f6e-9a55-7a7d3f0f4b1e")]
    id: String,
    #[serde(rename = "type")]
    #[schema(example = "entitlement-sets")]
    kind: &'static str,
    attributes: EntitlementAttributes,
}

/// The features: teams and audit trails are available, and nothing else is.
#[derive(Debug, Default, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct EntitlementAttributes {
    teams: bool,
    agents: bool,
    audit_logging: bool,
    cost_estimation: bool,
    global_run_tasks: bool,
    operations: bool,
    private_module_registry: bool,
    run_tasks: bool,
    sentinel: bool,
    sso: bool,
    state_storage: bool,
    vcs_integrations: bool,
    /// The maximum number of users; `null`: not limited by a plan.
    #[schema(required = true)]
    user_limit: Option<u64>,
}

/// Get the features of an organization
///
/// The same for every organization: `teams` and `audit-logging` are true, all others are false.
#[utoipa::path(get, path = "/api/v2/organizations/{organization}/entitlement-set", tag = "organizations",
    operation_id = "show_entitlement_set", params(OrganizationPath),
    responses((status = OK, description = "The features", body = Document<EntitlementSetResource>,
                  content_type = "application/vnd.api+json")))]
async fn show(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { path, .. }: Input<OrganizationPath>,
) -> Result<JsonApi<Document<EntitlementSetResource>>, Failure> {
    let organization = app.authority.organization(&caller, &path.organization).await?;
    let data = EntitlementSetResource {
        id: organization.id.to_string(),
        kind: "entitlement-sets",
        attributes: EntitlementAttributes {
            teams: true,
            audit_logging: true,
            ..EntitlementAttributes::default()
        },
    };
    Ok(JsonApi(Document { data }))
}
