//! The contract for organizations, teams, projects and people.

use std::str::FromStr;

use async_trait::async_trait;

use crate::{BulkOrder, BulkRevocation, Generation, Judged, Result};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{
    Belonging, Email, Membership, Name, NotAnEmail, Organization, OrganizationId, OrganizationReference,
    Person, Policy, Project, Role, Team, TeamId, TeamReference, UserId,
};
use jeton_core::token::Actor;

/// Organizations and who belongs to them.
#[async_trait]
pub trait Organizations: Send + Sync {
    /// Makes an organization; its creator, if one is named, becomes admin.
    async fn create_organization(
        &self,
        new: NewOrganization,
        judged_at: Generation,
    ) -> Result<Judged<Created<Organization>>>;

    /// A live organization.
    async fn organization(&self, reference: OrganizationReference) -> Result<Option<Organization>>;

    /// Live organizations in the order of their names.
    async fn organizations(&self, of: OrganizationsOf, slice: Slice) -> Result<Vec<Organization>>;

    /// Changes an organization. A new policy holds for the next token; what ends those that are there is
    /// taken down with it, both or neither.
    async fn change_organization(
        &self,
        id: OrganizationId,
        changes: OrganizationChanges,
        ending: Option<BulkOrder>,
        judged_at: Generation,
    ) -> Result<Judged<Created<(Organization, Option<BulkRevocation>)>>>;

    /// Removes an organization and everything in it; ends its tokens by a cut-off.
    async fn remove_organization(
        &self,
        id: OrganizationId,
        removal: Removal,
        judged_at: Generation,
    ) -> Result<Judged<()>>;

    /// Who belongs to it, in the order of their addresses.
    async fn members(&self, id: OrganizationId, slice: Slice) -> Result<Vec<Belonging>>;

    /// Gives a person a role. A person who does not exist yet has it once they are made.
    async fn put_member(
        &self,
        id: OrganizationId,
        email: Email,
        role: Role,
        judged_at: Generation,
    ) -> Result<Judged<MemberChange>>;

    /// Brings people in, all at once or none: who has no role in the organization, or in one of these
    /// teams of it, becomes a member there, and everybody keeps the roles that they have. So it is with
    /// the roles that wait for people who do not exist yet.
    async fn add_members(
        &self,
        id: OrganizationId,
        teams: Vec<TeamId>,
        people: Vec<Email>,
        judged_at: Generation,
    ) -> Result<Judged<MemberChange>>;

    /// Takes a person, or somebody who does not exist yet, out of the organization and its teams; ends
    /// the person's tokens of this organization by a cut-off.
    async fn remove_member(
        &self,
        id: OrganizationId,
        email: Email,
        removal: Removal,
        judged_at: Generation,
    ) -> Result<Judged<MemberChange>>;

    /// What a person is in an organization and its teams.
    async fn standing(&self, user: UserId, organization: OrganizationId) -> Result<Standing>;

    /// The organizations a person belongs to, in the order of their names; at most 1,000.
    async fn memberships(&self, user: UserId) -> Result<Vec<Membership>>;
}

/// Teams and who belongs to them.
#[async_trait]
pub trait Teams: Send + Sync {
    /// Makes a team.
    async fn create_team(&self, new: NewTeam, judged_at: Generation) -> Result<Judged<Created<Team>>>;

    /// A live team of a live organization.
    async fn team(&self, organization: OrganizationId, reference: TeamReference) -> Result<Option<Team>>;

    /// The live team with this id, whichever live organization it is of.
    async fn team_with_id(&self, id: TeamId) -> Result<Option<Team>>;

    /// An organization's teams in the order of their names.
    async fn teams(&self, organization: OrganizationId, slice: Slice) -> Result<Vec<Team>>;

    /// Gives a team another name, or the same in another case. Its tokens carry its id, and live on.
    async fn rename_team(
        &self,
        id: TeamId,
        name: Name,
        judged_at: Generation,
    ) -> Result<Judged<Created<Team>>>;

    /// Removes a team; ends its tokens by a cut-off.
    async fn remove_team(&self, id: TeamId, removal: Removal, judged_at: Generation) -> Result<Judged<()>>;

    /// Who belongs to it, in the order of their addresses.
    async fn team_members(&self, id: TeamId, slice: Slice) -> Result<Vec<Belonging>>;

    /// Gives a person a role; who is not in the organization yet becomes its member too, or as a viewer
    /// its viewer.
    async fn put_team_member(
        &self,
        id: TeamId,
        email: Email,
        role: Role,
        judged_at: Generation,
    ) -> Result<Judged<MemberChange>>;

    /// Takes a person out of the team.
    async fn remove_team_member(
        &self,
        id: TeamId,
        email: Email,
        judged_at: Generation,
    ) -> Result<Judged<MemberChange>>;
}

/// Projects.
#[async_trait]
pub trait Projects: Send + Sync {
    /// Makes a project.
    async fn create_project(
        &self,
        organization: OrganizationId,
        name: Name,
        now: Timestamp,
        judged_at: Generation,
    ) -> Result<Judged<Created<Project>>>;

    /// An organization's projects in the order of their names.
    async fn projects(&self, organization: OrganizationId, slice: Slice) -> Result<Vec<Project>>;

    /// Those of the given projects that exist in the organization, ascending.
    async fn existing_projects(&self, organization: OrganizationId, ids: Vec<u32>) -> Result<Vec<u32>>;

    /// The highest number that a project of any organization has had; 0 if there was none.
    async fn newest_project(&self) -> Result<u32>;

    /// Removes a project; `false` if there was none. Its number is never used again, and a token
    /// restricted to it stays restricted.
    async fn remove_project(
        &self,
        organization: OrganizationId,
        id: u32,
        judged_at: Generation,
    ) -> Result<Judged<bool>>;
}

/// People.
#[async_trait]
pub trait People: Send + Sync {
    /// Makes the first site administrator and the first organization, with the administrator as its
    /// admin; `false`, and nothing made, if there is a site administrator already.
    async fn found(&self, administrator: NewPerson, organization: NewOrganization) -> Result<bool>;

    /// Makes a person, with the memberships that wait for the address.
    async fn create_person(&self, new: NewPerson, judged_at: Generation) -> Result<Judged<Created<Person>>>;

    /// A person, disabled or not.
    async fn person(&self, reference: PersonReference) -> Result<Option<Person>>;

    /// A person and the hash of their password.
    async fn credentials(&self, email: Email) -> Result<Option<Credentials>>;

    /// People in the order of their addresses.
    async fn people(&self, slice: Slice) -> Result<Vec<Person>>;

    /// People in the order of their addresses who have a text in their given name, family name or address
    /// and belong to one of these organizations, or to none where everybody is meant. The case of ASCII
    /// letters does not matter.
    async fn find_people(&self, text: String, of: OrganizationsOf, slice: Slice) -> Result<Vec<Person>>;

    /// Changes a person. A new password ends their sessions; disabling ends their sessions and tokens.
    async fn change_person(
        &self,
        id: UserId,
        changes: PersonChanges,
        judged_at: Generation,
    ) -> Result<Judged<Changed<Person>>>;

    /// Removes a person from everything; ends their sessions and tokens.
    async fn remove_person(
        &self,
        id: UserId,
        removal: Removal,
        judged_at: Generation,
    ) -> Result<Judged<Changed<()>>>;
}

/// A part of a list that is ordered by canonical name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Only what comes after this canonical name or address.
    pub after: Option<String>,
    /// At most so many.
    pub limit: u32,
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

/// An organization about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrganization {
    /// What it will be.
    pub organization: Organization,
    /// Its first admin.
    pub creator: Option<UserId>,
}

/// A team about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTeam {
    /// What it will be.
    pub team: Team,
}

/// A person about to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPerson {
    /// What they will be.
    pub person: Person,
    /// The Argon2id hash of their password, as a PHC string.
    pub password_hash: String,
}

impl std::fmt::Debug for NewPerson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewPerson")
            .field("person", &self.person)
            .finish_non_exhaustive()
    }
}

/// A person and the hash of their password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The person.
    pub person: Person,
    /// The Argon2id hash of their password, as a PHC string.
    pub password_hash: String,
    /// The directory's version that this is of.
    pub generation: Generation,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("person", &self.person)
            .finish_non_exhaustive()
    }
}

/// What became of making or renaming something whose name must be unique.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created<T> {
    /// It is made.
    Created(T),
    /// The name, or the address, belongs to another.
    NameTaken,
    /// What it should belong to, or what should be renamed, does not exist.
    Absent,
}

/// What became of changing something that may be the last of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed<T> {
    /// It is changed.
    Changed(T),
    /// There is no such person.
    Absent,
    /// The deployment would have no site administrator who can log in.
    LastAdministrator,
}

/// What became of changing who belongs where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberChange {
    /// It is so now.
    Done,
    /// The organization would have no admin who can log in. Removing or disabling a person as a whole
    /// may leave an organization without one; a site administrator then names another.
    LastAdmin,
    /// The organization or team does not exist.
    Absent,
}

/// Changes to an organization; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrganizationChanges {
    /// A new name.
    pub name: Option<Name>,
    /// A new address, or none.
    pub email: Option<Option<String>>,
    /// A new notification URL, or none.
    pub notification_url: Option<Option<String>>,
    /// A new policy, whole.
    pub policy: Option<Policy>,
}

impl OrganizationChanges {
    /// An organization with these changes.
    pub fn apply(self, organization: Organization) -> Organization {
        Organization {
            name: self.name.unwrap_or(organization.name),
            email: self.email.unwrap_or(organization.email),
            notification_url: self.notification_url.unwrap_or(organization.notification_url),
            policy: self.policy.unwrap_or(organization.policy),
            ..organization
        }
    }
}

/// Changes to a person; `None` leaves it as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonChanges {
    /// A new given name, or none.
    pub first_name: Option<Option<String>>,
    /// A new family name, or none.
    pub last_name: Option<Option<String>>,
    /// A new short name, or none.
    pub username: Option<Option<String>>,
    /// Whether they are a site administrator.
    pub site_admin: Option<bool>,
    /// Whether they are shut out.
    pub disabled: Option<bool>,
    /// The hash of a new password.
    pub password_hash: Option<String>,
    /// When and by whom; the cut-offs that follow carry it.
    pub change: Removal,
}

impl std::fmt::Debug for PersonChanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PersonChanges")
            .field("change", &self.change)
            .finish_non_exhaustive()
    }
}

/// When and by whom something is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Now.
    pub at: Timestamp,
    /// Who does it.
    pub by: Actor,
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
