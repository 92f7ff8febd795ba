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
use jeton_core::token::{Place, TokenId};
use jeton_store::{Change, Changes, Covered, Generation, Realm, Result, Revocations, Snapshot, StoreError};

/// How many events [`Revocations::changes_after`] hands over at once.
const PAGE: u32 = 10_000;

/// How long a probe waits for a store that is alive but busy.
const PATIENCE: Duration = Duration::from_secs(2);

#[async_trait]
impl Revocations for SqliteStore {
    async fn snapshot(&self, now: Timestamp) -> Result<Snapshot> {
        self.readers
            .read(move |connection| snapshot(connection, now))
            .await
    }

    async fn changes_after(&self, sequence: u64, edit: Generation) -> Result<Changes> {
        self.readers
            .read(move |connection| changes_after(connection, sequence, edit))
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
    let (epoch, edit, keys, sequence) = transaction
        .prepare_cached("SELECT epoch, edits, generation, sequence FROM meta")?
        .query_row((), |row| {
            Ok((
                get::<Bytes>(row, 0)?.0,
                Generation(get(row, 1)?),
                Generation(get(row, 2)?),
                get(row, 3)?,
            ))
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
        edit,
        keys,
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

fn changes_after(
    connection: &Connection,
    sequence: u64,
    after: Generation,
) -> std::result::Result<Changes, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let (edit, pruned_through) = transaction
        .prepare_cached("SELECT edits, pruned_through FROM meta")?
        .query_row((), |row| Ok((get(row, 0)?, get(row, 1)?)))?;
    let query = format!(
        "SELECT event.sequence, event.token, event.status_list, event.status_index, {CUT_OFF_COLUMNS}
         FROM revocations AS event {REACH_JOINS}
         WHERE event.sequence > max(?1, ?3) ORDER BY event.sequence LIMIT ?2"
    );
    let edit = Generation(edit);
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
        edit,
        realms: if edit > after {
            changed_realms(&transaction, after)?
        } else {
            Vec::new()
        },
        pruned_through,
        events,
    })
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
