//! Signing keys' states and public halves.

use async_trait::async_trait;
use jeton_verifier::Algorithm;
use rusqlite::params;

use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::values::Columns;
use crate::store::sqlite::writer::Undo;
use crate::store::{Generation, Judged, KeyRow, KeyState, Keys, Result};

#[async_trait]
impl Keys for SqliteStore {
    async fn keys(&self) -> Result<Vec<KeyRow>> {
        self.readers
            .read(|connection| {
                let mut query = connection.prepare_cached(
                    "SELECT kid, algorithm, public_jwk, state, created_at, changed_at FROM keys ORDER BY id",
                )?;
                let found = query.query_map((), |row| {
                    let columns = &mut Columns::of(row);
                    Ok(KeyRow {
                        kid: columns.take()?,
                        algorithm: columns.parse(algorithm)?,
                        public_jwk: columns.take()?,
                        state: columns.take()?,
                        created_at: columns.take()?,
                        changed_at: columns.take()?,
                    })
                })?;
                Ok(found.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn put_key(&self, key: KeyRow, judged_at: Generation) -> Result<Judged<()>> {
        self.writer
            .judged(judged_at, Undo::Savepoint, move |batch| {
                if key.state == KeyState::Signing {
                    // One instant, so that there is never a moment without a signing key, nor with two.
                    batch
                        .connection
                        .prepare_cached(
                            "UPDATE keys SET state = 'retired', changed_at = ?2
                             WHERE state = 'signing' AND kid <> ?1",
                        )?
                        .execute(params![key.kid, key.changed_at])?;
                }
                batch
                    .connection
                    .prepare_cached(
                        "INSERT INTO keys (kid, algorithm, public_jwk, state, created_at, changed_at)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                         ON CONFLICT (kid) DO UPDATE SET state = excluded.state, changed_at = excluded.changed_at",
                    )?
                    .execute(params![
                        key.kid,
                        name(key.algorithm),
                        key.public_jwk,
                        key.state,
                        key.created_at,
                        key.changed_at,
                    ])?;
                batch.directory_changed();
                Ok(())
            })
            .await
    }
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Es256 => "ES256",
        Algorithm::EdDsa => "EdDSA",
        Algorithm::Rs256 => "RS256",
    }
}

fn algorithm(text: &str) -> Option<Algorithm> {
    [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256]
        .into_iter()
        .find(|algorithm| name(*algorithm) == text)
}
