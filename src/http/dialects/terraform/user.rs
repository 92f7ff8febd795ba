//! User resources in responses.

use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::{Caller, policy};
use crate::http::dialects::terraform::document::{Identifier, Linked};
use jeton_core::directory::{Email, Person};
use jeton_core::token::ManagementScope;

/// A user, or the service account of a team, an organization or the deployment.
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

/// The attributes of a user. Attributes that jeton does not have are `null` or false.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct UserAttributes {
    /// Same as the e-mail address, which identifies a user.
    #[schema(example = "ada@example.com")]
    username: String,
    #[schema(required = true, example = "ada@example.com")]
    email: Option<String>,
    is_service_account: bool,
    /// Whether the user is a site administrator.
    is_site_admin: bool,
    #[schema(example = "password")]
    auth_method: &'static str,
    #[schema(required = true)]
    avatar_url: Option<String>,
    #[schema(required = true)]
    unconfirmed_email: Option<String>,
    v2_only: bool,
    /// The permissions of the caller's credential; absent for other users.
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<UserPermissions>,
}

/// The caller's permissions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct UserPermissions {
    can_create_organizations: bool,
    can_change_email: bool,
    can_change_username: bool,
    can_manage_user_tokens: bool,
}

/// The relationships of a user.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
struct UserRelationships {
    /// The team or organization of a service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    authenticated_resource: Option<Linked>,
}

impl UserResource {
    /// Returns a user other than the caller.
    pub(super) fn of(person: &Person) -> Self {
        Self::person(person, None)
    }

    /// Returns the caller.
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

    /// Returns the user of an invited address, whether or not somebody has it: their id has the form of a user's id and
    /// belongs to none.
    pub(super) fn invited(suffix: &str, email: &Email) -> Self {
        Self::new(format!("user-{suffix}"), email, false, None)
    }

    /// Returns the id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    fn person(person: &Person, permissions: Option<UserPermissions>) -> Self {
        Self::new(
            person.id.to_string(),
            &person.email,
            person.site_admin,
            permissions,
        )
    }

    fn new(id: String, email: &Email, is_site_admin: bool, permissions: Option<UserPermissions>) -> Self {
        let email = email.to_string();
        Self {
            id,
            kind: "users",
            attributes: UserAttributes {
                username: email.clone(),
                email: Some(email),
                is_service_account: false,
                is_site_admin,
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

    /// Returns the service account of a token that acts for no user. Its id has the form of a user's id
    /// and belongs to none.
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
