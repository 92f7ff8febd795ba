//! People and their roles.

use crate::clock::Timestamp;
use crate::directory::public_id::public_id;
use crate::directory::{Email, Name, OrganizationId};

public_id! {
    /// A person's id: `user-` and 16 letters and digits. A person created again gets another.
    UserId, "user-"
}

/// A person who can log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their id.
    pub id: UserId,
    /// Their address, unique among people.
    pub email: Email,
    /// Given name.
    pub first_name: Option<String>,
    /// Family name.
    pub last_name: Option<String>,
    /// A short name.
    pub username: Option<String>,
    /// Whether they are a site administrator, who may do everything in every organization.
    pub site_admin: bool,
    /// Since when they are disabled: they can neither log in nor use a token.
    pub disabled_at: Option<Timestamp>,
    /// When they were created.
    pub created_at: Timestamp,
}

/// A person's role in an organization or a team.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Manages it and its tokens.
    Admin,
    /// Has tokens of their own in it.
    #[default]
    Member,
    /// Reads it. Creates no tokens and manages nothing; a viewer of an organization is one in its teams too.
    Viewer,
}

impl Role {
    /// All roles, the most powerful first.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Member, Self::Viewer];

    /// Returns the role in an organization that a new role in one of its teams implies.
    pub fn brought_along(self) -> Self {
        match self {
            Self::Admin | Self::Member => Self::Member,
            Self::Viewer => Self::Viewer,
        }
    }

    /// Returns the name of the role in requests and responses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }
}

/// A person in an organization or a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The person.
    pub person: Person,
    /// Their role.
    pub role: Role,
}

/// Whether a role in an organization or a team holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// It holds.
    Active,
    /// It is offered to an address, and waits for its person.
    Invited,
}

/// A member of an organization or a team, or an invited address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belonging {
    /// A member.
    Member(Member),
    /// An invited address. Whether a person has it is not told.
    Invited {
        /// The address.
        email: Email,
        /// The role.
        role: Role,
    },
}

impl Belonging {
    /// Returns the address, which lists are sorted by.
    pub fn email(&self) -> &Email {
        match self {
            Self::Member(member) => &member.person.email,
            Self::Invited { email, .. } => email,
        }
    }

    /// Returns whether the role holds.
    pub fn status(&self) -> MemberStatus {
        match self {
            Self::Member(_) => MemberStatus::Active,
            Self::Invited { .. } => MemberStatus::Invited,
        }
    }

    /// Returns the member, unless this is an invitation.
    pub fn member(self) -> Option<Member> {
        match self {
            Self::Member(member) => Some(member),
            Self::Invited { .. } => None,
        }
    }
}

/// An organization that a person belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The organization.
    pub organization: OrganizationId,
    /// Its name.
    pub name: Name,
    /// The person's role.
    pub role: Role,
}
