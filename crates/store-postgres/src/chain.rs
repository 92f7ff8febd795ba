//! Reads events of the feed from their rows.

use std::sync::Arc;

use jeton_verifier::event::{Ends, Entry, Event, RevokedToken};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::connection::Connection;
use crate::cut_offs::{self, CUT_OFF_COLUMNS, REACH_JOINS};
use crate::failure::Failure;
use crate::values::{Bound, Columns, get};
use jeton_core::clock::Timestamp;
use jeton_core::token::{ListIndex, TokenId};
use jeton_store::{Change, ends};

/// The places of the columns `recorded_at` and `effective_at`, and those of who ordered it and why.
pub(super) const RECORDED_AT: usize = 3;
pub(super) const EFFECTIVE_AT: usize = 4;
pub(super) const ACTOR: usize = 18;
pub(super) const REASON: usize = 19;

/// The number of columns before those of a cut-off.
const BEFORE_CUT_OFF: usize = 10;

/// Returns the rows of events, which [`change`] and [`entry`] read. The condition names the rows `event`.
pub(super) async fn events(
    connection: &Connection,
    condition: &str,
    params: &[Bound],
) -> Result<Vec<Row>, Failure> {
    let query = format!(
        "SELECT event.hash, event.sequence, event.epoch, event.recorded_at, event.effective_at, event.token, event.jti,
            event.status_list, event.status_index, event.expires_at, {CUT_OFF_COLUMNS}, event.actor, event.reason
         FROM revocations AS event {REACH_JOINS} WHERE {condition}"
    );
    connection.rows(&query, params).await
}

/// Reads the change that observers were told when the event was committed.
pub(super) fn change(row: &Row) -> Result<Change, Failure> {
    let entry = Arc::new(entry(row)?);
    Ok(match &entry.event.ends {
        Ends::Token(token) => Change::Revoked {
            token: TokenId(token.id),
            list_index: ListIndex {
                list: token.status_list,
                index: token.index,
            },
            effective_at: get(row, EFFECTIVE_AT)?,
            entry,
        },
        Ends::CutOff(_) => Change::CutOff {
            cut_off: cut_offs::cut_off(&mut Columns::from(row, BEFORE_CUT_OFF))?,
            entry,
        },
    })
}

/// Reads an event with its hash.
pub(super) fn entry(row: &Row) -> Result<Entry, Failure> {
    let mut columns = Columns::of(row);
    let hash = columns.take()?;
    let sequence = columns.take()?;
    let epoch = columns.take()?;
    let recorded_at: Timestamp = columns.take()?;
    let effective_at: Timestamp = columns.take()?;
    let token: Option<i64> = columns.take()?;
    let jti: Option<Uuid> = columns.take()?;
    let status_list: Option<u32> = columns.take()?;
    let index: Option<u32> = columns.take()?;
    let expires_at: Option<Timestamp> = columns.take()?;
    let ends = match (token, jti, status_list, index) {
        (Some(id), Some(jti), Some(status_list), Some(index)) => Ends::Token(RevokedToken {
            jti,
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
