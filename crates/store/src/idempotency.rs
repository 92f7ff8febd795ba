//! The contract for idempotency keys: a request with a key is carried out once. Apart from the orders that carry
//! the keys, since a key outlives its order.

use async_trait::async_trait;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, TeamId, UserId};
use jeton_core::token::TokenId;

use crate::{BulkId, Effect, Result};

/// The keys of requests that were carried out.
///
/// A backend records the key of an order ([`Cause::idempotency`](crate::Cause::idempotency)) in the order's
/// transaction, with what the order made ([`Made`]); an order without effects records none.
/// [`Guard::NotDone`](crate::Guard::NotDone) refuses a second order with the key. Retention deletes keys, the oldest
/// first.
#[async_trait]
pub trait IdempotencyKeys: Send + Sync {
    /// Returns the request that was carried out with a key, and how many keys of its caller are recorded.
    async fn idempotency_key(&self, key: Idempotency) -> Result<RecordedKeys>;
}

/// The idempotency key of a request. Digests: neither the key nor the body of a request is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    /// The digest of the caller.
    pub caller: [u8; 16],
    /// The digest of the caller and the key.
    pub key: [u8; 32],
    /// The digest of the key and the request.
    pub request: [u8; 32],
}

/// The recorded keys of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedKeys {
    /// The request that was carried out with the key; `None` if there was none.
    pub done: Option<DoneRequest>,
    /// The number of recorded keys of the caller.
    pub count: u64,
}

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoneRequest {
    /// The digest of the key and the request.
    pub request: [u8; 32],
    /// The instant of its order.
    pub at: Timestamp,
    /// What the order made; `None` if nothing that has an id.
    pub made: Option<Made>,
}

/// What an order made, by its public id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// A token.
    Token(TokenId),
    /// A bulk revocation.
    BulkRevocation(BulkId),
    /// A cut-off: the sequence number of its event.
    CutOff(u64),
    /// An organization.
    Organization(OrganizationId),
    /// A team.
    Team(TeamId),
    /// A project.
    Project(u32),
    /// A user.
    Person(UserId),
    /// A signing key, by its `kid`.
    Key(String),
}

/// The numbers that a backend gave to what an order made.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenNumbers {
    /// Of the token.
    pub token: Option<TokenId>,
    /// Of the bulk revocation.
    pub bulk: Option<BulkId>,
    /// Of the project.
    pub project: Option<u32>,
    /// The sequence number of the last event of the feed.
    pub event: u64,
}

/// What the effects of an order make, before they are applied.
#[derive(Debug)]
pub enum Makes {
    /// Something whose id the order gives.
    Known(Made),
    /// A token.
    Token,
    /// A bulk revocation.
    BulkRevocation,
    /// A cut-off.
    CutOff,
    /// A project.
    Project,
}

impl Makes {
    /// Returns what effects make: the first thing with an id, since further ones belong to it.
    pub fn of(effects: &[Effect]) -> Option<Self> {
        effects.iter().find_map(|effect| match effect {
            Effect::Record(_) => Some(Self::Token),
            Effect::RevokeMany(_) => Some(Self::BulkRevocation),
            Effect::CutOff(_) => Some(Self::CutOff),
            Effect::CreateProject(..) => Some(Self::Project),
            Effect::CreateOrganization(new) => Some(Self::Known(Made::Organization(new.id))),
            Effect::CreateTeam(new) => Some(Self::Known(Made::Team(new.id.clone()))),
            Effect::CreatePerson(new) => Some(Self::Known(Made::Person(new.person.id.clone()))),
            Effect::PublishKey(row) => Some(Self::Known(Made::Key(row.key.kid.clone()))),
            Effect::Describe(..)
            | Effect::Revoke(..)
            | Effect::SetCount(..)
            | Effect::DeleteCounts(_)
            | Effect::AdvanceBulk(_)
            | Effect::ChangeOrganization(_)
            | Effect::RemoveOrganization(_)
            | Effect::SetRole(..)
            | Effect::RemoveMember(..)
            | Effect::Invite(..)
            | Effect::Uninvite(..)
            | Effect::AcceptInvitations(..)
            | Effect::ChangeTeam(_)
            | Effect::RemoveTeam(..)
            | Effect::SetTeamRole(..)
            | Effect::RemoveTeamMember(..)
            | Effect::RemoveProject(..)
            | Effect::ChangePerson(..)
            | Effect::RemovePerson(_)
            | Effect::NoteUse(_)
            | Effect::NoteReports(_)
            | Effect::NoteRefusals(_)
            | Effect::NoteFailures(_)
            | Effect::Purge(_)
            | Effect::SetKeyState(..)
            | Effect::NeedKey(..)
            | Effect::PromiseJwks(_)
            | Effect::SettleTime(_)
            | Effect::SetSetting(..) => None,
        })
    }

    /// Returns what was made, after the effects were applied.
    pub fn made(self, given: GivenNumbers) -> Option<Made> {
        match self {
            Self::Known(made) => Some(made),
            Self::Token => given.token.map(Made::Token),
            Self::BulkRevocation => given.bulk.map(Made::BulkRevocation),
            Self::CutOff => Some(Made::CutOff(given.event)),
            Self::Project => given.project.map(Made::Project),
        }
    }
}

impl Made {
    /// Returns the kind of thing.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::BulkRevocation(_) => "bulk_revocation",
            Self::CutOff(_) => "cut_off",
            Self::Organization(_) => "organization",
            Self::Team(_) => "team",
            Self::Project(_) => "project",
            Self::Person(_) => "user",
            Self::Key(_) => "key",
        }
    }

    /// Returns the public id.
    pub fn id(&self) -> String {
        match self {
            Self::Token(id) => id.to_string(),
            Self::BulkRevocation(id) => id.0.to_string(),
            Self::CutOff(sequence) => sequence.to_string(),
            Self::Organization(id) => id.to_string(),
            Self::Team(id) => id.to_string(),
            Self::Project(id) => id.to_string(),
            Self::Person(id) => id.to_string(),
            Self::Key(kid) => kid.clone(),
        }
    }

    /// Returns the thing with a kind and a public id, as [`Self::kind`] and [`Self::id`] write them.
    pub fn parse(kind: &str, id: &str) -> Option<Self> {
        Some(match kind {
            "token" => Self::Token(TokenId(id.parse().ok()?)),
            "bulk_revocation" => Self::BulkRevocation(BulkId(id.parse().ok()?)),
            "cut_off" => Self::CutOff(id.parse().ok()?),
            "organization" => Self::Organization(OrganizationId(id.parse().ok()?)),
            "team" => Self::Team(id.parse().ok()?),
            "project" => Self::Project(id.parse().ok()?),
            "user" => Self::Person(id.parse().ok()?),
            "key" => Self::Key(id.to_owned()),
            _ => return None,
        })
    }
}
