//! The writer's cache of the database, so that a frequent write needs one statement.
//!
//! It is never authoritative: it is read inside a transaction, written back before the commit, and discarded
//! after any failure and whenever another process has written.

use std::collections::HashMap;

use jeton_verifier::event::Position;
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::ended::{Ended, Who};
use crate::failure::Failure;
use crate::values::{Bytes, Parameter, get, params};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, TeamId, UserId};
use jeton_core::token::ListIndex;
use jeton_store::{Generation, Realm};

/// The writer's cache.
pub(super) struct Memory {
    /// SQLite's count of other connections' commits when this was read.
    data_version: i64,
    /// The first epoch, which no restore changes.
    pub(super) origin: Uuid,
    /// The deployment's epoch.
    pub(super) epoch: Uuid,
    /// The counters that commits advance.
    pub(super) head: Head,
    /// The counters as they are in the file.
    written: Head,
    /// The cached row numbers.
    pub(super) numbers: Numbers,
    /// The cached versions of realms.
    pub(super) generations: Generations,
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
    /// The sum over all revoked tokens.
    pub(super) ended: Ended,
}

impl Head {
    /// Returns whether there is something to write. An instant alone is written once a second: issuing must
    /// not pay for more.
    fn differs_from(&self, written: &Self) -> bool {
        let latest = if self.latest.seconds() == written.latest.seconds() {
            written.latest
        } else {
            self.latest
        };
        Self { latest, ..*self } != *written
    }

    /// Returns the feed's last event as a position of an epoch.
    pub(super) fn position(&self, epoch: Uuid) -> Position {
        Position {
            epoch,
            sequence: self.sequence,
            hash: self.hash,
        }
    }
}

impl Memory {
    /// Returns the position of the feed's last event, those of the open transaction included.
    pub(super) fn position(&self) -> Position {
        self.head.position(self.epoch)
    }

    /// Reads the cache from the database.
    pub(super) fn read(connection: &Connection) -> Result<Self, Failure> {
        let data_version = data_version(connection)?;
        let (origin, epoch, head) = connection
            .prepare_cached(
                "SELECT origin, epoch, edits, generation, sequence, hash, latest_at, ended,
                    (SELECT max(min(issued_through_seconds, effective_at / 1000)) FROM revocations WHERE kind = 'cut_off')
                 FROM meta",
            )?
            .query_row((), |row| {
                Ok((
                    get::<Bytes>(row, 0)?.0,
                    get::<Bytes>(row, 1)?.0,
                    Head {
                        edits: get(row, 2)?,
                        keys: Generation(get(row, 3)?),
                        sequence: get(row, 4)?,
                        hash: get(row, 5)?,
                        latest: get(row, 6)?,
                        ended: Ended(get(row, 7)?),
                        cut_through: get::<Option<i64>>(row, 8)?.unwrap_or(i64::MIN),
                    },
                ))
            })?;
        Ok(Self {
            data_version,
            origin,
            epoch,
            head,
            written: head,
            numbers: Numbers::default(),
            generations: Generations::default(),
        })
    }

    /// Notes the instant of an order or of an event.
    pub(super) fn reach(&mut self, instant: Timestamp) {
        self.head.latest = self.head.latest.max(instant);
    }

    /// Adds a revoked token to the sum, or removes it.
    pub(super) fn toggle_ended(&mut self, who: Who, effective_at: Timestamp, list_index: ListIndex) {
        self.head.ended.toggle(self.origin, who, effective_at, list_index);
    }

    /// Returns the counters as they are in the file.
    pub(super) fn committed(&self) -> Head {
        self.written
    }

    /// Returns whether no other process has written since this was read.
    pub(super) fn is_current(&self, connection: &Connection) -> Result<bool, Failure> {
        Ok(data_version(connection)? == self.data_version)
    }

    /// Writes the counters back if the batch has advanced them.
    pub(super) fn write(&mut self, connection: &Connection) -> Result<(), Failure> {
        if self.head.differs_from(&self.written) {
            // By its key: otherwise SQLite opens a temporary table for the rows, since there are triggers.
            connection
                .prepare_cached(
                    "UPDATE meta SET edits = ?1, generation = ?2, sequence = ?3, hash = ?4, latest_at = ?5,
                        ended = ?6
                     WHERE one = 1",
                )?
                .execute(params![
                    self.head.edits,
                    self.head.keys.0,
                    self.head.sequence,
                    self.head.hash,
                    self.head.latest,
                    self.head.ended.0,
                ])?;
            self.written = self.head;
        }
        Ok(())
    }
}

fn data_version(connection: &Connection) -> Result<i64, Failure> {
    Ok(connection
        .prepare_cached("PRAGMA data_version")?
        .query_row((), |row| get(row, 0))?)
}

/// Row numbers by public ids. Renaming changes no id, and no id is reused.
#[derive(Default)]
pub(super) struct Numbers {
    organizations: HashMap<OrganizationId, i64>,
    teams: HashMap<TeamId, i64>,
    users: HashMap<UserId, i64>,
    signing_key: Option<SigningKey>,
}

/// The key that signs.
struct SigningKey {
    number: i64,
    kid: Box<str>,
    /// The value in the file, or an earlier instant.
    needed_until: Timestamp,
}

/// The most cached entries of a kind.
const KEPT: usize = 50_000;

impl Numbers {
    pub(super) fn organization(&mut self, at: &Connection, id: OrganizationId) -> Result<i64, Failure> {
        if let Some(number) = self.organizations.get(&id) {
            return Ok(*number);
        }
        let number = number(at, "SELECT id FROM organizations WHERE public_id = ?1", &id)?
            .ok_or(Failure::Unknown("an organization"))?;
        keep(&mut self.organizations, id, number);
        Ok(number)
    }

    pub(super) fn team(&mut self, at: &Connection, id: &TeamId) -> Result<i64, Failure> {
        if let Some(number) = self.teams.get(id) {
            return Ok(*number);
        }
        let number =
            number(at, "SELECT id FROM teams WHERE public_id = ?1", id)?.ok_or(Failure::Unknown("a team"))?;
        keep(&mut self.teams, id.clone(), number);
        Ok(number)
    }

    pub(super) fn user(&mut self, at: &Connection, id: &UserId) -> Result<i64, Failure> {
        if let Some(number) = self.users.get(id) {
            return Ok(*number);
        }
        let number = number(at, "SELECT id FROM users WHERE public_id = ?1", id)?
            .ok_or(Failure::Unknown("a person"))?;
        keep(&mut self.users, id.clone(), number);
        Ok(number)
    }

    /// Returns the number of the key that signs, if it has this id.
    pub(super) fn signing_key(&mut self, at: &Connection, kid: &str) -> Result<Option<i64>, Failure> {
        if self.signing_key.as_ref().is_none_or(|key| *key.kid != *kid) {
            self.signing_key = at
                .prepare_cached("SELECT id, needed_until FROM keys WHERE kid = ?1 AND state = 'signing'")?
                .query_row(params![kid], |row| {
                    Ok(SigningKey {
                        number: get(row, 0)?,
                        kid: kid.into(),
                        needed_until: get(row, 1)?,
                    })
                })
                .optional()?;
        }
        Ok(self.signing_key.as_ref().map(|key| key.number))
    }

    /// Returns the number of the key that signs, and keeps the key until the given end.
    ///
    /// A statement of its own records the need, and stays if the caller's fails: a key that is kept too long
    /// does no harm. Whole minutes make it one statement a minute instead of one a token.
    pub(super) fn needed_key(
        &mut self,
        at: &Connection,
        kid: &str,
        until: Option<Timestamp>,
    ) -> Result<i64, Failure> {
        self.signing_key(at, kid)?;
        let Some(key) = &mut self.signing_key else {
            return Err(Failure::Impossible(
                "only the key that signs is needed for longer",
            ));
        };
        let until = until.unwrap_or(Timestamp::LAST);
        if until > key.needed_until {
            let until = until.rounded_up_to_minute();
            at.prepare_cached("UPDATE keys SET needed_until = max(needed_until, ?2) WHERE id = ?1")?
                .execute(params![key.number, until])?;
            key.needed_until = until;
        }
        Ok(key.number)
    }

    /// Clears the cached key.
    pub(super) fn forget_keys(&mut self) {
        self.signing_key = None;
    }

    /// Clears all cached numbers.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// The versions of realms that orders were compared with.
#[derive(Default)]
pub(super) struct Generations(HashMap<Realm, Generation>);

impl Generations {
    pub(super) fn get(&self, realm: &Realm) -> Option<Generation> {
        self.0.get(realm).copied()
    }

    pub(super) fn set(&mut self, realm: Realm, generation: Generation) {
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        self.0.insert(realm, generation);
    }

    pub(super) fn remove(&mut self, realm: &Realm) {
        self.0.remove(realm);
    }

    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

fn number(at: &Connection, query: &str, id: &dyn Parameter) -> Result<Option<i64>, Failure> {
    Ok(at
        .prepare_cached(query)?
        .query_row(params![id], |row| get(row, 0))
        .optional()?)
}

fn keep<K: std::hash::Hash + Eq>(kept: &mut HashMap<K, i64>, id: K, number: i64) {
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(id, number);
}
