//! Retention: a scan for data that may be old enough to be deleted, and the deletion.
//!
//! No index says when tokens end: every issue would pay for it. Instead all records are scanned in the
//! order of their ids, on a connection that only reads.

use std::sync::Arc;

use async_trait::async_trait;

use crate::PostgresStore;
use crate::audit;
use crate::connection::Connection;
use crate::cut_offs::{self, CUT_OFF_COLUMNS, REACH_JOINS};
use crate::failure::Failure;
use crate::list_indexes;
use crate::statistics;
use crate::values::{Bound, Column, Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, TokenId};
use jeton_store::reads::Purpose;
use jeton_store::{Aged, Change, Effect, Order, Purge, Result, Retention};

/// The number of records, and of events, in a portion. One job of the writer deletes at most as many rows.
const PORTION: usize = 500;

#[async_trait]
impl Retention for PostgresStore {
    async fn aged(&self, after: Option<TokenId>) -> Result<Aged> {
        let mut connection = self.connections.long(Purpose::Upkeep).await?;
        let aged = aged(&connection, after).await?;
        connection.end().await?;
        Ok(aged)
    }
}

async fn aged(connection: &Connection, after: Option<TokenId>) -> std::result::Result<Aged, Failure> {
    let query = "SELECT id, expires_at FROM tokens WHERE id > $1 ORDER BY id LIMIT $2";
    let after = after.map_or(0, |after| after.0);
    let records: Vec<(i64, Option<Timestamp>)> = pairs(connection, query, params![after, PORTION]).await?;
    let records: Vec<_> = records.into_iter().map(|(id, end)| (TokenId(id), end)).collect();
    let events = "SELECT sequence, recorded_at FROM revocations
         WHERE sequence > (SELECT pruned_through FROM meta) ORDER BY sequence LIMIT $1";
    let keys = "SELECT id, at FROM idempotency_keys ORDER BY id LIMIT $1";
    let next = records.last().filter(|_| records.len() == PORTION);
    let aged = Aged {
        next: next.map(|(id, _)| *id),
        records,
        sealed: audit::sealed_through(connection).await?,
        uncounted_since: statistics::uncounted_since(connection).await?,
        events: pairs(connection, events, params![PORTION]).await?,
        idempotency_keys: pairs(connection, keys, params![PORTION]).await?,
        ..Aged::default()
    };
    if aged.next.is_some() {
        return Ok(aged);
    }
    let oldest = "SELECT (SELECT created_at FROM tokens ORDER BY jti LIMIT 1)";
    Ok(Aged {
        cut_offs: pruned_cut_offs(connection).await?,
        oldest_record: get(&connection.row(oldest, &[]).await?, 0)?,
        lists: list_indexes::opened_lists(connection).await?,
        ..aged
    })
}

/// Returns the two columns of a query.
async fn pairs<A: Column, B: Column>(
    connection: &Connection,
    query: &str,
    params: &[Bound],
) -> std::result::Result<Vec<(A, B)>, Failure> {
    let rows = connection.rows(query, params).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

/// Returns the cut-offs whose events are pruned, without those of keys and of lost history: these always stay,
/// and would fill the portion.
async fn pruned_cut_offs(connection: &Connection) -> std::result::Result<Vec<(u64, CutOff)>, Failure> {
    let query = format!(
        "SELECT event.sequence, {CUT_OFF_COLUMNS} FROM revocations AS event {REACH_JOINS}
         WHERE event.kind = 'cut_off' AND event.kid IS NULL
            AND event.sequence <= (SELECT pruned_through FROM meta)
            AND event.sequence > (SELECT restored_through FROM meta)
         ORDER BY event.issued_through_seconds LIMIT $1"
    );
    let rows = connection.rows(&query, params![PORTION]).await?;
    rows.iter()
        .map(|row| Ok((get(row, 0)?, cut_offs::cut_off(&mut Columns::from(row, 1))?)))
        .collect()
}

impl PostgresStore {
    /// Prunes the journal if an order ends a scan: each pruning reads the oldest segment.
    pub(super) async fn prune_journal(&self, order: &Order) -> Result<()> {
        let ended_by = order.effects.iter().find_map(|effect| match effect {
            Effect::Purge(purge) if purge.ends_scan => Some(purge.ended_by),
            _ => None,
        });
        match (&self.journal, ended_by) {
            (Some(journal), Some(ended_by)) => Ok(journal.prune(ended_by).await?),
            _ => Ok(()),
        }
    }

    /// Returns a function that drops the reserved indexes of the status lists that an order retires.
    pub(super) fn retiring(&self, order: &Order) -> impl FnOnce() + Send + use<> {
        let lists = order.effects.iter().find_map(|effect| match effect {
            Effect::Purge(purge) if !purge.lists.is_empty() => Some(purge.lists.clone()),
            _ => None,
        });
        let retiring = lists.map(|lists| (Arc::clone(&self.list_indexes), lists));
        move || {
            if let Some((list_indexes, lists)) = retiring {
                list_indexes.drop_lists(&lists);
            }
        }
    }
}

impl Batch<'_> {
    pub(super) async fn settle_time(&self, instant: Timestamp) -> std::result::Result<(), Failure> {
        self.connection
            .execute(
                "UPDATE meta SET settled_at = greatest(settled_at, $1)",
                params![instant],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn purge(&mut self, purge: &Purge, now: Timestamp) -> std::result::Result<(), Failure> {
        let connection = self.connection;
        if !purge.records.is_empty() {
            // First, since a trigger refuses to delete anything that has not ended by then. In whole seconds,
            // as in `exp`.
            let ended_by = purge.ended_by.seconds() * 1000 + 999;
            connection
                .execute(
                    "UPDATE meta SET purged_through = greatest(purged_through, $1)",
                    params![ended_by],
                )
                .await?;
            let delete = "DELETE FROM tokens WHERE id = ANY ($1)";
            connection
                .execute(delete, params![Bound::array(&purge.records)])
                .await?;
        }
        if purge.ends_scan {
            let delete = "DELETE FROM lost_tokens WHERE expires_at / 1000 <= $1";
            connection
                .execute(delete, params![purge.ended_by.seconds()])
                .await?;
        }
        if let Some(through) = purge.events_through {
            // First, since a trigger refuses to delete anything after this event.
            connection
                .execute(
                    "UPDATE meta SET pruned_through = $1, pruned_hash = event.hash
                     FROM (SELECT hash FROM revocations WHERE sequence = $1) AS event
                     WHERE pruned_through < $1",
                    params![through],
                )
                .await?;
            let delete = "DELETE FROM revocations WHERE sequence <= $1 AND kind = 'token'";
            connection.execute(delete, params![through]).await?;
        }
        if !purge.cut_offs.is_empty() {
            let delete = "DELETE FROM revocations WHERE sequence = ANY ($1)";
            connection
                .execute(delete, params![Bound::array(&purge.cut_offs)])
                .await?;
        }
        if let Some(through) = purge.idempotency_keys_through {
            let delete = "DELETE FROM idempotency_keys WHERE id <= $1";
            connection.execute(delete, params![through]).await?;
        }
        if !purge.lists.is_empty() {
            let rows = connection
                .rows(
                    "WITH retired AS (UPDATE status_lists SET retired_at = $2
                         WHERE id = ANY ($1) AND retired_at IS NULL RETURNING id)
                     SELECT id FROM retired ORDER BY id",
                    params![Bound::array(&purge.lists), now],
                )
                .await?;
            for row in &rows {
                self.changes.push(Change::Retired(get(row, 0)?));
            }
        }
        Ok(())
    }
}
