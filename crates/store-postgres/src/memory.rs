//! What a batch of the writer knows of the database: the counters that commits advance, and row numbers.
//!
//! The counters are read within each transaction, under the lock of the writers, and written back before its commit.

use std::collections::HashMap;
use std::hash::Hash;

use jeton_verifier::event::Position;
use uuid::Uuid;

use crate::active::OwnerNumbers;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::values::{Columns, Parameter, get, params};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, TeamId, UserId};
use jeton_core::token::{Actor, Owner};
use jeton_store::Generation;

/// The counters of a transaction.
pub(super) struct Memory {
    /// The deployment's epoch.
    pub(super) epoch: Uuid,
    pub(super) head: Head,
    /// The counters as they are in the database.
    written: Head,
    pub(super) numbers: Numbers,
}

/// The counters that commits advance. A job that fails restores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// How many edits of the directory and the keys were committed.
    pub(super) edits: u64,
    /// The version of the keys.
    pub(super) keys: Generation,
    /// The feed's last event.
    pub(super) sequence: u64,
    /// Its hash.
    pub(super) hash: [u8; 32],
    /// The latest second that any cut-off covers: tokens issued after it need no comparison with cut-offs.
    pub(super) cut_through: i64,
    /// The latest instant of an order.
    pub(super) latest: Timestamp,
}

impl Memory {
    /// Reads the counters. The row numbers of an earlier batch stay true: no row changes its number.
    pub(super) async fn read(connection: &Connection, numbers: Numbers) -> Result<Self, Failure> {
        let row = connection
            .row(
                "SELECT epoch, edits, generation, sequence, hash, latest_at,
                    (SELECT max(least(issued_through_seconds, effective_at / 1000)) FROM revocations
                     WHERE kind = 'cut_off')
                 FROM meta",
                &[],
            )
            .await?;
        let columns = &mut Columns::of(&row);
        let epoch = columns.take()?;
        let head = Head {
            edits: columns.take()?,
            keys: Generation(columns.take()?),
            sequence: columns.take()?,
            hash: columns.take()?,
            latest: columns.take()?,
            cut_through: columns.take::<Option<i64>>()?.unwrap_or(i64::MIN),
        };
        Ok(Self {
            epoch,
            head,
            written: head,
            numbers,
        })
    }

    /// Returns the position of the feed's last event, those of the open transaction included.
    pub(super) fn position(&self) -> Position {
        Position {
            epoch: self.epoch,
            sequence: self.head.sequence,
            hash: self.head.hash,
        }
    }

    /// Notes the instant of an order or of an event.
    pub(super) fn reach(&mut self, instant: Timestamp) {
        self.head.latest = self.head.latest.max(instant);
    }

    /// Writes the counters back if the batch has advanced them. An instant alone is written once a second.
    pub(super) async fn write(&self, connection: &Connection) -> Result<(), Failure> {
        let is_noted = self.head.latest.seconds() == self.written.latest.seconds();
        let latest = if is_noted {
            self.written.latest
        } else {
            self.head.latest
        };
        if (Head { latest, ..self.head }) != self.written {
            connection
                .execute(
                    "UPDATE meta SET edits = $1, generation = $2, sequence = $3, hash = $4, latest_at = $5",
                    params![
                        self.head.edits,
                        self.head.keys.0,
                        self.head.sequence,
                        self.head.hash,
                        self.head.latest,
                    ],
                )
                .await?;
        }
        Ok(())
    }
}

/// Row numbers by public ids. Renaming changes no id, and no id is reused.
#[derive(Default)]
pub(super) struct Numbers {
    organizations: HashMap<OrganizationId, i64>,
    teams: HashMap<TeamId, i64>,
    users: HashMap<UserId, i64>,
}

/// The most cached entries of a kind.
const KEPT: usize = 50_000;

impl Numbers {
    pub(super) async fn organization(&mut self, at: &Connection, id: OrganizationId) -> Result<i64, Failure> {
        let query = "SELECT id FROM organizations WHERE public_id = $1";
        number(&mut self.organizations, at, query, &id, "an organization").await
    }

    pub(super) async fn team(&mut self, at: &Connection, id: &TeamId) -> Result<i64, Failure> {
        let query = "SELECT id FROM teams WHERE public_id = $1";
        number(&mut self.teams, at, query, id, "a team").await
    }

    pub(super) async fn user(&mut self, at: &Connection, id: &UserId) -> Result<i64, Failure> {
        let query = "SELECT id FROM users WHERE public_id = $1";
        number(&mut self.users, at, query, id, "a person").await
    }

    /// Returns the row numbers of a token's owner.
    pub(super) async fn owner(&mut self, at: &Connection, owner: &Owner) -> Result<OwnerNumbers, Failure> {
        let mut found = OwnerNumbers {
            organization: None,
            team: None,
            user: None,
        };
        if let Some(organization) = owner.organization() {
            found.organization = Some(self.organization(at, organization).await?);
        }
        if let Some(team) = owner.team() {
            found.team = Some(self.team(at, team).await?);
        }
        if let Some(user) = owner.user() {
            found.user = Some(self.user(at, user).await?);
        }
        Ok(found)
    }

    /// Returns the row number of an actor, if the actor is a person known here.
    pub(super) async fn actor(&mut self, at: &Connection, actor: &Actor) -> Result<Option<i64>, Failure> {
        match &actor.user {
            Some(user) => self.user(at, user).await.map(Some),
            None => Ok(None),
        }
    }

    /// Clears all: the rows of some may be undone.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

async fn number<K: Parameter + Hash + Eq + Clone>(
    kept: &mut HashMap<K, i64>,
    at: &Connection,
    query: &str,
    id: &K,
    what: &'static str,
) -> Result<i64, Failure> {
    if let Some(number) = kept.get(id) {
        return Ok(*number);
    }
    let row = at.optional(query, params![id]).await?;
    let number = get(&row.ok_or(Failure::Unknown(what))?, 0)?;
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(id.clone(), number);
    Ok(number)
}
