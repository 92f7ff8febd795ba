//! Versions of the parts of the directory, for optimistic concurrency.

use jeton_core::directory::{OrganizationId, UserId};

/// A part of the directory that is versioned on its own, so that a change of one part conflicts with no other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Realm {
    /// The signing keys, and the settings of the deployment if the store keeps them.
    Keys,
    /// An organization, its teams, its projects and its members.
    Organization(OrganizationId),
    /// A person and their memberships.
    Person(UserId),
}

/// The version of a realm: the number of the last edit that changed it. Edits of the directory and the keys are
/// numbered in commit order, across all realms. A new store and its keys are at edit 1; edit 0 precedes
/// everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// A fact of the directory and the version of its realm, read at the same instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The fact.
    pub value: T,
    /// The version.
    pub generation: Generation,
}

impl<T> Versioned<T> {
    /// Returns the fact without its version.
    pub fn into_value(self) -> T {
        self.value
    }
}
