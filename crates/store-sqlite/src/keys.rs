//! Signing keys' states and public halves.

use async_trait::async_trait;
use jeton_verifier::Algorithm;
use rusqlite::{OptionalExtension, Row};

use crate::SqliteStore;
use crate::cut_offs::uncut;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use crate::writer::{Batch, Undo};
use jeton_core::clock::Timestamp;
use jeton_store::rules::keys::{self as rules, JwksPromise};
use jeton_store::{KeyRevocation, KeyRevoked, KeyRow, KeyState, KeyStep, Keys, NewKey, Realm, Result};

#[async_trait]
impl Keys for SqliteStore {
    async fn keys(&self) -> Result<Vec<KeyRow>> {
        self.readers
            .read(|connection| {
                let mut query =
                    connection.prepare_cached(&format!("SELECT {COLUMNS} FROM keys ORDER BY id"))?;
                let found = query.query_map((), key)?;
                Ok(found.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn live_tokens(&self, now: Timestamp) -> Result<Vec<(String, u64)>> {
        self.readers
            .read(move |connection| {
                let uncut = uncut("?5");
                let mut query = connection.prepare_cached(&format!(
                    "SELECT keys.kid, count(*) FROM tokens JOIN keys ON keys.id = tokens.key
                     WHERE (expires_at IS NULL OR expires_at / 1000 > ?5 / 1000)
                        AND (tokens.effective_at IS NULL OR tokens.effective_at > ?5) AND {uncut}
                     GROUP BY keys.id ORDER BY keys.id"
                ))?;
                // The instant is the fifth parameter wherever cut-offs are asked.
                query.raw_bind_parameter(5, now.millis())?;
                let mut rows = query.raw_query();
                let mut counts = Vec::new();
                while let Some(row) = rows.next()? {
                    counts.push((get(row, 0)?, get(row, 1)?));
                }
                Ok(counts)
            })
            .await
    }

    async fn promise_jwks(&self, max_age: u32, now: Timestamp) -> Result<()> {
        self.writer
            .run(Undo::Statement, move |batch| {
                let renewed = promise(batch)?.renewed(max_age, now);
                batch
                    .connection
                    .prepare_cached("UPDATE meta SET jwks_max_age = ?1, jwks_copies_until = ?2")?
                    .execute(params![renewed.max_age, renewed.copies_until])?;
                Ok(())
            })
            .await
    }

    async fn publish_key(&self, key: NewKey, now: Timestamp) -> Result<KeyRow> {
        self.writer
            .run(Undo::Savepoint, move |batch| {
                let another_signs = batch
                    .connection
                    .prepare_cached("SELECT EXISTS (SELECT 1 FROM keys WHERE state = 'signing')")?
                    .query_row((), |row| get(row, 0))?;
                let row = rules::publish(key, another_signs, promise(batch)?, now);
                insert(batch, &row)?;
                batch.keys_changed()?;
                Ok(row)
            })
            .await
    }

    async fn advance_key(&self, kid: &str, step: KeyStep, now: Timestamp) -> Result<bool> {
        let kid = kid.to_owned();
        self.writer
            .run(Undo::Savepoint, move |batch| {
                let row = by_kid(batch, &kid)?;
                let Some(state) = row.and_then(|row| rules::advance(&row, step, now)) else {
                    return Ok(false);
                };
                if state == KeyState::Signing {
                    // One instant, so that there is never a moment without a signing key, nor with two.
                    batch
                        .connection
                        .prepare_cached(
                            "UPDATE keys SET state = 'retired', changed_at = ?1 WHERE state = 'signing'",
                        )?
                        .execute(params![now])?;
                }
                put(batch, &kid, state, now)?;
                batch.keys_changed()?;
                Ok(true)
            })
            .await
    }

    async fn revoke_key(&self, order: KeyRevocation) -> Result<KeyRevoked> {
        self.writer
            .run(Undo::Savepoint, move |batch| {
                let state = by_kid(batch, &order.kid)?.map(|row| row.state);
                let withdrawal = match rules::withdraw(state, &order) {
                    Ok(withdrawal) => withdrawal,
                    Err(outcome) => return Ok(outcome),
                };
                put(batch, &order.kid, KeyState::Withdrawn, order.at)?;
                if let Some(successor) = &withdrawal.successor {
                    insert(batch, successor)?;
                }
                batch.cut_off(withdrawal.cut_off, &order.by, order.reason.as_deref(), order.at)?;
                batch.keys_changed()?;
                Ok(KeyRevoked::Revoked)
            })
            .await
    }

    async fn need_key(&self, kid: &str, until: Timestamp) -> Result<bool> {
        let kid = kid.to_owned();
        self.writer
            .run(Undo::Statement, move |batch| {
                let noted = batch
                    .connection
                    .prepare_cached(
                        "UPDATE keys SET needed_until = max(needed_until, ?2)
                         WHERE kid = ?1 AND state = 'signing'",
                    )?
                    .execute(params![kid, until])?;
                Ok(noted > 0)
            })
            .await
    }
}

impl Batch<'_> {
    pub(super) fn keys_changed(&mut self) -> std::result::Result<(), Failure> {
        self.memory.numbers.forget_keys();
        self.changed(vec![Realm::Keys])
    }
}

const COLUMNS: &str = "kid, algorithm, public_jwk, state, created_at, changed_at, signs_from, needed_until";

/// Reads [`COLUMNS`].
fn key(row: &Row<'_>) -> rusqlite::Result<KeyRow> {
    let columns = &mut Columns::of(row);
    Ok(KeyRow {
        key: NewKey {
            kid: columns.take()?,
            algorithm: columns.parse(|text| text.parse::<Algorithm>().ok())?,
            public_jwk: columns.take()?,
        },
        state: columns.take()?,
        created_at: columns.take()?,
        changed_at: columns.take()?,
        signs_from: columns.take()?,
        needed_until: columns.take()?,
    })
}

fn by_kid(batch: &Batch<'_>, kid: &str) -> std::result::Result<Option<KeyRow>, Failure> {
    Ok(batch
        .connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM keys WHERE kid = ?1"))?
        .query_row(params![kid], key)
        .optional()?)
}

fn promise(batch: &Batch<'_>) -> std::result::Result<JwksPromise, Failure> {
    Ok(batch
        .connection
        .prepare_cached("SELECT jwks_max_age, jwks_copies_until FROM meta")?
        .query_row((), |row| {
            Ok(JwksPromise {
                max_age: get(row, 0)?,
                copies_until: get(row, 1)?,
            })
        })?)
}

fn insert(batch: &Batch<'_>, row: &KeyRow) -> std::result::Result<(), Failure> {
    batch
        .connection
        .prepare_cached(
            "INSERT INTO keys (kid, algorithm, public_jwk, state, created_at, changed_at, signs_from)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
        )?
        .execute(params![
            row.key.kid,
            row.key.algorithm.name(),
            row.key.public_jwk,
            row.state,
            row.created_at,
            row.signs_from
        ])?;
    Ok(())
}

fn put(batch: &Batch<'_>, kid: &str, state: KeyState, now: Timestamp) -> std::result::Result<(), Failure> {
    batch
        .connection
        .prepare_cached("UPDATE keys SET state = ?2, changed_at = ?3 WHERE kid = ?1")?
        .execute(params![kid, state, now])?;
    Ok(())
}
