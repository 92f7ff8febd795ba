//! Organization resources in responses.

use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::{Caller, Error, policy};
use crate::http::App;
use crate::http::dialects::terraform::document::Itself;
use crate::http::domain_types;
use jeton_core::clock::Timestamp;
use jeton_core::directory::Organization;
use jeton_core::token::ManagementScope;

/// An organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Organization)]
pub(super) struct OrganizationResource {
    /// The name of the organization.
    #[schema(example = "default")]
    id: String,
    #[serde(rename = "type")]
    #[schema(example = "organizations")]
    kind: &'static str,
    attributes: OrganizationAttributes,
    links: Itself,
}

/// The attributes of an organization.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct OrganizationAttributes {
    #[schema(example = "default")]
    name: String,
    /// The id in tokens, which never changes.
    external_id: String,
    #[schema(required = true)]
    email: Option<String>,
    #[schema(value_type = domain_types::Instant)]
    created_at: Timestamp,
    permissions: OrganizationPermissions,
}

/// The caller's permissions on the organization.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct OrganizationPermissions {
    can_update: bool,
    can_destroy: bool,
    can_create_team: bool,
    can_update_api_token: bool,
    can_traverse: bool,
}

impl OrganizationResource {
    pub(super) async fn of(app: &App, caller: &Caller, organization: Organization) -> Result<Self, Error> {
        let rank = app.authority.rank(caller, organization.id).await?;
        let manages = policy::manage_organization(&rank).is_ok();
        let may = |scope| manages && caller.holds(scope);
        Ok(Self {
            id: organization.name.to_string(),
            kind: "organizations",
            attributes: OrganizationAttributes {
                permissions: OrganizationPermissions {
                    can_update: may(ManagementScope::OrganizationsWrite),
                    can_destroy: policy::govern_organization(&rank, caller).is_ok(),
                    can_create_team: may(ManagementScope::OrganizationsWrite),
                    can_update_api_token: may(ManagementScope::TokensWrite),
                    can_traverse: true,
                },
                external_id: organization.id.to_string(),
                email: organization.email,
                created_at: organization.created_at,
                name: organization.name.to_string(),
            },
            links: Itself::at("organizations", &organization.name),
        })
    }
}
