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
    /// Always `password`: users log in with a password.
    #[schema(example = "password")]
    collaborator_auth_policy: &'static str,
    /// Whether the organization limits the lifetime of tokens.
    max_ttl_enabled: bool,
    /// Always `true`: tokens of users can read and update the organization.
    user_tokens_enabled: bool,
    /// Always `true`, as Terraform's provider expects by default. It has no effect: there are no plans.
    speculative_plan_management_enabled: bool,
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
                collaborator_auth_policy: "password",
                max_ttl_enabled: organization.policy.max_lifetime.is_some(),
                user_tokens_enabled: true,
                speculative_plan_management_enabled: true,
                created_at: organization.created_at,
                name: organization.name.to_string(),
            },
            links: Itself::at("organizations", &organization.name),
        })
    }
}
