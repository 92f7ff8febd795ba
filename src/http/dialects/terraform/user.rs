//! What is shown of a person.

use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::{Caller, policy};
use crate::http::dialects::terraform::document::{Identifier, Linked};
use jeton_core::directory::Person;
use jeton_core::token::ManagementScope;

/// A person, or a service account that stands for what a token acts for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub(super) struct UserResource {
    #[schema(example = "user-Tw4Ev8Ny2Ka6Mo3P")]
    id: String,
    #[serde(rename = "type")]
    #[schema(example = "users")]
    kind: &'static str,
    attributes: UserAttributes,
    relationships: UserRelationships,
}

/// What is said of them. What jeton does not have is `null` or false.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct UserAttributes {
    /// The address too: it is what tells people apart.
    #[schema(example = "ada@example.com")]
    username: String,
    #[schema(required = true, example = "ada@example.com")]
    email: Option<String>,
    is_service_account: bool,
    /// Whether they may do everything, everywhere.
    is_site_admin: bool,
    #[schema(example = "password")]
    auth_method: &'static str,
    #[schema(required = true)]
    avatar_url: Option<String>,
    #[schema(required = true)]
    unconfirmed_email: Option<String>,
    v2_only: bool,
    /// What they may do with this credential; absent where it is not the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<UserPermissions>,
}

/// What the caller may do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct UserPermissions {
    can_create_organizations: bool,
    can_change_email: bool,
    can_change_username: bool,
    can_manage_user_tokens: bool,
}

/// What they are related to.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct UserRelationships {
    /// What a service account stands for.
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated_resource: Option<Linked>,
}

impl UserResource {
    /// Somebody else.
    pub(super) fn of(person: &Person) -> Self {
        Self::person(person, None)
    }

    /// The caller.
    pub(super) fn caller(caller: &Caller, person: &Person) -> Self {
        let is_confined = caller.owner().organization().is_some();
        Self::person(
            person,
            Some(UserPermissions {
                can_create_organizations: policy::create_organization(caller).is_ok(),
                can_change_email: false,
                can_change_username: false,
                can_manage_user_tokens: !is_confined && caller.holds(ManagementScope::TokensWrite),
            }),
        )
    }

    fn person(person: &Person, permissions: Option<UserPermissions>) -> Self {
        let email = person.email.to_string();
        Self {
            id: person.id.to_string(),
            kind: "users",
            attributes: UserAttributes {
                username: email.clone(),
                email: Some(email),
                is_service_account: false,
                is_site_admin: person.site_admin,
                auth_method: "password",
                avatar_url: None,
                unconfirmed_email: None,
                v2_only: true,
                permissions,
            },
            relationships: UserRelationships {
                authenticated_resource: None,
            },
        }
    }

    /// Who a token is that acts for no person: an id of a person's form that is nobody's.
    pub(super) fn service(suffix: &str, username: String, resource: Option<Identifier>) -> Self {
        Self {
            id: format!("user-{suffix}"),
            kind: "users",
            attributes: UserAttributes {
                username,
                email: None,
                is_service_account: true,
                is_site_admin: false,
                auth_method: "token",
                avatar_url: None,
                unconfirmed_email: None,
                v2_only: true,
                permissions: Some(UserPermissions {
                    can_create_organizations: false,
                    can_change_email: false,
                    can_change_username: false,
                    can_manage_user_tokens: false,
                }),
            },
            relationships: UserRelationships {
                authenticated_resource: resource.map(Linked::of),
            },
        }
    }
}
