//! Retention: a scan for data that may be old enough to be deleted, and the deletion.
//!
//! No index says when tokens end: every issue would pay for it. Instead all records are scanned in the
//! order of their ids, on a connection that only reads.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, Row};

use crate::SqliteStore;
use crate::audit;
use crate::cut_offs::{self, CUT_OFF_COLUMNS, REACH_JOINS};
use crate::ended::Who;
use crate::failure::Failure;
use crate::list_indexes;
use crate::readers::Purpose;
use crate::statistics;
use crate::values::{Bytes, Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, ListIndex, TokenId};
use jeton_store::{Aged, Change, Effect, Order, Purge, Result, Retention};

/// The number of records, and of events, in a portion. One job of the writer deletes at most as many rows, in
/// three or four milliseconds.
const PORTION: usize = 500;

#[async_trait]
impl Retention for SqliteStore {
    async fn aged(&self, after: Option<TokenId>) -> Result<Aged> {
        self.readers
            .read(Purpose::Upkeep, move |connection| {
                let transaction = connection.unchecked_transaction()?;
                let records = records(&transaction, after)?;
                let next = records.last().filter(|_| records.len() == PORTION);
                let aged = Aged {
                    next: next.map(|(id, _)| *id),
                    records,
                    sealed: audit::sealed_through(&transaction)?,
                    uncounted_since: statistics::uncounted_since(&transaction)?,
                    events: oldest_events(&transaction)?,
                    idempotency_keys: oldest_keys(&transaction)?,
                    ..Aged::default()
                };
                if aged.next.is_some() {
                    return Ok(aged);
                }
                Ok(Aged {
                    cut_offs: pruned_cut_offs(&transaction)?,
                    oldest_record: oldest_record(&transaction)?,
                    lists: list_indexes::opened_lists(&transaction)?,
                    ..aged
                })
            })
            .await
    }
}

fn records(
    connection: &Connection,
    after: Option<TokenId>,
) -> std::result::Result<Vec<(TokenId, Option<Timestamp>)>, Failure> {
    let mut query =
        connection.prepare_cached("SELECT id, expires_at FROM tokens WHERE id > ?1 ORDER BY id LIMIT ?2")?;
    let after = after.map_or(0, |after| after.0);
    let found = query.query_map(params![after, PORTION], |row| {
        Ok((TokenId(get(row, 0)?), get(row, 1)?))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Returns when the oldest record was made.
pub(super) fn oldest_record(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached("SELECT (SELECT created_at FROM tokens ORDER BY jti LIMIT 1)")?
        .query_row((), |row| get(row, 0))
}

fn oldest_events(connection: &Connection) -> std::result::Result<Vec<(u64, Timestamp)>, Failure> {
    let mut query = connection.prepare_cached(
        "SELECT sequence, recorded_at FROM revocations
         WHERE sequence > (SELECT pruned_through FROM meta) ORDER BY sequence LIMIT ?1",
    )?;
    let found = query.query_map(params![PORTION], |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

fn oldest_keys(connection: &Connection) -> std::result::Result<Vec<(u64, Timestamp)>, Failure> {
    let mut query = connection.prepare_cached("SELECT id, at FROM idempotency_keys ORDER BY id LIMIT ?1")?;
    let found = query.query_map(params![PORTION], |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Returns the cut-offs whose events are pruned, without those of keys and of restores: these always stay,
/// and would fill the portion.
fn pruned_cut_offs(connection: &Connection) -> std::result::Result<Vec<(u64, CutOff)>, Failure> {
    let mut query = connection.prepare_cached(&format!(
        "SELECT event.sequence, {CUT_OFF_COLUMNS}
         FROM revocations AS event INDEXED BY cut_offs_by_instant {REACH_JOINS}
         WHERE event.kind = 'cut_off' AND event.kid IS NULL
            AND event.sequence <= (SELECT pruned_through FROM meta)
            AND event.sequence > (SELECT restored_through FROM meta)
         ORDER BY event.issued_through_seconds LIMIT ?1"
    ))?;
    let found = query.query_map(params![PORTION], |row| {
        Ok((get(row, 0)?, cut_offs::cut_off(&mut Columns::from(row, 1))?))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Reads the columns `status_list` and `status_index`.
fn list_index(row: &Row<'_>, first: usize) -> rusqlite::Result<ListIndex> {
    Ok(ListIndex {
        list: get(row, first)?,
        index: get(row, first + 1)?,
    })
}

/// Returns the deletion that an order contains, if any.
fn purge(order: &Order) -> Option<&Purge> {
    order.effects.iter().find_map(|effect| match effect {
        Effect::Purge(purge) => Some(&**purge),
        _ => None,
    })
}

impl SqliteStore {
    /// Prunes the journal if an order ends a scan: each pruning reads the oldest segment.
    pub(super) async fn prune_journal(&self, order: &Order) -> Result<()> {
        let Some(purge) = purge(order).filter(|purge| purge.ends_scan) else {
            return Ok(());
        };
        let (folder, ended_by) = (self.journal.clone(), purge.ended_by);
        let pruned = tokio::task::spawn_blocking(move || jeton_journal::prune(&folder, ended_by)).await;
        pruned
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(Failure::from)?;
        Ok(())
    }

    /// Returns a function that drops the reserved indexes of the status lists that an order retires.
    pub(super) fn retiring(&self, order: &Order) -> impl FnOnce() + Send + use<> {
        let retiring = purge(order).filter(|purge| !purge.lists.is_empty());
        let retiring = retiring.map(|purge| (Arc::clone(&self.list_indexes), purge.lists.clone()));
        move || {
            if let Some((list_indexes, lists)) = retiring {
                list_indexes.drop_lists(&lists);
            }
        }
    }
}

impl Batch<'_> {
    pub(super) fn settle_time(&self, instant: Timestamp) -> std::result::Result<(), Failure> {
        self.connection
            .prepare_cached("UPDATE meta SET settled_at = max(settled_at, ?1)")?
            .execute(params![instant])?;
        Ok(())
    }

    pub(super) fn purge(&mut self, purge: &Purge, now: Timestamp) -> std::result::Result<(), Failure> {
        let connection = self.connection;
        if !purge.records.is_empty() {
            // First, since a trigger refuses to delete anything that has not ended by then. In whole seconds,
            // as in `exp`.
            connection
                .prepare_cached("UPDATE meta SET purged_through = max(purged_through, ?1)")?
                .execute(params![purge.ended_by.seconds() * 1000 + 999])?;
        }
        let mut delete = connection.prepare_cached(
            "DELETE FROM tokens WHERE id = ?1 RETURNING effective_at, status_list, status_index",
        )?;
        for id in &purge.records {
            let mut deleted = delete.query(params![id.0])?;
            while let Some(row) = deleted.next()? {
                if let Some(effective_at) = get(row, 0)? {
                    let list_index = list_index(row, 1)?;
                    self.memory
                        .toggle_ended(Who::Recorded(*id), effective_at, list_index);
                }
            }
        }
        if purge.ends_scan {
            let mut delete = connection.prepare_cached(
                "DELETE FROM lost_tokens WHERE expires_at / 1000 <= ?1
                 RETURNING effective_at, status_list, status_index, jti",
            )?;
            let mut deleted = delete.query(params![purge.ended_by.seconds()])?;
            while let Some(row) = deleted.next()? {
                let (who, list_index) = (Who::Lost(get::<Bytes>(row, 3)?.0), list_index(row, 1)?);
                self.memory.toggle_ended(who, get(row, 0)?, list_index);
            }
        }
        if let Some(through) = purge.events_through {
            // First, since a trigger refuses to delete anything after this event.
            connection
                .prepare_cached(
                    "UPDATE meta SET pruned_through = ?1, pruned_hash = event.hash
                     FROM (SELECT hash FROM revocations WHERE sequence = ?1) AS event
                     WHERE pruned_through < ?1",
                )?
                .execute(params![through])?;
            connection
                .prepare_cached("DELETE FROM revocations WHERE sequence <= ?1 AND kind = 'token'")?
                .execute(params![through])?;
        }
        let mut delete = connection.prepare_cached("DELETE FROM revocations WHERE sequence = ?1")?;
        for sequence in &purge.cut_offs {
            delete.execute(params![sequence])?;
        }
        if let Some(through) = purge.idempotency_keys_through {
            connection
                .prepare_cached("DELETE FROM idempotency_keys WHERE id <= ?1")?
                .execute(params![through])?;
        }
        let mut retire = connection
            .prepare_cached("UPDATE status_lists SET retired_at = ?2 WHERE id = ?1 AND retired_at IS NULL")?;
        for list in &purge.lists {
            if retire.execute(params![list, now])? > 0 {
                self.changes.push(Change::Retired(*list));
            }
        }
        Ok(())
    }
}
