//! Signing keys: their states and public halves.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jeton_verifier::Algorithm;
use rusqlite::Row;

use crate::SqliteStore;
use crate::cut_offs::uncut_in_scan;
use crate::failure::Failure;
use crate::readers::Purpose;
use crate::values::{Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_store::{
    Generation, JwksPromise, KEY_NOTICED_WITHIN, KeyRow, KeyState, Keys, NewKey, Result, SigningKeys,
    Versioned,
};

#[async_trait]
impl Keys for SqliteStore {
    async fn keys(&self) -> Result<Versioned<SigningKeys>> {
        self.readers
            .read(Purpose::Following, |connection| {
                let transaction = connection.unchecked_transaction()?;
                let mut query =
                    transaction.prepare_cached(&format!("SELECT {COLUMNS} FROM keys ORDER BY id"))?;
                let rows = query.query_map((), key)?.collect::<rusqlite::Result<_>>()?;
                Ok(transaction
                    .prepare_cached("SELECT generation, jwks_max_age, jwks_copies_until FROM meta")?
                    .query_row((), |row| {
                        let promise = JwksPromise {
                            max_age: get(row, 1)?,
                            copies_until: get(row, 2)?,
                        };
                        Ok(Versioned {
                            value: SigningKeys {
                                rows,
                                promise,
                                noticed_within: KEY_NOTICED_WITHIN,
                            },
                            generation: Generation(get(row, 0)?),
                        })
                    })?)
            })
            .await
    }

    async fn live_tokens(&self, now: Timestamp) -> Result<Vec<(String, u64)>> {
        self.readers
            .read(Purpose::Upkeep, move |connection| {
                let uncut = uncut_in_scan("?1");
                let mut query = connection.prepare_cached(&format!(
                    "SELECT key FROM tokens
                     WHERE (expires_at IS NULL OR expires_at / 1000 > ?1 / 1000)
                        AND (effective_at IS NULL OR effective_at > ?1) AND {uncut}"
                ))?;
                // Counted here, since SQLite would sort all tokens for a GROUP BY.
                let mut counts = BTreeMap::<i64, u64>::new();
                let mut rows = query.query(params![now])?;
                while let Some(row) = rows.next()? {
                    *counts.entry(get(row, 0)?).or_default() += 1;
                }
                let mut kid = connection.prepare_cached("SELECT kid FROM keys WHERE id = ?1")?;
                let counts = counts.into_iter();
                counts
                    .map(|(key, count)| Ok((kid.query_row(params![key], |row| get(row, 0))?, count)))
                    .collect()
            })
            .await
    }
}

impl Batch<'_> {
    pub(super) fn publish_key(&self, row: &KeyRow) -> std::result::Result<(), Failure> {
        self.connection
            .prepare_cached(
                "INSERT INTO keys (kid, algorithm, public_jwk, state, created_at, changed_at, signs_from)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                row.key.kid,
                row.key.algorithm.name(),
                row.key.public_jwk,
                row.state,
                row.created_at,
                row.changed_at,
                row.signs_from
            ])?;
        Ok(())
    }

    pub(super) fn set_key_state(
        &self,
        kid: &str,
        state: KeyState,
        now: Timestamp,
    ) -> std::result::Result<(), Failure> {
        self.connection
            .prepare_cached("UPDATE keys SET state = ?2, changed_at = ?3 WHERE kid = ?1")?
            .execute(params![kid, state, now])?;
        Ok(())
    }

    pub(super) fn promise_jwks(&self, promise: JwksPromise) -> std::result::Result<(), Failure> {
        self.connection
            .prepare_cached("UPDATE meta SET jwks_max_age = ?1, jwks_copies_until = ?2")?
            .execute(params![promise.max_age, promise.copies_until])?;
        Ok(())
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
            sealed: None,
        },
        state: columns.take()?,
        created_at: columns.take()?,
        changed_at: columns.take()?,
        signs_from: columns.take()?,
        needed_until: columns.take()?,
    })
}
