//! Revocations and identity: the state that a process rebuilds at its start.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jeton_verifier::event::Position;
use rusqlite::{Connection, OptionalExtension, Row};
use tokio::time::timeout;
use uuid::Uuid;

use crate::SqliteStore;
use crate::chain;
use crate::covered::covered;
use crate::cut_offs;
use crate::ended::{self, Source};
use crate::failure::Failure;
use crate::readers::Purpose;
use crate::values::{Bytes, get, params};
use crate::writer::Undo;
use jeton_core::clock::Timestamp;
use jeton_core::deployment_clock::RecordedTime;
use jeton_core::token::TokenId;
use jeton_store::{
    Change, Changes, Continuation, Covered, ExplainedEvent, FeedPage, Generation, Realm, Result, Revocations,
    Snapshot, StoreError,
};

/// How many events [`Revocations::changes_after`] returns at once.
const PAGE: u32 = 10_000;

/// How long a probe waits for a store that is alive but busy.
const PATIENCE: Duration = Duration::from_secs(2);

#[async_trait]
impl Revocations for SqliteStore {
    async fn snapshot(&self) -> Result<Snapshot> {
        if let Some(snapshot) = self.readers.read(Purpose::Following, snapshot).await? {
            return Ok(snapshot);
        }
        tracing::warn!("the index of revoked tokens is damaged: it is built again from their records");
        self.writer
            .run(Undo::Savepoint, |batch| {
                Ok(batch.connection.execute_batch("REINDEX tokens_revoked")?)
            })
            .await?;
        let snapshot = self.readers.read(Purpose::Following, snapshot).await?;
        Ok(snapshot.ok_or(Failure::Damaged)?)
    }

    async fn changes_after(&self, position: Position, edit: Generation) -> Result<Continuation> {
        self.readers
            .read(Purpose::Following, move |connection| {
                changes_after(connection, position, edit)
            })
            .await
    }

    async fn events_after(&self, position: Position, most: u32) -> Result<FeedPage> {
        self.readers
            .read(Purpose::Publishing, move |connection| {
                events_after(connection, position, most)
            })
            .await
    }

    async fn event(&self, position: Position) -> Result<Option<ExplainedEvent>> {
        self.readers
            .look_up(move |connection| explained(connection, position))
            .await
    }

    async fn status_lists(&self) -> Result<Vec<u32>> {
        self.readers.look_up(status_lists).await
    }

    async fn covered(&self, cut_off: u64, after: TokenId, now: Timestamp) -> Result<Covered> {
        self.readers
            .read(Purpose::Following, move |connection| {
                covered(connection, cut_off, after, now)
            })
            .await
    }

    async fn origin(&self) -> Result<Uuid> {
        self.readers
            .look_up(|connection| {
                let origin = connection
                    .prepare_cached("SELECT origin FROM meta")?
                    .query_row((), |row| get::<Bytes>(row, 0))?;
                Ok(origin.0)
            })
            .await
    }

    async fn pin_issuer(&self, issuer: Option<&str>) -> Result<Option<String>> {
        let issuer = issuer.map(str::to_owned);
        self.writer
            .run(Undo::Statement, move |batch| {
                batch
                    .connection
                    .prepare_cached("UPDATE meta SET issuer = ?1 WHERE issuer IS NULL")?
                    .execute(params![issuer])?;
                Ok(batch
                    .connection
                    .prepare_cached("SELECT issuer FROM meta")?
                    .query_row((), |row| get(row, 0))?)
            })
            .await
    }

    async fn ready(&self) -> Result<()> {
        let probe = async {
            // One at a time, so that probes of a store that hangs do not pile up.
            let _turn = self.probe.lock().await;
            self.readers
                .read(Purpose::Upkeep, |connection| {
                    Ok(connection
                        .prepare_cached("SELECT one FROM meta")?
                        .query_row((), |row| get::<i64>(row, 0))?)
                })
                .await?;
            // An empty job takes the write lock as every write does.
            self.writer.run(Undo::Statement, |_| Ok(())).await
        };
        timeout(PATIENCE, probe).await.unwrap_or(Err(StoreError::Busy))
    }
}

/// Returns everything revoked, or `None` if what was read is not what was recorded.
fn snapshot(connection: &Connection) -> std::result::Result<Option<Snapshot>, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let (position, edit, keys, time) = transaction
        .prepare_cached("SELECT epoch, sequence, hash, edits, generation, latest_at, settled_at FROM meta")?
        .query_row((), |row| {
            let position = Position {
                epoch: get::<Bytes>(row, 0)?.0,
                sequence: get(row, 1)?,
                hash: get(row, 2)?,
            };
            let time = RecordedTime {
                latest: get(row, 5)?,
                settled: get(row, 6)?,
            };
            Ok((position, Generation(get(row, 3)?), Generation(get(row, 4)?), time))
        })?;
    let lists = status_lists(&transaction)?;
    let mut revoked = Vec::new();
    let sum = ended::scan(&transaction, Source::Index, |list_index, effective_at| {
        revoked.push((list_index, effective_at));
    });
    match sum {
        Ok(sum) if sum == ended::kept(&transaction)? => {}
        Err(error) if !ended::is_damage(&error) => return Err(error.into()),
        Ok(_) | Err(_) => return Ok(None),
    }
    let cut_offs = cut_offs::all(&transaction)?;
    Ok(Some(Snapshot {
        position,
        edit,
        keys,
        time,
        lists,
        revoked,
        cut_offs,
    }))
}

fn status_lists(connection: &Connection) -> std::result::Result<Vec<u32>, Failure> {
    Ok(connection
        .prepare_cached(
            "SELECT id FROM status_lists WHERE retired_at IS NULL
             UNION SELECT status_list FROM lost_tokens ORDER BY 1",
        )?
        .query_map((), |row| get(row, 0))?
        .collect::<rusqlite::Result<_>>()?)
}

fn changes_after(
    connection: &Connection,
    position: Position,
    after: Generation,
) -> std::result::Result<Continuation, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let feed = Feed::read(&transaction)?;
    if position.epoch != feed.epoch || after > feed.edit {
        return Ok(Continuation::Forked);
    }
    if position.sequence < feed.pruned_through {
        return Ok(Continuation::Pruned);
    }
    if feed.hash_of(&transaction, position.sequence)? != Some(position.hash) {
        return Ok(Continuation::Forked);
    }
    let events = read_events(&transaction, position, PAGE, chain::change)?;
    let last = events.last().and_then(Change::entry);
    Ok(Continuation::Changes(Changes {
        edit: feed.edit,
        latest: feed.latest,
        realms: if feed.edit > after {
            changed_realms(&transaction, after)?
        } else {
            Vec::new()
        },
        reached: last.map_or(position, |last| last.position()),
        has_more: events.len() == PAGE as usize,
        events,
    }))
}

fn events_after(
    connection: &Connection,
    position: Position,
    most: u32,
) -> std::result::Result<FeedPage, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let feed = Feed::read(&transaction)?;
    if position.epoch != feed.epoch {
        return Ok(FeedPage::Forked);
    }
    if position.sequence > feed.sequence {
        return Ok(FeedPage::Ahead);
    }
    if position.sequence < feed.pruned_through {
        return Ok(FeedPage::Pruned);
    }
    if feed.hash_of(&transaction, position.sequence)? != Some(position.hash) {
        return Ok(FeedPage::Forked);
    }
    let entry = |row: &Row<'_>| chain::entry(row).map(Arc::new);
    let entries = read_events(&transaction, position, most, entry)?;
    Ok(FeedPage::of(entries, feed.epoch))
}

/// The beginning and the end of the feed.
struct Feed {
    epoch: Uuid,
    edit: Generation,
    latest: Timestamp,
    sequence: u64,
    hash: [u8; 32],
    pruned_through: u64,
    pruned_hash: [u8; 32],
}

impl Feed {
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection
            .prepare_cached(
                "SELECT epoch, edits, sequence, hash, pruned_through, pruned_hash, latest_at FROM meta",
            )?
            .query_row((), |row| {
                Ok(Self {
                    epoch: get::<Bytes>(row, 0)?.0,
                    edit: Generation(get(row, 1)?),
                    sequence: get(row, 2)?,
                    hash: get(row, 3)?,
                    pruned_through: get(row, 4)?,
                    pruned_hash: get(row, 5)?,
                    latest: get(row, 6)?,
                })
            })
    }

    /// Returns the hash of an event that is kept, of the last pruned one, or before the first. Mostly the last
    /// event is requested, which needs no look-up.
    fn hash_of(&self, connection: &Connection, sequence: u64) -> rusqlite::Result<Option<[u8; 32]>> {
        if sequence == self.sequence {
            return Ok(Some(self.hash));
        }
        if sequence == self.pruned_through {
            return Ok(Some(self.pruned_hash));
        }
        connection
            .prepare_cached("SELECT hash FROM revocations WHERE sequence = ?1")?
            .query_row(params![i64::try_from(sequence).unwrap_or(i64::MAX)], |row| {
                get(row, 0)
            })
            .optional()
    }
}

/// Returns a portion of the events after a position, each as `read` reads it from its row.
fn read_events<T>(
    connection: &Connection,
    position: Position,
    most: u32,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    chain::events(connection, "event.sequence > ?1 ORDER BY event.sequence LIMIT ?2")?
        .query_map(params![position.sequence, most], read)?
        .collect()
}

fn explained(
    connection: &Connection,
    position: Position,
) -> std::result::Result<Option<ExplainedEvent>, Failure> {
    let explained = chain::events(connection, "event.sequence = ?1")?
        .query_row(
            params![i64::try_from(position.sequence).unwrap_or(i64::MAX)],
            |row| {
                Ok(ExplainedEvent {
                    entry: chain::entry(row)?,
                    revoked_by: get(row, "actor")?,
                    reason: get(row, "reason")?,
                })
            },
        )
        .optional()?;
    Ok(explained.filter(|explained| explained.entry.position() == position))
}

fn changed_realms(
    connection: &Connection,
    after: Generation,
) -> std::result::Result<Vec<(Realm, Generation)>, Failure> {
    let mut realms = Vec::new();
    let keys: u64 = connection
        .prepare_cached("SELECT generation FROM meta")?
        .query_row((), |row| get(row, 0))?;
    if keys > after.0 {
        realms.push((Realm::Keys, Generation(keys)));
    }
    let mut organizations =
        connection.prepare_cached("SELECT public_id, generation FROM organizations WHERE generation > ?1")?;
    let found = organizations.query_map(params![after.0], |row| {
        Ok((Realm::Organization(get(row, 0)?), Generation(get(row, 1)?)))
    })?;
    for realm in found {
        realms.push(realm?);
    }
    let mut people =
        connection.prepare_cached("SELECT public_id, generation FROM users WHERE generation > ?1")?;
    let found = people.query_map(params![after.0], |row| {
        Ok((Realm::Person(get(row, 0)?), Generation(get(row, 1)?)))
    })?;
    for realm in found {
        realms.push(realm?);
    }
    Ok(realms)
}
