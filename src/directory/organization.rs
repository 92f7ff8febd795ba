//! The tenant.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::directory::Name;

/// An organization's id, which no renaming changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct OrganizationId(pub Uuid);

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An organization named in a request, by id or by name. The id is tried first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OrganizationReference {
    /// Its id.
    Id(OrganizationId),
    /// Its name in canonical form.
    Name(String),
}

impl From<OrganizationId> for OrganizationReference {
    fn from(id: OrganizationId) -> Self {
        Self::Id(id)
    }
}

impl FromStr for OrganizationReference {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match Uuid::try_parse(text) {
            Ok(id) => Self::Id(OrganizationId(id)),
            Err(_) => Self::Name(Name::canonical_form(text)),
        })
    }
}

/// An organization's own limits. None by default.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The longest life of a new token, in seconds. Tokens that never expire are then refused.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 3_153_600_000_u64, example = 31_536_000)]
    pub max_lifetime: Option<u64>,
    /// The most active tokens that one owner (a person, a team, the organization) may have.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000_000, example = 10)]
    pub max_active_tokens_per_owner: Option<u32>,
}

/// An organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// Its id.
    pub id: OrganizationId,
    /// Its name, unique among organizations.
    pub name: Name,
    /// Whom to write to.
    pub email: Option<String>,
    /// Where it wants to be told things.
    pub notification_url: Option<String>,
    /// Its own limits.
    pub policy: Policy,
    /// When it was made.
    pub created_at: Timestamp,
}
