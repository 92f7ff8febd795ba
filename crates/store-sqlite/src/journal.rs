//! What the journal needs of the database: the changes of the open transaction as entries, and what was given out.

use std::path::{Path, PathBuf};

use jeton_journal::{Batch, Entry, Held, Journal, Order};
use jeton_verifier::event::{Ends, RevokedToken};
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::cut_offs::{self, CUT_OFF_COLUMNS, REACH_JOINS};
use crate::failure::Failure;
use crate::memory::Memory;
use crate::open::{self, beside};
use crate::values::{Bytes, Columns, get, params};
use jeton_core::clock::Timestamp;

/// Returns the folder of a database's journal.
pub(super) fn folder_of(database: &Path) -> PathBuf {
    beside(database, ".revocations")
}

/// Returns the folder of the journal of a database, which need not exist. The database may be a symbolic link.
pub fn journal_of(database: &Path) -> PathBuf {
    folder_of(&open::resolved(database).unwrap_or_else(|_| database.to_owned()))
}

/// Prepares the journal of a database, in a folder that need not exist yet.
pub(super) fn opened(folder: PathBuf, database: Uuid, connection: &Connection) -> Result<Journal, Failure> {
    let mut query = connection.prepare_cached("SELECT kid FROM keys WHERE state = 'withdrawn'")?;
    let withdrawn = query.query_map((), |row| get(row, 0))?;
    let withdrawn: Vec<String> = withdrawn.collect::<rusqlite::Result<_>>()?;
    Ok(Journal::new(folder, database, withdrawn))
}

/// Appends the revocations of the open transaction, if any, and returns once they are on disk.
pub(super) fn follow(journal: &mut Journal, connection: &Connection, memory: &Memory) -> Result<(), Failure> {
    let (before, head) = (memory.committed(), memory.head);
    let batch = match head.sequence == before.sequence {
        // Most transactions revoke nothing.
        true => Batch {
            at: memory.position(),
            reaches: memory.position(),
            entries: Vec::new(),
        },
        false => batch(connection, memory)?,
    };
    let withdrawn = match head.keys == before.keys {
        true => Vec::new(),
        false => withdrawn(connection)?,
    };
    Ok(journal.follow(vec![batch], withdrawn)?)
}

/// Returns the revocations of the open transaction.
pub(super) fn batch(connection: &Connection, memory: &Memory) -> Result<Batch, Failure> {
    let before = memory.committed();
    let query = format!(
        "SELECT event.recorded_at, event.effective_at, event.actor, actors.public_id, event.reason,
            event.jti, event.token, event.status_list, event.status_index, event.expires_at, {CUT_OFF_COLUMNS}
         FROM revocations AS event {REACH_JOINS} LEFT JOIN users AS actors ON actors.id = event.actor_user
         WHERE event.sequence > ?1 ORDER BY event.sequence"
    );
    let mut query = connection.prepare_cached(&query)?;
    let rows = query.query_map(params![before.sequence], |row| entry(&mut Columns::of(row)))?;
    Ok(Batch {
        at: before.position(memory.epoch),
        reaches: memory.position(),
        entries: rows.collect::<rusqlite::Result<_>>()?,
    })
}

fn entry(columns: &mut Columns<'_>) -> rusqlite::Result<Entry> {
    let order = Order {
        recorded_at: columns.take()?,
        effective_at: columns.take()?,
        by: columns.take()?,
        by_user: columns.take()?,
        reason: columns.take()?,
    };
    let ends = match columns.take::<Option<Bytes>>()? {
        Some(jti) => Ends::Token(RevokedToken {
            jti: jti.0,
            id: columns.take()?,
            status_list: columns.take()?,
            index: columns.take()?,
            expires_at: columns.take::<Option<Timestamp>>()?.map(Timestamp::millis),
        }),
        None => {
            for _ in 0..4 {
                columns.skip();
            }
            jeton_store::ends(&cut_offs::cut_off(columns)?)
        }
    };
    Entry::of_event(ends, order).ok_or(rusqlite::Error::InvalidQuery)
}

/// Returns the withdrawals of keys.
pub(super) fn withdrawn(connection: &Connection) -> Result<Vec<Entry>, Failure> {
    let mut query = connection.prepare_cached(
        "SELECT kid, algorithm, public_jwk, created_at, changed_at FROM keys WHERE state = 'withdrawn' ORDER BY id",
    )?;
    let rows = query.query_map((), |row| {
        Ok(Entry::Withdrawn {
            kid: get(row, 0)?,
            algorithm: get(row, 1)?,
            public_jwk: get(row, 2)?,
            created_at: get(row, 3)?,
            recorded_at: get(row, 4)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Returns what the database has given out.
pub(super) fn held(connection: &Connection) -> rusqlite::Result<Held> {
    let mut query = connection.prepare_cached("SELECT id, used FROM status_lists")?;
    let lists = query.query_map((), |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    Ok(Held {
        starts: connection.query_row("SELECT starts FROM meta", (), |row| get(row, 0))?,
        lists: lists.collect::<rusqlite::Result<_>>()?,
        tokens: last_token(connection)?,
    })
}

/// Returns the highest number of a token.
pub(super) fn last_token(connection: &Connection) -> rusqlite::Result<i64> {
    let found = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'tokens'")?
        .query_row((), |row| get(row, 0))
        .optional()?;
    Ok(found.unwrap_or_default())
}
