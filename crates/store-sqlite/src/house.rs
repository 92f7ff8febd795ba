//! Forgetting, in steps so small that nobody waits for them.
//!
//! No index says when tokens end: every issue would pay for it. Instead all records are walked in the
//! order of their numbers, on a connection that only reads, and the writer is handed what was found.

use crate::values::{get, params};
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;

use crate::SqliteStore;
use crate::failure::Failure;
use crate::journal;
use crate::places::retirement_ages;
use crate::writer::{Batch, Undo};
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;
use jeton_store::{Change, House, Purged, Result};

/// How many records, and how many events, a step looks at. As many rows are deleted in one job of the
/// writer at most, in three or four milliseconds.
const STEP: usize = 500;

#[async_trait]
impl House for SqliteStore {
    async fn purge(&self, after: Option<TokenId>, ended_by: Timestamp, now: Timestamp) -> Result<Purged> {
        let found = self
            .readers
            .read(move |connection| look(connection, after, ended_by))
            .await?;
        if found.next.is_none() {
            let folder = self.journal.clone();
            let pruned = tokio::task::spawn_blocking(move || journal::prune(&folder, ended_by)).await;
            pruned
                .map_err(std::io::Error::other)
                .flatten()
                .map_err(Failure::from)?;
        }
        let purged = Purged {
            records: found.records.len(),
            events: found.events.as_ref().map_or(0, |events| events.count),
            next: found.next,
        };
        if !found.is_nothing() {
            let places = Arc::clone(&self.places);
            self.writer
                .run(Undo::Savepoint, move |batch| {
                    places.drop_lists(&found.lists);
                    forget(batch, &found, ended_by, now)
                })
                .await?;
        }
        Ok(purged)
    }
}

/// What a step has found to be forgotten.
struct Found {
    records: Vec<i64>,
    lost: usize,
    events: Option<OldEvents>,
    cut_offs: Vec<u64>,
    lists: Vec<u32>,
    next: Option<TokenId>,
}

/// The feed's oldest events: how many, and the number and the hash of the last of them.
struct OldEvents {
    count: usize,
    through: u64,
    hash: [u8; 32],
}

impl Found {
    fn is_nothing(&self) -> bool {
        self.records.is_empty()
            && self.lost == 0
            && self.events.is_none()
            && self.cut_offs.is_empty()
            && self.lists.is_empty()
    }
}

fn look(
    connection: &Connection,
    after: Option<TokenId>,
    ended_by: Timestamp,
) -> std::result::Result<Found, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let (records, next) = ended_records(&transaction, after, ended_by)?;
    // What is looked for once a round is looked for at its end.
    let at_the_end = next.is_none();
    Ok(Found {
        records,
        lost: if at_the_end {
            ended_lost_tokens(&transaction, ended_by)?
        } else {
            0
        },
        events: old_events(&transaction, ended_by)?,
        cut_offs: if at_the_end {
            idle_cut_offs(&transaction)?
        } else {
            Vec::new()
        },
        lists: if at_the_end {
            ended_lists(&transaction, ended_by)?
        } else {
            Vec::new()
        },
        next,
    })
}

/// Those of the next records that have ended, and where to go on.
fn ended_records(
    connection: &Connection,
    after: Option<TokenId>,
    ended_by: Timestamp,
) -> std::result::Result<(Vec<i64>, Option<TokenId>), Failure> {
    let mut query = connection.prepare_cached(
        "SELECT id, expires_at IS NOT NULL AND expires_at / 1000 <= ?2 FROM tokens
         WHERE id > ?1 ORDER BY id LIMIT ?3",
    )?;
    let mut rows = query.query(params![
        after.map_or(0, |after| after.0),
        ended_by.seconds(),
        STEP
    ])?;
    let mut ended = Vec::new();
    let (mut seen, mut last) = (0, None);
    while let Some(row) = rows.next()? {
        let id = get(row, 0)?;
        if get(row, 1)? {
            ended.push(id);
        }
        seen += 1;
        last = Some(TokenId(id));
    }
    Ok((ended, last.filter(|_| seen == STEP)))
}

/// The feed's oldest events up to the first that is too young.
fn old_events(
    connection: &Connection,
    recorded_by: Timestamp,
) -> std::result::Result<Option<OldEvents>, Failure> {
    let mut query = connection.prepare_cached(
        "SELECT sequence, hash, recorded_at FROM revocations
         WHERE sequence > (SELECT pruned_through FROM meta) ORDER BY sequence LIMIT ?1",
    )?;
    let mut rows = query.query(params![STEP])?;
    let mut events: Option<OldEvents> = None;
    while let Some(row) = rows.next()? {
        if get::<Timestamp>(row, 2)? > recorded_by {
            break;
        }
        events = Some(OldEvents {
            count: events.map_or(0, |events| events.count) + 1,
            through: get(row, 0)?,
            hash: get(row, 1)?,
        });
    }
    Ok(events)
}

/// Cut-offs that are no part of the feed any more, and which no record is old enough for. One of a key
/// stays: whoever stole the key writes what time of issue they like.
fn idle_cut_offs(connection: &Connection) -> std::result::Result<Vec<u64>, Failure> {
    let mut query = connection.prepare_cached(
        "SELECT sequence FROM revocations INDEXED BY cut_offs_by_instant
         WHERE kind = 'cut_off' AND kid IS NULL AND sequence <= (SELECT pruned_through FROM meta)
            AND issued_through_seconds < coalesce(
                (SELECT created_at / 1000 FROM tokens ORDER BY jti LIMIT 1), issued_through_seconds + 1)
            AND sequence > (SELECT restored_through FROM meta)
         LIMIT ?1",
    )?;
    let found = query.query_map(params![STEP], |row| get(row, 0))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Lists that have taken tokens for as long as they do, as long ago as those live.
fn ended_lists(connection: &Connection, ended_by: Timestamp) -> std::result::Result<Vec<u32>, Failure> {
    let mut query = connection.prepare_cached(
        "SELECT id FROM status_lists
         WHERE retired_at IS NULL AND lifetime_class = ?1 AND opened_at / 1000 + ?2 < ?3",
    )?;
    let mut ended = Vec::new();
    for (class, age) in retirement_ages() {
        let lists = query.query_map(params![class, age, ended_by.seconds()], |row| get(row, 0))?;
        for list in lists {
            ended.push(list?);
        }
    }
    Ok(ended)
}

fn ended_lost_tokens(connection: &Connection, ended_by: Timestamp) -> std::result::Result<usize, Failure> {
    Ok(connection
        .prepare_cached("SELECT count(*) FROM lost_tokens WHERE expires_at / 1000 <= ?1")?
        .query_row(params![ended_by.seconds()], |row| get(row, 0))?)
}

fn forget(
    batch: &mut Batch<'_>,
    found: &Found,
    ended_by: Timestamp,
    now: Timestamp,
) -> std::result::Result<(), Failure> {
    let connection = batch.connection;
    if !found.records.is_empty() {
        // First, since the schema lets go only of what has ended by then. Whole seconds, as `exp` has them.
        connection
            .prepare_cached("UPDATE meta SET purged_through = max(purged_through, ?1)")?
            .execute(params![ended_by.seconds() * 1000 + 999])?;
    }
    let mut delete = connection.prepare_cached("DELETE FROM tokens WHERE id = ?1")?;
    for id in &found.records {
        delete.execute(params![id])?;
    }
    if found.lost > 0 {
        connection
            .prepare_cached("DELETE FROM lost_tokens WHERE expires_at / 1000 <= ?1")?
            .execute(params![ended_by.seconds()])?;
    }
    if let Some(OldEvents { through, hash, .. }) = &found.events {
        // First, since the schema lets go only of what lies before this.
        connection
            .prepare_cached(
                "UPDATE meta SET pruned_through = ?1, pruned_hash = ?2 WHERE pruned_through < ?1",
            )?
            .execute(params![through, hash])?;
        connection
            .prepare_cached("DELETE FROM revocations WHERE sequence <= ?1 AND kind = 'token'")?
            .execute(params![through])?;
    }
    let mut delete = connection.prepare_cached("DELETE FROM revocations WHERE sequence = ?1")?;
    for sequence in &found.cut_offs {
        delete.execute(params![sequence])?;
    }
    let mut retire = connection.prepare_cached("UPDATE status_lists SET retired_at = ?2 WHERE id = ?1")?;
    for list in &found.lists {
        retire.execute(params![list, now])?;
        batch.changes.push(Change::Retired(*list));
    }
    Ok(())
}
