//! Membership resources in responses.

use aws_lc_rs::digest;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::dialects::terraform::document::{Identifier, ToOne};
use crate::http::dialects::terraform::organization_memberships::id::MembershipId;
use crate::http::dialects::terraform::user::UserResource;
use crate::http::domain_types::{MemberStatusWord, Word};
use jeton_core::directory::{Belonging, MemberStatus, Name, OrganizationId};

/// A membership in an organization.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OrganizationMembership)]
pub(in crate::http::dialects::terraform) struct MembershipResource {
    /// The id, which depends only on the e-mail address and the organization.
    #[schema(example = "ou-AZfyoFwfT26aVXp9Pw9LHmFkYUBleGFtcGxlLmNvbQ")]
    id: String,
    #[serde(rename = "type")]
    #[schema(example = "organization-memberships")]
    kind: &'static str,
    attributes: MembershipAttributes,
    relationships: MembershipRelationships,
}

/// The attributes of a membership.
#[derive(Debug, Serialize, ToSchema)]
struct MembershipAttributes {
    #[schema(inline)]
    status: MemberStatusWord,
    #[schema(example = "ada@example.com")]
    email: String,
}

/// The relationships of a membership.
#[derive(Debug, Serialize, ToSchema)]
struct MembershipRelationships {
    organization: ToOne,
    /// For an `invited` address an id that belongs to nobody, so that no response reveals whether a user has the
    /// address; `null` in the response that creates the membership.
    user: ToOne,
}

impl MembershipResource {
    /// Returns a membership that was just created, which names no user.
    pub(super) fn created(id: &MembershipId, organization: &Name) -> Self {
        Self::new(id, organization, MemberStatus::Invited, None)
    }

    /// Returns a membership and its user.
    pub(in crate::http::dialects::terraform) fn of(
        organization: OrganizationId,
        name: &Name,
        belonging: &Belonging,
    ) -> (Self, UserResource) {
        let email = belonging.email().clone();
        let id = MembershipId { organization, email };
        let user = match belonging {
            Belonging::Member(member) => UserResource::of(&member.person),
            Belonging::Invited { email, .. } => UserResource::invited(&suffix(&id), email),
        };
        let user_id = Identifier::of("users", &user.id());
        (Self::new(&id, name, belonging.status(), Some(user_id)), user)
    }

    fn new(id: &MembershipId, organization: &Name, status: MemberStatus, user: Option<Identifier>) -> Self {
        Self {
            id: id.to_string(),
            kind: KIND,
            attributes: MembershipAttributes {
                status: Word(status),
                email: id.email.to_string(),
            },
            relationships: MembershipRelationships {
                organization: ToOne::with("organizations", organization),
                user: ToOne { data: user },
            },
        }
    }

    /// Returns the identifier of the membership.
    pub(in crate::http::dialects::terraform) fn identifier(&self) -> Identifier {
        Identifier::of(KIND, &self.id)
    }
}

const KIND: &str = "organization-memberships";

/// Returns the part of the id of an invited address's user that depends only on the address and the organization.
fn suffix(id: &MembershipId) -> String {
    let named = format!("{} {}", id.organization, id.email);
    let hash = digest::digest(&digest::SHA256, named.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hash.get(..16).unwrap_or_default().to_owned()
}
