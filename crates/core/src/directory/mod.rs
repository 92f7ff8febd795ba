//! The directory: organizations, teams, people, projects, memberships and invitations.

pub mod invitation;
pub mod name;
pub mod organization;
pub mod person;
pub mod project;
mod public_id;
pub mod team;

pub use invitation::{Consent, Invitation, Invited, SentInvitation};
pub use name::{Email, Name, NotAName, NotAnEmail};
pub use organization::{
    Contact, NotificationUrl, Organization, OrganizationId, OrganizationReference, Policy,
};
pub use person::{Belonging, Member, MemberStatus, Membership, Person, Role, UserId};
pub use project::Project;
pub use public_id::NotAnId;
pub use team::{Team, TeamId, TeamReference};
