//! Versions of the parts of the directory: what an order was judged at.

use jeton_core::directory::{OrganizationId, UserId};

/// A part of the directory that changes on its own, so that a change of one disturbs no other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Realm {
    /// The signing keys.
    Keys,
    /// An organization, its teams, its projects, and who belongs to them.
    Organization(OrganizationId),
    /// A person, and where they belong.
    Person(UserId),
}

/// The version of a realm: the number of the last edit that changed it. Edits of the directory and the
/// keys are numbered in the order of their commits, across all realms. A new store is at edit 1, its keys too:
/// edit 0 is before everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// A fact of the directory, and the version of its realm in the same instant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The fact.
    pub value: T,
    /// The version.
    pub generation: Generation,
}

impl<T> Versioned<T> {
    /// The fact without its version.
    pub fn into_value(self) -> T {
        self.value
    }
}
