//! The order: the only form of a write. Apart from the rules that build orders and the backends that apply
//! them.
//!
//! The caller reads facts and decides outside of the store. The store compares the guards within the
//! transaction and applies the effects, or refuses and changes nothing. It decides nothing itself: every rule
//! is a guard or an effect that the caller chose.
//!
//! An order fails, with [`StoreError::Failed`](crate::StoreError::Failed) and without a change, if its actor is
//! a person who was never created, or if a text in it contains U+0000 (other databases cannot store that). An
//! effect on a missing thing is undefined: guards prevent it. Removed things stay referable, by tokens and
//! actors.

use std::net::IpAddr;

use jeton_core::clock::Timestamp;
use jeton_core::directory::{
    Consent, Email, Name, Organization, OrganizationId, Person, Project, Role, Team, TeamId, UserId,
};
use jeton_core::token::{Actor, CutOff, NewToken, Owner, Refusals, Slot, TokenId, Use};
use jeton_verifier::event::Position;

use crate::rules::audit::Failures;
use crate::{
    BulkAdvance, BulkId, BulkOrder, BulkRevocation, Generation, Idempotency, JwksPromise, KeyRow, KeyState,
    OwnerCount, Realm, Recorded, ReservedIndex,
};

/// A write: all of its effects if every guard holds, otherwise nothing.
#[derive(Debug)]
pub struct Order {
    /// The conditions, compared in this order within the transaction: the first that does not hold is the
    /// answer.
    pub guards: Vec<Guard>,
    /// The changes, in this order.
    pub effects: Vec<Effect>,
    /// The actor, the origin and the reason.
    pub cause: Cause,
}

/// The actor, the origin and the reason of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// The instant of the order.
    pub at: Timestamp,
    /// The actor.
    pub by: Actor,
    /// The token that authenticated the actor; `None` for an operator's command and for jeton's own work.
    pub token: Option<TokenId>,
    /// The surface and the client.
    pub origin: Origin,
    /// The reason in the actor's words.
    pub reason: Option<String>,
    /// The idempotency key of the request: the order is carried out once.
    pub idempotency: Option<Idempotency>,
}

/// The surface and the client that an order came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The surface.
    pub surface: Surface,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The id of the request.
    pub request_id: Option<String>,
    /// The person for whom a service acts, in its words.
    pub on_behalf_of: Option<String>,
}

/// The interface that an order came through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Surface {
    /// The native API.
    Native,
    /// The OAuth endpoints.
    OAuth,
    /// The API of CAVE.
    Cave,
    /// The API of Terraform Cloud.
    Terraform,
    /// The API of QuantCDN.
    Quant,
    /// The console.
    Console,
    /// A command on the machine itself.
    Command,
    /// The server's own work.
    #[default]
    Server,
}

impl Cause {
    /// Returns the cause of an operator's command.
    pub fn operator(at: Timestamp) -> Self {
        Self {
            at,
            by: Actor {
                name: "operator".to_owned(),
                user: None,
            },
            token: None,
            origin: Origin {
                surface: Surface::Command,
                ..Origin::default()
            },
            reason: None,
            idempotency: None,
        }
    }

    /// Returns the cause of the server's own work.
    pub fn server(at: Timestamp) -> Self {
        Self {
            by: Actor {
                name: "jeton".to_owned(),
                user: None,
            },
            origin: Origin::default(),
            ..Self::operator(at)
        }
    }

    /// Returns the same cause with a reason.
    #[must_use]
    pub fn because(self, reason: Option<String>) -> Self {
        Self { reason, ..self }
    }
}

/// A condition that is compared in the transaction of an order: one index look-up or a comparison in memory,
/// however many tokens an owner has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// The realm has this version. A removed realm has none.
    Unchanged(Realm, Generation),
    /// The key with this id is the one that signs.
    Signs(String),
    /// No cut-off covers the token that the order records: none whose reach includes the token and that covers
    /// the second of its issue, even if it takes effect later. Holds if the order records no token.
    AfterCutOffs,
    /// The owners may have one more active token: the sum of their counts is less than `most` plus `ended`.
    /// Does not hold for an owner without a count, or whose tokens were not counted yet.
    UnderLimit {
        /// The owners.
        owners: Vec<Owner>,
        /// The most active tokens that they may have.
        most: u32,
        /// The number of counted tokens that the order ends.
        ended: u32,
    },
    /// The count of the owner has this version; `None` if the owner has no count.
    CountUnmoved(Owner, Option<u64>),
    /// No token of the owner with this name was recorded after the read that returned this
    /// [`NameUse::newest`](crate::NameUse::newest).
    NameUnusedSince {
        /// The owner.
        owner: Owner,
        /// The exact name.
        name: String,
        /// The newest token of the deployment at that read.
        newest: Option<TokenId>,
    },
    /// The slot of the owner holds this token, or none. A token leaves its slot by its own revocation, a
    /// scheduled one included; neither its expiry nor a cut-off frees the slot.
    SlotHolds {
        /// The owner.
        owner: Owner,
        /// The slot.
        slot: Slot,
        /// The token in the slot.
        token: Option<TokenId>,
    },
    /// The token is an API token that has not expired at this instant, has no revocation (a scheduled one
    /// included), is covered by no cut-off and has no successor by rotation.
    Standing(TokenId, Timestamp),
    /// The token is known, API token or session, and no revocation of its own takes effect by this instant.
    NotEndedBy(TokenId, Timestamp),
    /// The token, API token or session, has not expired, and neither a revocation of its own nor a cut-off has taken
    /// effect, at this instant and at the latest instant of an order that is committed: the credential of a caller.
    Active(TokenId, Timestamp),
    /// The bulk revocation is unfinished, and as many of its portions were carried out.
    BulkAt(BulkId, u64),
    /// The organization has an admin who can log in, other than this person.
    AnotherAdmin(OrganizationId, UserId),
    /// The deployment has a site administrator who can log in, other than this person.
    AnotherSiteAdministrator(UserId),
    /// The deployment has no site administrator, not even a disabled one.
    NoSiteAdministrator,
    /// No other live organization has the name, and no other gave it up after the instant.
    OrganizationNameFree(Name, OrganizationId, Timestamp),
    /// No other live team of the organization has the name.
    TeamNameFree(OrganizationId, Name, TeamId),
    /// No project of the organization has the name.
    ProjectNameFree(OrganizationId, Name),
    /// No person has the address.
    EmailFree(Email),
    /// No order with the idempotency key was carried out.
    NotDone(Idempotency),
}

/// A guard that did not hold. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub Guard);

/// A change. The order's guards must ensure that its target exists.
#[derive(Debug)]
pub enum Effect {
    /// Records a token with its status list index, and that its key is needed until the token ends. Fails if
    /// its `jti` was recorded before, if its slot holds a token, if its predecessor already has a successor, or
    /// if its key does not sign. If the token is counted and its owner has a count, changes it by
    /// [`OwnerCount::recorded`].
    Record(Box<NewRecord>),
    /// Changes the name or description of an API token; ignores sessions and unknown tokens.
    Describe(Box<Described>),
    /// Revokes a token from an instant on, not before the order's; adds the event to the feed. Replaces a
    /// revocation that takes effect later, and fails if one takes effect sooner. For an API token whose owner
    /// has a count, changes it by [`OwnerCount::revoked`].
    Revoke(TokenId, Timestamp, Option<String>),
    /// Records a cut-off, which revokes the tokens in its reach; adds the event to the feed.
    CutOff(CutOff),
    /// Records a bulk revocation of tokens that are recorded now. Revokes none yet.
    RevokeMany(Box<BulkOrder>),
    /// Sets the count of an owner.
    SetCount(Owner, OwnerCount),
    /// Deletes the counts of all owners in an organization.
    DeleteCounts(OrganizationId),
    /// Records the progress of a bulk revocation.
    AdvanceBulk(Box<BulkAdvance>),
    /// Creates an organization.
    CreateOrganization(Organization),
    /// Updates an organization, except its creation time. It gives up its former name if the new one differs in
    /// more than case.
    ChangeOrganization(Box<Edit<Organization>>),
    /// Removes an organization with its teams, projects, memberships, invitations and counts. It gives up its
    /// name.
    RemoveOrganization(Box<Organization>),
    /// Gives a person a role in an organization. The last value is the role that the person had, if it is known.
    SetRole(OrganizationId, UserId, Role, Existing, Option<Role>),
    /// Removes a person, who had this role, from an organization and its teams.
    RemoveMember(OrganizationId, UserId, Role),
    /// Invites an address to a role in an organization, or in a team of it. The consent of the invitation to the
    /// organization decides for its teams too. Replacing an invitation replaces all of it.
    Invite(OrganizationId, Option<TeamId>, Email, Role, Consent, Existing),
    /// Deletes the invitations of an address to a team, or to the organization and all of its teams.
    Uninvite(OrganizationId, Option<TeamId>, Email),
    /// Turns the invitations of a person's address to an organization and its teams into memberships. Roles that
    /// the person has stay.
    AcceptInvitations(OrganizationId, UserId),
    /// Creates a team.
    CreateTeam(Team),
    /// Renames a team.
    ChangeTeam(Box<Edit<Team>>),
    /// Removes a team with its memberships, invitations and count.
    RemoveTeam(Team),
    /// Gives a person a role in a team.
    SetTeamRole(OrganizationId, TeamId, UserId, Role, Existing),
    /// Removes a person, who had this role, from a team.
    RemoveTeamMember(OrganizationId, TeamId, UserId, Role),
    /// Creates a project with the next number: one sequence for all organizations.
    CreateProject(OrganizationId, Name),
    /// Removes a project. Its number is never used again.
    RemoveProject(Project),
    /// Creates a person. Invitations of their address become memberships in each organization whose invitation
    /// waives consent; the others wait.
    CreatePerson(NewPerson),
    /// Updates a person, except the address and the creation time; sets the password hash if one is given.
    ChangePerson(Box<Edit<Person>>, Option<String>),
    /// Removes a person from everything, and deletes the invitations of their address, their counts and their
    /// password hash. Their name stays for past actions.
    RemovePerson(Box<Person>),
    /// Records when tokens were last used. Never moves an instant back; unknown tokens are ignored.
    NoteUse(Vec<Use>),
    /// Records that these audiences report use, at the order's instant; never moves an instant back.
    NoteReports(Vec<String>),
    /// Adds to the refusals of revoked tokens that were presented; unknown tokens are ignored.
    NoteRefusals(Vec<(TokenId, Refusals)>),
    /// Deletes ended tokens, events, cut-offs and lists.
    Purge(Box<Purge>),
    /// Adds a signing key. Fails if its id is known.
    PublishKey(Box<KeyRow>),
    /// Sets the state of a signing key as of the order's instant.
    SetKeyState(String, Edit<KeyState>),
    /// Keeps the key that signs until an instant at least; it may be kept for up to a minute longer.
    NeedKey(String, Timestamp),
    /// Records how long copies of the JWKS may be cached.
    PromiseJwks(Edit<JwksPromise>),
    /// Records an instant that the clock has shown for an hour; never moves it back.
    SettleTime(Timestamp),
    /// Sets a setting of the deployment to a value in TOML; `None` is its default. A store of one machine, whose settings
    /// are in a file, leaves an action only.
    SetSetting(String, Edit<Option<String>>),
    /// Leaves an action for attempts that failed, and changes nothing else.
    NoteFailures(Box<Failures>),
}

/// A change of a thing, with what it replaces: the audit records both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit<T> {
    /// The thing as the order was decided from.
    pub before: T,
    /// The thing as it becomes.
    pub after: T,
}

/// A change of the name or description of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// The token.
    pub token: TokenId,
    /// The organization of its owner, if it has one.
    pub organization: Option<OrganizationId>,
    /// Both values as they were.
    pub before: Description,
    /// The new values.
    pub after: Description,
}

/// The treatment of a role that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// The existing role stays.
    Stays,
    /// The new role replaces it.
    Replaced,
}

/// A token about to be recorded.
#[derive(Debug)]
pub struct NewRecord {
    /// The token. A session acts for a person, in all of their organizations, and has no slot.
    pub token: NewToken,
    /// Its index in a status list.
    pub list_index: ReservedIndex,
    /// The token that it was rotated from.
    pub rotated_from: Option<TokenId>,
    /// Whether it raises the count of its owner.
    pub is_counted: bool,
}

/// A new name and description of a token; `None` leaves the value unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The new name.
    pub name: Option<String>,
    /// The new description, or none.
    pub description: Option<Option<String>>,
}

/// A person about to be created.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPerson {
    /// The person.
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

/// The ended things to delete; those already deleted are ignored. Revocations of pruned events stay in effect.
/// No number of a token, event or list is reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// The instant by which all of it had ended.
    pub ended_by: Timestamp,
    /// Records of tokens that have expired.
    pub records: Vec<TokenId>,
    /// The last event to prune.
    pub events_through: Option<u64>,
    /// Cut-offs whose events were pruned before.
    pub cut_offs: Vec<u64>,
    /// Status lists to retire.
    pub lists: Vec<u32>,
    /// The last idempotency key to delete, by its number.
    pub idempotency_keys_through: Option<u64>,
    /// Whether it is the last of a scan: a backend also deletes what it keeps apart from the records and the feed.
    pub ends_scan: bool,
    /// What the scan has deleted so far, this portion included.
    pub deleted: Deleted,
}

/// The numbers of things that a scan of retention has deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Records of tokens.
    pub records: usize,
    /// Events of the feed.
    pub events: usize,
}

/// The results of an order that is on disk.
#[derive(Debug)]
pub struct Committed {
    /// The last event that it added to the feed; `None` if it added none.
    pub position: Option<Position>,
    /// The record of the token, if the order recorded one.
    pub recorded: Option<Recorded>,
    /// The number of the project, if the order created one.
    pub project: Option<u32>,
    /// The bulk revocation, if the order recorded one.
    pub bulk: Option<BulkRevocation>,
}

impl Order {
    /// Returns an order without effects. Its only guard is [`Guard::NotDone`] if the cause has an idempotency key.
    pub fn new(cause: Cause) -> Self {
        Self {
            guards: cause.idempotency.map(Guard::NotDone).into_iter().collect(),
            effects: Vec::new(),
            cause,
        }
    }

    /// Adds a guard.
    #[must_use]
    pub fn guard(mut self, guard: Guard) -> Self {
        self.guards.push(guard);
        self
    }

    /// Adds an effect.
    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    /// Adds the versions of the realms that the order was decided from. They are compared first: a refusal
    /// based on outdated facts would be meaningless.
    #[must_use]
    pub fn versions(mut self, versions: Versions) -> Self {
        let unchanged = versions.0.into_iter();
        let unchanged = unchanged.map(|(realm, generation)| Guard::Unchanged(realm, generation));
        self.guards.splice(0..0, unchanged);
        self
    }
}

/// The versions of the realms that an order was decided from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versions(pub Vec<(Realm, Generation)>);

impl Effect {
    /// Returns the realms that the effect changes: a backend that applies it gives them a new version.
    pub fn realms(&self) -> Vec<Realm> {
        let organization = |id: &OrganizationId| vec![Realm::Organization(*id)];
        let both =
            |id: &OrganizationId, user: &UserId| vec![Realm::Organization(*id), Realm::Person(user.clone())];
        match self {
            Self::Record(_)
            | Self::Describe(..)
            | Self::Revoke(..)
            | Self::CutOff(_)
            | Self::RevokeMany(_)
            | Self::SetCount(..)
            | Self::DeleteCounts(_)
            | Self::AdvanceBulk(_)
            | Self::NoteUse(_)
            | Self::NoteReports(_)
            | Self::NoteRefusals(_)
            | Self::Purge(_)
            | Self::NeedKey(..)
            | Self::SettleTime(_)
            | Self::NoteFailures(_) => Vec::new(),
            Self::PublishKey(_) | Self::SetKeyState(..) | Self::PromiseJwks(_) | Self::SetSetting(..) => {
                vec![Realm::Keys]
            }
            Self::CreateOrganization(new) => organization(&new.id),
            Self::ChangeOrganization(edit) => organization(&edit.after.id),
            Self::RemoveOrganization(removed) => organization(&removed.id),
            Self::RemoveProject(project) => organization(&project.organization),
            Self::Invite(id, ..) | Self::Uninvite(id, ..) | Self::CreateProject(id, _) => organization(id),
            Self::SetRole(id, user, ..)
            | Self::AcceptInvitations(id, user)
            | Self::RemoveMember(id, user, _)
            | Self::SetTeamRole(id, _, user, ..)
            | Self::RemoveTeamMember(id, _, user, _) => both(id, user),
            Self::CreateTeam(team) | Self::RemoveTeam(team) => organization(&team.organization),
            Self::ChangeTeam(edit) => organization(&edit.after.organization),
            Self::CreatePerson(NewPerson { person, .. }) => vec![Realm::Person(person.id.clone())],
            Self::ChangePerson(edit, _) => vec![Realm::Person(edit.after.id.clone())],
            Self::RemovePerson(person) => vec![Realm::Person(person.id.clone())],
        }
    }
}
