//! Reads events of the feed from their rows, and checks the integrity of the feed.
//!
//! SQLite detects no flipped bit in a row, nor one in its WAL, where it silently drops every later commit.
//! Gapless numbers and the hash chain reveal lost or altered events.

use std::sync::Arc;

use jeton_verifier::event::{BEFORE_ALL, Ends, Entry, Event, RevokedToken};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row};

use crate::cut_offs::{self, CUT_OFF_COLUMNS, REACH_JOINS};
use crate::values::{Bytes, Columns, get, params};
use jeton_core::clock::Timestamp;
use jeton_core::token::{ListIndex, TokenId};
use jeton_store::{Change, ends};

/// Prepares a query of events, which [`change`] and [`entry`] read. What follows `WHERE` names the rows `event`.
pub(super) fn events<'a>(
    connection: &'a Connection,
    condition: &str,
) -> rusqlite::Result<CachedStatement<'a>> {
    connection.prepare_cached(&format!(
        "SELECT event.hash, event.sequence, event.epoch, event.recorded_at, event.effective_at, event.token, event.jti,
            event.status_list, event.status_index, event.expires_at, {CUT_OFF_COLUMNS}, event.actor, event.reason
         FROM revocations AS event {REACH_JOINS} WHERE {condition}"
    ))
}

/// Reads the change that observers were told when the event was committed.
pub(super) fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    let entry = Arc::new(entry(row)?);
    Ok(match &entry.event.ends {
        Ends::Token(token) => Change::Revoked {
            token: TokenId(token.id),
            list_index: ListIndex {
                list: token.status_list,
                index: token.index,
            },
            effective_at: get(row, "effective_at")?,
            entry,
        },
        Ends::CutOff(_) => Change::CutOff {
            cut_off: cut_offs::cut_off(&mut Columns::from(row, BEFORE_CUT_OFF))?,
            entry,
        },
    })
}

/// The number of columns before those of a cut-off.
const BEFORE_CUT_OFF: usize = 10;

/// Reads an event with its hash.
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let mut columns = Columns::of(row);
    let hash = columns.take()?;
    let sequence = columns.take()?;
    let epoch = columns.take::<Bytes>()?.0;
    let recorded_at: Timestamp = columns.take()?;
    let effective_at: Timestamp = columns.take()?;
    let token: Option<i64> = columns.take()?;
    let jti: Option<Bytes> = columns.take()?;
    let status_list: Option<u32> = columns.take()?;
    let index: Option<u32> = columns.take()?;
    let expires_at: Option<Timestamp> = columns.take()?;
    let ends = match (token, jti, status_list, index) {
        (Some(id), Some(jti), Some(status_list), Some(index)) => Ends::Token(RevokedToken {
            jti: jti.0,
            id,
            status_list,
            index,
            expires_at: expires_at.map(Timestamp::millis),
        }),
        _ => ends(&cut_offs::cut_off(&mut columns)?),
    };
    let event = Event {
        epoch,
        sequence,
        recorded_at: recorded_at.millis(),
        effective_at: effective_at.millis(),
        ends,
    };
    Ok(Entry { event, hash })
}

/// Returns the first flaw in the last `depth` events of the feed, if any.
pub(super) fn flaw(connection: &Connection, depth: u64) -> rusqlite::Result<Option<String>> {
    // One instant: another process may be writing.
    let transaction = connection.unchecked_transaction()?;
    let (head, head_hash, pruned, pruned_hash) = transaction
        .prepare("SELECT sequence, hash, pruned_through, pruned_hash FROM meta")?
        .query_row((), |row| {
            Ok((
                get::<u64>(row, 0)?,
                get::<[u8; 32]>(row, 1)?,
                get(row, 2)?,
                get(row, 3)?,
            ))
        })
        .optional()?
        // A first start that was killed has created the tables but written no identity yet.
        .unwrap_or((0, BEFORE_ALL, 0, BEFORE_ALL));
    let first = head.saturating_sub(depth).max(pruned + 1);
    let mut query = events(&transaction, "event.sequence >= ?1 ORDER BY event.sequence")?;
    let mut rows = query.query(params![first])?;
    let (mut expected, mut previous) = (first, (first == pruned + 1).then_some(pruned_hash));
    while let Some(row) = rows.next()? {
        let Entry { event, hash } = entry(row)?;
        if event.sequence != expected {
            return Ok(Some(format!(
                "event {expected} of the revocation feed is missing"
            )));
        }
        if previous.is_some_and(|previous| event.hash(&previous) != hash) {
            return Ok(Some(format!(
                "event {expected} of the revocation feed has been altered"
            )));
        }
        expected += 1;
        previous = Some(hash);
    }
    let is_whole = expected == head + 1 && previous.is_none_or(|previous| previous == head_hash);
    Ok((!is_whole).then(|| format!("the revocation feed does not end with event {head}")))
}
