//! People and their roles.

use crate::clock::Timestamp;
use crate::directory::public_id::public_id;
use crate::directory::{Email, Name, OrganizationId};

public_id! {
    /// A person's id: `user-` and 16 letters and digits. A person made again gets another.
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
    /// Whether they may do everything, everywhere.
    pub site_admin: bool,
    /// Since when they can neither log in nor use a token.
    pub disabled_at: Option<Timestamp>,
    /// When they were made.
    pub created_at: Timestamp,
}

/// What a person may do in an organization or a team.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Manages it and its tokens.
    Admin,
    /// Belongs to it and has tokens of their own.
    #[default]
    Member,
    /// Sees it. Makes no token and manages nothing; a viewer of an organization is one in its teams too.
    Viewer,
}

impl Role {
    /// Every one, from the one that may do most.
    pub const ALL: [Self; 3] = [Self::Admin, Self::Member, Self::Viewer];

    /// What somebody is in an organization whom a role in one of its teams brings there.
    pub fn brought_along(self) -> Self {
        match self {
            Self::Admin | Self::Member => Self::Member,
            Self::Viewer => Self::Viewer,
        }
    }

    /// The word for it on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Viewer => "viewer",
        }
    }
}

/// Somebody who belongs to an organization or a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub person: Person,
    /// As what.
    pub role: Role,
}

/// Whoever belongs to an organization or a team, or will.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Belonging {
    /// Somebody who does.
    Member(Member),
    /// An address that nobody has yet: the role is theirs who is made with it.
    Invited {
        /// The address.
        email: Email,
        /// The role.
        role: Role,
    },
}

impl Belonging {
    /// The address, which lists are ordered by.
    pub fn email(&self) -> &Email {
        match self {
            Self::Member(member) => &member.person.email,
            Self::Invited { email, .. } => email,
        }
    }

    /// The person, if there is one.
    pub fn member(self) -> Option<Member> {
        match self {
            Self::Member(member) => Some(member),
            Self::Invited { .. } => None,
        }
    }
}

/// An organization somebody belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// Which.
    pub organization: OrganizationId,
    /// Its name.
    pub name: Name,
    /// As what.
    pub role: Role,
}
