//! Signing keys: their states and public halves.

use async_trait::async_trait;
use jeton_verifier::Algorithm;
use tokio_postgres::Row;

use crate::PostgresStore;
use crate::cut_offs::uncut;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_store::reads::Purpose;
use jeton_store::{
    Generation, JwksPromise, KEY_NOTICED_WITHIN, KeyRow, KeyState, Keys, NewKey, Result, SealedKeys,
    SigningKeys, Versioned,
};

#[async_trait]
impl Keys for PostgresStore {
    async fn keys(&self) -> Result<Versioned<SigningKeys>> {
        let mut connection = self.connections.long(Purpose::Following).await?;
        let query = format!("SELECT {COLUMNS} FROM keys ORDER BY id");
        let rows = connection.rows(&query, &[]).await?;
        let query = "SELECT generation, jwks_max_age, jwks_copies_until FROM meta";
        let meta = connection.row(query, &[]).await?;
        connection.end().await?;
        let rows = rows.iter().map(key).collect::<std::result::Result<_, _>>()?;
        let promise = JwksPromise {
            max_age: get(&meta, 1)?,
            copies_until: get(&meta, 2)?,
        };
        let lease = i64::try_from(self.stale_after.as_secs()).unwrap_or(i64::MAX);
        Ok(Versioned {
            value: SigningKeys {
                rows,
                promise,
                noticed_within: lease.saturating_add(KEY_NOTICED_WITHIN),
            },
            generation: Generation(get(&meta, 0)?),
        })
    }

    async fn live_tokens(&self, now: Timestamp) -> Result<Vec<(String, u64)>> {
        let query = format!(
            "SELECT keys.kid, count(*) FROM tokens JOIN keys ON keys.id = tokens.key
             WHERE (expires_at IS NULL OR expires_at / 1000 > $1::bigint / 1000)
                AND (tokens.effective_at IS NULL OR tokens.effective_at > $1) AND {}
             GROUP BY keys.id ORDER BY keys.id",
            uncut("$1::bigint")
        );
        let mut connection = self.connections.long(Purpose::Upkeep).await?;
        let rows = connection.rows(&query, params![now]).await?;
        connection.end().await?;
        let counts = rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?)));
        Ok(counts.collect::<std::result::Result<_, Failure>>()?)
    }
}

#[async_trait]
impl SealedKeys for PostgresStore {
    async fn reseal(&self, kid: &str, sealed: &str) -> Result<()> {
        let mut connection = self.connections.write().await?;
        connection.begin("BEGIN").await?;
        connection
            .execute("UPDATE keys SET sealed = $2 WHERE kid = $1", params![kid, sealed])
            .await?;
        Ok(connection.commit().await?)
    }
}

impl Batch<'_> {
    /// Returns the number of the key that signs, if it has this id.
    pub(super) async fn signing_key(&self, kid: &str) -> std::result::Result<Option<i64>, Failure> {
        let query = "SELECT id FROM keys WHERE kid = $1 AND state = 'signing'";
        let row = self.connection.optional(query, params![kid]).await?;
        row.map(|row| get(&row, 0)).transpose()
    }

    /// Returns the number of the key that signs, and keeps the key until the given end. Whole minutes, so that few
    /// tokens change its row.
    pub(super) async fn needed_key(
        &self,
        kid: &str,
        until: Option<Timestamp>,
    ) -> std::result::Result<i64, Failure> {
        let number = self.signing_key(kid).await?;
        let number = number.ok_or(Failure::Impossible(
            "only the key that signs is needed for longer",
        ))?;
        let until = until.unwrap_or(Timestamp::LAST);
        self.connection
            .execute(
                "UPDATE keys SET needed_until = $3 WHERE id = $1 AND needed_until < $2",
                params![number, until, until.rounded_up_to_minute()],
            )
            .await?;
        Ok(number)
    }

    pub(super) async fn publish_key(&self, row: &KeyRow) -> std::result::Result<(), Failure> {
        self.connection
            .execute(
                "INSERT INTO keys (kid, algorithm, public_jwk, sealed, state, created_at, changed_at, signs_from)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                params![
                    row.key.kid,
                    row.key.algorithm.name(),
                    row.key.public_jwk,
                    row.key.sealed,
                    row.state,
                    row.created_at,
                    row.changed_at,
                    row.signs_from
                ],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn set_key_state(
        &self,
        kid: &str,
        state: KeyState,
        now: Timestamp,
    ) -> std::result::Result<(), Failure> {
        self.connection
            .execute(
                "UPDATE keys SET state = $2, changed_at = $3 WHERE kid = $1",
                params![kid, state, now],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn promise_jwks(&self, promise: JwksPromise) -> std::result::Result<(), Failure> {
        self.connection
            .execute(
                "UPDATE meta SET jwks_max_age = $1, jwks_copies_until = $2",
                params![promise.max_age, promise.copies_until],
            )
            .await?;
        Ok(())
    }
}

const COLUMNS: &str =
    "kid, algorithm, public_jwk, sealed, state, created_at, changed_at, signs_from, needed_until";

/// Reads [`COLUMNS`].
fn key(row: &Row) -> std::result::Result<KeyRow, Failure> {
    let columns = &mut Columns::of(row);
    Ok(KeyRow {
        key: NewKey {
            kid: columns.take()?,
            algorithm: columns.parse(|text| text.parse::<Algorithm>().ok())?,
            public_jwk: columns.take()?,
            sealed: columns.take()?,
        },
        state: columns.take()?,
        created_at: columns.take()?,
        changed_at: columns.take()?,
        signs_from: columns.take()?,
        needed_until: columns.take()?,
    })
}
