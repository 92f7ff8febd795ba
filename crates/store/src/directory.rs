//! The contract for organizations, teams, projects and people.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;

use crate::{Generation, Result, Versioned};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{
    Belonging, Email, Invitation, Invited, MemberStatus, Membership, NotAnEmail, Organization,
    OrganizationId, OrganizationReference, Person, Project, Role, SentInvitation, Team, TeamId,
    TeamReference, UserId,
};

/// Reads organizations and their members.
#[async_trait]
pub trait Organizations: Send + Sync {
    /// Returns a live organization.
    async fn organization(&self, reference: OrganizationReference)
    -> Result<Option<Versioned<Organization>>>;

    /// Returns live organizations in the order of their names.
    async fn organizations(&self, of: OrganizationsOf, slice: Slice) -> Result<Vec<Organization>>;

    /// Returns a numbered page of live organizations in the order of their names. The text also matches their
    /// e-mail address, ignoring the case of ASCII letters.
    async fn find_organizations(&self, of: OrganizationsOf, search: Search) -> Result<Found<Organization>>;

    /// Returns a numbered page of the organization's members and invited addresses, or of one of both, in the order
    /// of their addresses.
    async fn find_members(
        &self,
        id: OrganizationId,
        status: Option<MemberStatus>,
        search: Search,
    ) -> Result<Found<Belonging>>;

    /// Returns the members and invited addresses of an organization in the order of their addresses.
    async fn members(&self, id: OrganizationId, slice: Slice) -> Result<Vec<Belonging>>;

    /// Returns how much belongs to an organization.
    async fn size(&self, id: OrganizationId) -> Result<OrganizationSize>;

    /// Returns how many organizations a person has, and how many names they gave up after an instant.
    async fn holdings(&self, user: UserId, since: Timestamp) -> Result<Holdings>;

    /// Returns a person's roles in an organization and its teams.
    async fn standing(&self, user: UserId, organization: OrganizationId) -> Result<Standing>;

    /// Returns the roles that an address is invited to in an organization and its live teams; `None` if it is not
    /// invited.
    async fn invited(&self, email: Email, organization: OrganizationId) -> Result<Option<Invited>>;

    /// Returns the invitations of an address in the order of the organizations' names, each with at most 100
    /// teams.
    async fn invitations(&self, email: Email, slice: Slice) -> Result<Vec<Invitation>>;

    /// Returns the invitations of an organization in the order of their addresses, each with at most 100 teams.
    async fn sent_invitations(&self, id: OrganizationId, slice: Slice) -> Result<Vec<SentInvitation>>;

    /// Returns the organizations a person belongs to, in the order of their names; at most 1,000.
    async fn memberships(&self, user: UserId) -> Result<Vec<Membership>>;
}

/// Reads teams and their members.
#[async_trait]
pub trait Teams: Send + Sync {
    /// Returns a live team of a live organization.
    async fn team(&self, organization: OrganizationId, reference: TeamReference) -> Result<Option<Team>>;

    /// Returns the live team with this id, if its organization is live.
    async fn team_with_id(&self, id: TeamId) -> Result<Option<Team>>;

    /// Returns an organization's teams in the order of their names.
    async fn teams(&self, organization: OrganizationId, slice: Slice) -> Result<Vec<Team>>;

    /// Returns a numbered page of an organization's teams in the order of their names.
    async fn find_teams(&self, organization: OrganizationId, search: Search) -> Result<Found<Team>>;

    /// Returns the members and invited addresses of a team in the order of their addresses.
    async fn team_members(
        &self,
        organization: OrganizationId,
        id: TeamId,
        slice: Slice,
    ) -> Result<Vec<Belonging>>;
}

/// Reads projects.
#[async_trait]
pub trait Projects: Send + Sync {
    /// Returns an organization's projects in the order of their names.
    async fn projects(&self, organization: OrganizationId, slice: Slice) -> Result<Vec<Project>>;

    /// Returns those of the given projects that exist in the organization, ascending by their numbers.
    async fn existing_projects(&self, organization: OrganizationId, ids: Vec<u32>) -> Result<Vec<Project>>;

    /// Returns the highest project number ever assigned, across all organizations; 0 if there was none.
    async fn newest_project(&self) -> Result<u32>;
}

/// Reads people.
#[async_trait]
pub trait People: Send + Sync {
    /// Returns a person, disabled or not.
    async fn person(&self, reference: PersonReference) -> Result<Option<Versioned<Person>>>;

    /// Returns a person and the hash of their password.
    async fn credentials(&self, email: Email) -> Result<Option<Credentials>>;

    /// Returns people in the order of their addresses.
    async fn people(&self, slice: Slice) -> Result<Vec<Person>>;

    /// Returns people in the order of their addresses whose given name, family name or address contains a text
    /// and who belong to one of these organizations; [`OrganizationsOf::Everybody`] includes people without
    /// one. The case of ASCII letters does not matter.
    async fn find_people(&self, text: String, of: OrganizationsOf, slice: Slice) -> Result<Vec<Person>>;
}

/// How many organizations a person has to do with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holdings {
    /// The organizations that they belong to.
    pub organizations: u64,
    /// The names of organizations that they gave up, by removing or renaming one.
    pub given_up: u64,
}

/// How much belongs to an organization.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrganizationSize {
    /// The live teams.
    pub teams: u64,
    /// The projects.
    pub projects: u64,
    /// The members and the addresses invited to the organization itself.
    pub members: u64,
}

/// A part of a list that is ordered by canonical name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// The canonical name or address after which the part begins.
    pub after: Option<String>,
    /// The most entries to return.
    pub limit: u32,
}

/// The filter and the page of a search.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Only entries with this text in their canonical name or address; in lower case.
    pub text: Option<String>,
    /// Only entries with one of these canonical names or addresses.
    pub keys: Option<Vec<String>>,
    /// How many matching entries precede the page. Each of them is read.
    pub offset: u64,
    /// The most entries on the page.
    pub limit: u32,
}

/// A numbered page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// The entries of the page.
    pub items: Vec<T>,
    /// The number of matching entries on all pages.
    pub total: u64,
}

/// Returns a whole list in the order of its keys, which are names or addresses. Reads it part by part, so that
/// one long list does not occupy a reader for long.
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

/// The organizations that a query includes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OrganizationsOf {
    /// All.
    Everybody,
    /// The organizations a person belongs to.
    Person(UserId),
    /// One organization.
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

/// A person's roles in an organization.
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

    /// Parses an id, otherwise an e-mail address.
    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(id)),
            Err(_) => text.parse().map(Self::Email),
        }
    }
}

/// A reference to a person in a request or a token.
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
