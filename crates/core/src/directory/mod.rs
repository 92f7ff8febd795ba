//! Nouns: organizations, teams, people, projects, and who belongs where.

pub mod name;
pub mod organization;
pub mod person;
pub mod project;
pub mod team;

pub use name::{Email, Name, NotAName, NotAnEmail};
pub use organization::{
    Contact, NotificationUrl, Organization, OrganizationId, OrganizationReference, Policy,
};
pub use person::{Belonging, Member, Membership, Person, Role, UserId};
pub use project::Project;
pub use team::{Team, TeamId, TeamReference};
