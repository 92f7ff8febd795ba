//! Invitations: roles that are offered to an address.

use crate::clock::Timestamp;
use crate::directory::{Email, Name, OrganizationId, Role, TeamId};

/// Whether a role in an organization waits until the person accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// The person must accept: otherwise a stranger could bind them to the policy of an organization.
    Required,
    /// The role holds at once, or as soon as a person with the address is created.
    Waived,
}

/// The roles that an address is invited to in one organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invited {
    /// The role in the organization.
    pub role: Role,
    /// Whether the person must accept. It applies to the roles in teams too.
    pub consent: Consent,
    /// The roles in its teams.
    pub teams: Vec<(TeamId, Role)>,
}

/// An invitation as its address sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// The organization.
    pub organization: OrganizationId,
    /// Its name.
    pub name: Name,
    /// The role in the organization.
    pub role: Role,
    /// Names, ids and roles of the teams, in the order of their names.
    pub teams: Vec<(TeamId, Name, Role)>,
    /// Who gave the role; `None` if it was given by a version that did not record it.
    pub invited_by: Option<String>,
    /// When it was given; `None` likewise.
    pub invited_at: Option<Timestamp>,
}

/// An invitation as its organization sees it: nothing in it depends on whether a person has the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentInvitation {
    /// The address.
    pub email: Email,
    /// The role in the organization.
    pub role: Role,
    /// Ids, names and roles of the teams, in the order of their names.
    pub teams: Vec<(TeamId, Name, Role)>,
    /// Who gave the role; `None` if it was given by a version that did not record it.
    pub invited_by: Option<String>,
    /// When it was given; `None` likewise.
    pub invited_at: Option<Timestamp>,
}
