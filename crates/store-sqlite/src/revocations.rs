//! What the memory of a process is rebuilt from.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::time::timeout;

use crate::SqliteStore;
use crate::covered::covered;
use crate::cut_offs::{self, CUT_OFF_COLUMNS, REACH_JOINS};
use crate::failure::Failure;
use crate::values::{Bytes, Columns, get, params};
use crate::writer::Undo;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Actor, CutOff, Place, TokenId};
use jeton_store::{Change, Changes, Covered, Generation, Result, Revocations, Snapshot, StoreError};

/// How many events [`Revocations::changes_after`] hands over at once.
const PAGE: u32 = 10_000;

/// How long a probe waits for a store that is alive but busy.
const PATIENCE: Duration = Duration::from_secs(2);

#[async_trait]
impl Revocations for SqliteStore {
    async fn cut_off(
        &self,
        cut_off: CutOff,
        by: Actor,
        reason: Option<String>,
        now: Timestamp,
    ) -> Result<u64> {
        self.writer
            .run(Undo::Statement, move |batch| {
                batch.cut_off(cut_off, &by, reason.as_deref(), now)?;
                Ok(batch.memory.head.sequence)
            })
            .await
    }

    async fn snapshot(&self, now: Timestamp) -> Result<Snapshot> {
        self.readers
            .read(move |connection| snapshot(connection, now))
            .await
    }

    async fn changes_after(&self, sequence: u64) -> Result<Changes> {
        self.readers
            .read(move |connection| changes_after(connection, sequence))
            .await
    }

    async fn status_lists(&self) -> Result<Vec<u32>> {
        self.readers.look_up(status_lists).await
    }

    async fn covered(&self, cut_off: u64, after: TokenId, now: Timestamp) -> Result<Covered> {
        self.readers
            .read(move |connection| covered(connection, cut_off, after, now))
            .await
    }

    async fn pin_issuer(&self, issuer: &str) -> Result<String> {
        let issuer = issuer.to_owned();
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
            // One at a time, so that probes of a store that hangs do not pile up in it.
            let _turn = self.probe.lock().await;
            self.readers
                .read(|connection| {
                    Ok(connection
                        .prepare_cached("SELECT one FROM meta")?
                        .query_row((), |row| get::<i64>(row, 0))?)
                })
                .await?;
            // An empty job takes the lock for writing as every write does.
            self.writer.run(Undo::Statement, |_| Ok(())).await
        };
        timeout(PATIENCE, probe).await.unwrap_or(Err(StoreError::Busy))
    }
}

fn snapshot(connection: &Connection, now: Timestamp) -> std::result::Result<Snapshot, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let (epoch, generation, sequence) = transaction
        .prepare_cached("SELECT epoch, generation, sequence FROM meta")?
        .query_row((), |row| {
            Ok((get::<Bytes>(row, 0)?.0, get(row, 1)?, get(row, 2)?))
        })?;
    let lists = status_lists(&transaction)?;
    let revoked = transaction
        .prepare_cached(
            "SELECT status_list, status_index, effective_at FROM tokens INDEXED BY tokens_revoked
             WHERE effective_at IS NOT NULL AND (expires_at IS NULL OR expires_at / 1000 > ?1)
             UNION ALL SELECT status_list, status_index, effective_at FROM lost_tokens
             WHERE expires_at IS NULL OR expires_at / 1000 > ?1",
        )?
        .query_map(params![now.seconds()], |row| {
            let place = Place {
                list: get(row, 0)?,
                index: get(row, 1)?,
            };
            Ok((place, get(row, 2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let cut_offs = cut_offs::all(&transaction)?;
    Ok(Snapshot {
        epoch,
        generation,
        sequence,
        lists,
        revoked,
        cut_offs,
    })
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

fn changes_after(connection: &Connection, sequence: u64) -> std::result::Result<Changes, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let (generation, pruned_through) = transaction
        .prepare_cached("SELECT generation, pruned_through FROM meta")?
        .query_row((), |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    let query = format!(
        "SELECT event.sequence, event.token, event.status_list, event.status_index, {CUT_OFF_COLUMNS}
         FROM revocations AS event {REACH_JOINS}
         WHERE event.sequence > max(?1, ?3) ORDER BY event.sequence LIMIT ?2"
    );
    let events = transaction
        .prepare_cached(&query)?
        .query_map(
            params![i64::try_from(sequence).unwrap_or(i64::MAX), PAGE, pruned_through],
            |row| {
                let sequence = get(row, 0)?;
                Ok(match get(row, 1)? {
                    Some(token) => Change::Revoked {
                        token: TokenId(token),
                        place: Place {
                            list: get(row, 2)?,
                            index: get(row, 3)?,
                        },
                        effective_at: get(row, "effective_at")?,
                        sequence,
                    },
                    None => Change::CutOff {
                        cut_off: cut_offs::cut_off(&mut Columns::from(row, 4))?,
                        sequence,
                    },
                })
            },
        )?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Changes {
        generation: Generation(generation),
        pruned_through,
        events,
    })
}
