//! The order: the one form of a write.
//!
//! Whoever orders has read the facts, and decided, outside of the store. The store compares the guards
//! within the transaction and carries out the effects, or refuses and changes nothing. It decides nothing
//! by itself: every rule is a guard or an effect that somebody chose.
//!
//! An order fails, with [`StoreError::Failed`](crate::StoreError::Failed) and nothing done, if it names a person as
//! actor who was never made, or if a text in it holds U+0000 (other databases cannot store that). What an effect
//! does to what does not exist is not said: guards keep an order from it. What was removed stays known to what
//! refers to it, such as tokens and actors.

use std::net::IpAddr;

use jeton_core::clock::Timestamp;
use jeton_core::directory::{Email, Name, Organization, OrganizationId, Person, Role, Team, TeamId, UserId};
use jeton_core::token::{Actor, CutOff, NewToken, Owner, Refusals, Slot, TokenId, Use};
use jeton_verifier::event::Position;

use crate::{
    BulkId, BulkOrder, BulkRevocation, Generation, JwksPromise, KeyRow, KeyState, OwnerCount, Realm,
    Recorded, ReservedPlace,
};

/// A write: all of its effects, if every guard holds, or nothing.
#[derive(Debug)]
pub struct Order {
    /// What must hold in the transaction that carries the order out, compared in this order: the first that
    /// does not hold is the answer.
    pub guards: Vec<Guard>,
    /// What changes, in this order.
    pub effects: Vec<Effect>,
    /// In whose name, and why.
    pub cause: Cause,
}

/// In whose name something is done, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// When it was ordered.
    pub at: Timestamp,
    /// Who orders it.
    pub by: Actor,
    /// The token with which they came; `None` for an operator's command and for what jeton does by itself.
    pub token: Option<TokenId>,
    /// Through what, and from where.
    pub origin: Origin,
    /// Why, in their words.
    pub reason: Option<String>,
    /// What a retry of the same request is recognised by.
    pub idempotency_key: Option<String>,
}

/// Through what an order came, and from where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The surface.
    pub surface: Surface,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The id of the request.
    pub request_id: Option<String>,
}

/// What an order came through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Surface {
    /// The native API.
    Native,
    /// The OAuth endpoints.
    OAuth,
    /// The dialect of CAVE.
    Cave,
    /// The dialect of Terraform Cloud.
    Terraform,
    /// The dialect of QuantCDN.
    Quant,
    /// A command on the machine itself.
    Command,
    /// Nothing: the server does it by itself.
    #[default]
    Server,
}

impl Cause {
    /// What an operator orders by a command.
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
            idempotency_key: None,
        }
    }

    /// What the server orders by itself.
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

    /// The same for a reason.
    #[must_use]
    pub fn because(self, reason: Option<String>) -> Self {
        Self { reason, ..self }
    }
}

/// A condition that is compared in the transaction of an order. Each is one look-up by an index, however
/// much an owner has, or a comparison in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guard {
    /// The realm is of this version. What was removed has none.
    Unchanged(Realm, Generation),
    /// This key signs.
    Signs(String),
    /// No cut-off covers the token that the order records, now or later: none in whose reach it is and that
    /// covers the second in which it was made, whenever that is obeyed. Holds where none is recorded.
    AfterCutOffs,
    /// The owners may have one more active token: the sum of their counts is less than `most` and `ended`
    /// together. An owner without a count, or whose tokens were not counted yet, has too many.
    UnderLimit {
        /// The owners.
        owners: Vec<Owner>,
        /// How many active tokens they may have.
        most: u32,
        /// How many tokens that count the order ends.
        ended: u32,
    },
    /// The count of the owner is of this version; `None` if the owner has no count.
    CountUnmoved(Owner, Option<u64>),
    /// No active token of the owner but those has this name: none that [`Guard::Standing`] calls standing,
    /// successor or not.
    TokenNameFree {
        /// The owner.
        owner: Owner,
        /// The name, to the letter.
        name: String,
        /// Those that may have it.
        except: Vec<TokenId>,
        /// The instant at which they are active.
        at: Timestamp,
    },
    /// The slot of the owner holds this token, or none. A token leaves its slot by its own revocation, also by
    /// one that lies ahead; neither its end nor a cut-off frees the slot.
    SlotHolds {
        /// The owner.
        owner: Owner,
        /// The slot.
        slot: Slot,
        /// What it holds.
        token: Option<TokenId>,
    },
    /// The token is an API token that has not expired at this instant and that nothing has ended or
    /// will: no revocation, now or later, and no cut-off; and that no token was rotated from.
    Standing(TokenId, Timestamp),
    /// The token is known, API token or session, and no revocation of its own takes effect by this instant.
    NotEndedBy(TokenId, Timestamp),
    /// The order to revoke many is not carried out to its end, and its position is this one.
    BulkAt(BulkId, TokenId),
    /// The organization has an admin who can log in, other than this person.
    AnotherAdmin(OrganizationId, UserId),
    /// The deployment has a site administrator who can log in, other than this person.
    AnotherSiteAdministrator(UserId),
    /// The deployment has no site administrator, not even a disabled one.
    NoSiteAdministrator,
    /// No other live organization has the name.
    OrganizationNameFree(Name, OrganizationId),
    /// No other live team of the organization has the name.
    TeamNameFree(OrganizationId, Name, TeamId),
    /// No project of the organization has the name.
    ProjectNameFree(OrganizationId, Name),
    /// No person has the address.
    EmailFree(Email),
}

/// A guard that did not hold. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(pub Guard);

/// One change. What it changes must exist, which the order's guards see to.
#[derive(Debug)]
pub enum Effect {
    /// Records a token at its place in the status lists, and that its key is needed until it ends. Fails if
    /// its `jti` was recorded before, if its slot holds a token, if what it was rotated from has a successor
    /// already, or if its key does not sign. Changes the count of its owner by [`OwnerCount::recorded`], if
    /// the token is counted and the owner has one.
    Record(Box<NewRecord>),
    /// Changes what people read about an API token; a session, or no token, is left as it is.
    Describe(TokenId, Description),
    /// Revokes a token with effect from an instant on, not before the order's; adds the event to the feed. Takes
    /// the place of a revocation that takes effect later, and fails if one takes effect sooner. Changes the
    /// count of the owner of an API token by [`OwnerCount::revoked`], if the owner has one.
    Revoke(TokenId, Timestamp, Option<String>),
    /// Ends what is in reach; adds the event to the feed.
    CutOff(CutOff),
    /// Takes down an order to revoke many tokens, of those that are recorded now. Revokes none yet.
    RevokeMany(Box<BulkOrder>),
    /// Gives an owner this count, instead of another.
    SetCount(Owner, OwnerCount),
    /// Forgets the counts of all owners in an organization.
    ForgetCounts(OrganizationId),
    /// Notes how far an order to revoke many is carried out.
    AdvanceBulk(Box<BulkRevocation>),
    /// Makes an organization.
    CreateOrganization(Organization),
    /// Makes an organization what it is to be, but for when it was made.
    ChangeOrganization(Organization),
    /// Removes an organization with its teams, projects, memberships, invitations and counts.
    RemoveOrganization(OrganizationId),
    /// Gives a person a role in an organization.
    SetRole(OrganizationId, UserId, Role, Existing),
    /// Takes a person out of an organization and its teams.
    RemoveMember(OrganizationId, UserId),
    /// Lets a role in an organization, or in a team of it, wait for an address that nobody has.
    Invite(OrganizationId, Option<TeamId>, Email, Role, Existing),
    /// Takes back what waits for an address in a team, or in the organization and all of its teams.
    Uninvite(OrganizationId, Option<TeamId>, Email),
    /// Makes a team.
    CreateTeam(Team),
    /// Gives a team the name that it is to have.
    ChangeTeam(Team),
    /// Removes a team with its memberships, invitations and count.
    RemoveTeam(OrganizationId, TeamId),
    /// Gives a person a role in a team.
    SetTeamRole(OrganizationId, TeamId, UserId, Role, Existing),
    /// Takes a person out of a team.
    RemoveTeamMember(OrganizationId, TeamId, UserId),
    /// Makes a project, now, with the next number: one sequence for all organizations.
    CreateProject(OrganizationId, Name),
    /// Removes a project. Its number is never used again.
    RemoveProject(OrganizationId, u32),
    /// Makes a person, and turns what waits for their address into memberships.
    CreatePerson(NewPerson),
    /// Makes a person what they are to be, but for their address and when they were made, with another password
    /// hash if one is given.
    ChangePerson(Person, Option<String>),
    /// Removes a person from everything, and forgets their counts and the password hash. Their name stays for what they did.
    RemovePerson(UserId),
    /// Notes when tokens were last used. Never moves an instant back; unknown tokens are ignored.
    NoteUse(Vec<Use>),
    /// Notes that these audiences report use, at the order's instant; never moves an instant back.
    NoteReports(Vec<String>),
    /// Adds to the refusals of revoked tokens that were presented; unknown tokens are ignored.
    NoteRefusals(Vec<(TokenId, Refusals)>),
    /// Forgets what has ended.
    Forget(Box<Forgotten>),
    /// Adds a signing key. Fails if one with its id is known.
    PublishKey(Box<KeyRow>),
    /// Sets the state of a signing key, as from the order's instant.
    SetKeyState(String, KeyState),
    /// Keeps the key that signs until an instant at least; it may be kept for up to a minute longer.
    NeedKey(String, Timestamp),
    /// Notes for how long copies of the JWKS may be kept.
    PromiseJwks(JwksPromise),
}

/// What becomes of a role that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// It stays.
    Stays,
    /// The new one takes its place.
    Replaced,
}

/// A token about to be recorded.
#[derive(Debug)]
pub struct NewRecord {
    /// The token. A session acts for a person, in all of their organizations, and has no slot.
    pub token: NewToken,
    /// Its index in a status list.
    pub place: ReservedPlace,
    /// The token that it replaces by a rotation.
    pub rotated_from: Option<TokenId>,
    /// Whether it raises the count of its owner.
    pub is_counted: bool,
}

/// What people read about a token; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The new name.
    pub name: Option<String>,
    /// The new description, or none.
    pub description: Option<Option<String>>,
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

/// What has ended and is forgotten; what of it is gone already is ignored. What pruned events ended stays ended.
/// No number of a token, event or list is given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// All of it had ended by this instant.
    pub ended_by: Timestamp,
    /// Records of tokens that have expired.
    pub records: Vec<TokenId>,
    /// The feed is pruned up to this event.
    pub events_through: Option<u64>,
    /// Cut-offs whose events were pruned before.
    pub cut_offs: Vec<u64>,
    /// Status lists that retire.
    pub lists: Vec<u32>,
}

/// An order that is on disk.
#[derive(Debug)]
pub struct Committed {
    /// The last event that it added to the feed; `None` if it added none.
    pub position: Option<Position>,
    /// The record of the token that it recorded.
    pub recorded: Option<Recorded>,
    /// The number of the project that it made.
    pub project: Option<u32>,
    /// The order to revoke many that it took down.
    pub bulk: Option<BulkRevocation>,
}

impl Order {
    /// An order that changes nothing yet.
    pub fn new(cause: Cause) -> Self {
        Self {
            guards: Vec::new(),
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

    /// Adds the versions of the realms whose facts led to the order. They are compared first: what
    /// refuses an order of old facts says nothing.
    #[must_use]
    pub fn judged_at(mut self, judged_at: JudgedAt) -> Self {
        let unchanged = judged_at.0.into_iter();
        let unchanged = unchanged.map(|(realm, generation)| Guard::Unchanged(realm, generation));
        self.guards.splice(0..0, unchanged);
        self
    }
}

/// The versions of the realms whose facts led to an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JudgedAt(pub Vec<(Realm, Generation)>);

impl Effect {
    /// The realms that the effect changes: whoever carries it out gives them a new version.
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
            | Self::ForgetCounts(_)
            | Self::AdvanceBulk(_)
            | Self::NoteUse(_)
            | Self::NoteReports(_)
            | Self::NoteRefusals(_)
            | Self::Forget(_)
            | Self::NeedKey(..) => Vec::new(),
            Self::PublishKey(_) | Self::SetKeyState(..) | Self::PromiseJwks(_) => vec![Realm::Keys],
            Self::CreateOrganization(new) | Self::ChangeOrganization(new) => organization(&new.id),
            Self::RemoveOrganization(id)
            | Self::Invite(id, ..)
            | Self::Uninvite(id, ..)
            | Self::RemoveTeam(id, _)
            | Self::CreateProject(id, _)
            | Self::RemoveProject(id, _) => organization(id),
            Self::SetRole(id, user, ..)
            | Self::RemoveMember(id, user)
            | Self::SetTeamRole(id, _, user, ..)
            | Self::RemoveTeamMember(id, _, user) => both(id, user),
            Self::CreateTeam(team) | Self::ChangeTeam(team) => organization(&team.organization),
            Self::CreatePerson(NewPerson { person, .. }) | Self::ChangePerson(person, _) => {
                vec![Realm::Person(person.id.clone())]
            }
            Self::RemovePerson(user) => vec![Realm::Person(user.clone())],
        }
    }
}
