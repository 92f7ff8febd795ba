//! Projects: parts of an organization that a token can be restricted to.

use crate::clock::Timestamp;
use crate::directory::{Name, OrganizationId};

/// A project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its number: below 2^31, the most that some clients read, and never reused.
    pub id: u32,
    /// Its name, unique within the organization.
    pub name: Name,
    /// The organization it belongs to.
    pub organization: OrganizationId,
    /// When it was created.
    pub created_at: Timestamp,
}
