//! Teams of an organization.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use crate::clock::Timestamp;
use crate::directory::public_id::public_id;
use crate::directory::{Name, OrganizationId};

public_id! {
    /// A team's id: `team-` and 16 letters and digits.
    TeamId, "team-"
}

/// A reference to a team in a request, by id or by name. The id is tried first.
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
            Err(_) => Self::Name(Name::canonical_form(text)),
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
    /// When it was created.
    pub created_at: Timestamp,
}
