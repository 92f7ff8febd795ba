//! A group in an organization.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;
use crate::directory::{Name, OrganizationId};
use crate::entropy::Entropy;

/// A team's id: `team-` and 16 letters and digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct TeamId(String);

impl TeamId {
    /// An id that no team has had.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(format!("team-{}", entropy.alphanumeric(16)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TeamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that is no such id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id; expected `team-` or `user-` and 16 letters and digits")]
pub struct NotAnId;

/// Whether a text is a prefix and 16 letters and digits.
pub(super) fn is_public_id(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

impl FromStr for TeamId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if is_public_id(text, "team-") {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnId)
        }
    }
}

impl TryFrom<String> for TeamId {
    type Error = NotAnId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A team named in a request, by id or by name. The id is tried first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TeamReference {
    /// Its id.
    Id(TeamId),
    /// Its name in canonical form.
    Name(String),
}

impl fmt::Display for TeamReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl FromStr for TeamReference {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.parse() {
            Ok(id) => Self::Id(id),
            Err(NotAnId) => Self::Name(Name::canonical_form(text)),
        })
    }
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// Its name, unique within the organization.
    pub name: Name,
    /// The organization it belongs to.
    pub organization: OrganizationId,
    /// When it was made.
    pub created_at: Timestamp,
}
