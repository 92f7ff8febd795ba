//! The contract for organizations, teams, projects and people.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;

use crate::{Generation, Result, Versioned};
use jeton_core::directory::{
    Belonging, Email, Member, Membership, NotAnEmail, Organization, OrganizationId, OrganizationReference,
    Person, Project, Role, Team, TeamId, TeamReference, UserId,
};

/// Organizations and who belongs to them.
#[async_trait]
pub trait Organizations: Send + Sync {
    /// A live organization.
    async fn organization(&self, reference: OrganizationReference)
    -> Result<Option<Versioned<Organization>>>;

    /// Live organizations in the order of their names.
    async fn organizations(&self, of: OrganizationsOf, slice: Slice) -> Result<Vec<Organization>>;

    /// A numbered page of live organizations in the order of their names. The text may also be in their own
    /// address; the case of ASCII letters does not matter there.
    async fn find_organizations(&self, of: OrganizationsOf, search: Search) -> Result<Found<Organization>>;

    /// A numbered page of the people who belong to it, in the order of their addresses, without
    /// invitations.
    async fn find_members(&self, id: OrganizationId, search: Search) -> Result<Found<Member>>;

    /// Who belongs to it, in the order of their addresses.
    async fn members(&self, id: OrganizationId, slice: Slice) -> Result<Vec<Belonging>>;

    /// What a person is in an organization and its teams.
    async fn standing(&self, user: UserId, organization: OrganizationId) -> Result<Standing>;

    /// The organizations a person belongs to, in the order of their names; at most 1,000.
    async fn memberships(&self, user: UserId) -> Result<Vec<Membership>>;
}

/// Teams and who belongs to them.
#[async_trait]
pub trait Teams: Send + Sync {
    /// A live team of a live organization.
    async fn team(&self, organization: OrganizationId, reference: TeamReference) -> Result<Option<Team>>;

    /// The live team with this id, whichever live organization it is of.
    async fn team_with_id(&self, id: TeamId) -> Result<Option<Team>>;

    /// An organization's teams in the order of their names.
    async fn teams(&self, organization: OrganizationId, slice: Slice) -> Result<Vec<Team>>;

    /// A numbered page of an organization's teams in the order of their names.
    async fn find_teams(&self, organization: OrganizationId, search: Search) -> Result<Found<Team>>;

    /// Who belongs to it, in the order of their addresses.
    async fn team_members(&self, id: TeamId, slice: Slice) -> Result<Vec<Belonging>>;
}

/// Projects.
#[async_trait]
pub trait Projects: Send + Sync {
    /// An organization's projects in the order of their names.
    async fn projects(&self, organization: OrganizationId, slice: Slice) -> Result<Vec<Project>>;

    /// Those of the given projects that exist in the organization, ascending.
    async fn existing_projects(&self, organization: OrganizationId, ids: Vec<u32>) -> Result<Vec<u32>>;

    /// The highest number that a project of any organization has had; 0 if there was none.
    async fn newest_project(&self) -> Result<u32>;
}

/// People.
#[async_trait]
pub trait People: Send + Sync {
    /// A person, disabled or not.
    async fn person(&self, reference: PersonReference) -> Result<Option<Versioned<Person>>>;

    /// A person and the hash of their password.
    async fn credentials(&self, email: Email) -> Result<Option<Credentials>>;

    /// People in the order of their addresses.
    async fn people(&self, slice: Slice) -> Result<Vec<Person>>;

    /// People in the order of their addresses who have a text in their given name, family name or address
    /// and belong to one of these organizations, or to none where everybody is meant. The case of ASCII
    /// letters does not matter.
    async fn find_people(&self, text: String, of: OrganizationsOf, slice: Slice) -> Result<Vec<Person>>;
}

/// A part of a list that is ordered by canonical name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Only what comes after this canonical name or address.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
}

/// Which entries of a list match, and which page of those.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Only entries with this text in their canonical name or address; in lower case.
    pub text: Option<String>,
    /// Only entries with one of these canonical names or addresses.
    pub keys: Option<Vec<String>>,
    /// How many matching entries precede the page. Each of them is read.
    pub offset: u64,
    /// At most so many on the page.
    pub limit: u32,
}

/// One numbered page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// The entries of the page.
    pub items: Vec<T>,
    /// How many entries match in all.
    pub total: u64,
}

/// Everything of a list in the order of its keys, which are names or addresses, read part by part: one
/// long list does not keep a reader from everybody else.
pub async fn slices<T, E, Part>(
    part: impl Fn(Slice) -> Part,
    key: fn(&T) -> String,
) -> std::result::Result<Vec<T>, E>
where
    Part: Future<Output = std::result::Result<Vec<T>, E>>,
{
    const PART: u32 = 250;
    let mut all: Vec<T> = Vec::new();
    loop {
        let after = all.last().map(key);
        let slice = part(Slice { after, limit: PART }).await?;
        let is_last = slice.len() < PART as usize;
        all.extend(slice);
        if is_last {
            return Ok(all);
        }
    }
}

/// Whose organizations are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrganizationsOf {
    /// All.
    Everybody,
    /// Those a person belongs to.
    Person(UserId),
    /// This one.
    Only(OrganizationId),
}

/// A person and the hash of their password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The person.
    pub person: Person,
    /// The Argon2id hash of their password, as a PHC string.
    pub password_hash: String,
    /// The version of the person.
    pub generation: Generation,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("person", &self.person)
            .finish_non_exhaustive()
    }
}

/// What a person is in an organization.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Their role in it, if they belong to it.
    pub role: Option<Role>,
    /// Their roles in its live teams.
    pub teams: Vec<(TeamId, Role)>,
}

impl From<Email> for PersonReference {
    fn from(email: Email) -> Self {
        Self::Email(email)
    }
}

impl From<UserId> for PersonReference {
    fn from(id: UserId) -> Self {
        Self::Id(id)
    }
}

impl FromStr for PersonReference {
    type Err = NotAnEmail;

    /// The id is tried first.
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => text.parse().map(Self::Email),
        }
    }
}

/// A person named in a request or by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PersonReference {
    /// By address.
    Email(Email),
    /// By id.
    Id(UserId),
}

impl fmt::Display for PersonReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(email) => email.fmt(f),
            Self::Id(id) => id.fmt(f),
        }
    }
}
