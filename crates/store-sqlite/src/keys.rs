//! Signing keys' states and public halves.

use async_trait::async_trait;
use jeton_verifier::Algorithm;
use rusqlite::OptionalExtension;

use crate::SqliteStore;
use crate::cut_offs::uncut;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use crate::writer::{Batch, Undo};
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, Reach};
use jeton_store::{
    KEY_NOTICED_WITHIN, KeyRevocation, KeyRevoked, KeyRow, KeyState, KeyStep, Keys, NewKey, Realm, Result,
};

#[async_trait]
impl Keys for SqliteStore {
    async fn keys(&self) -> Result<Vec<KeyRow>> {
        self.readers
            .read(|connection| {
                let mut query = connection.prepare_cached(
                    "SELECT kid, algorithm, public_jwk, state, created_at, changed_at, signs_from, needed_until
                     FROM keys ORDER BY id",
                )?;
                let found = query.query_map((), |row| {
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
                })?;
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
                batch
                    .connection
                    .prepare_cached(
                        "UPDATE meta SET jwks_max_age = ?1,
                            jwks_copies_until = max(jwks_copies_until, ?2 + (jwks_max_age + ?3) * 1000)
                         WHERE jwks_max_age <> ?1",
                    )?
                    .execute(params![max_age, now, KEY_NOTICED_WITHIN])?;
                Ok(())
            })
            .await
    }

    async fn publish_key(&self, key: NewKey, now: Timestamp) -> Result<KeyRow> {
        self.writer
            .run(Undo::Savepoint, move |batch| {
                let (another_signs, waits_until) = batch
                    .connection
                    .prepare_cached(
                        "SELECT EXISTS (SELECT 1 FROM keys WHERE state = 'signing'),
                            max(jwks_copies_until, ?1 + (jwks_max_age + ?2) * 1000) FROM meta",
                    )?
                    .query_row(params![now, KEY_NOTICED_WITHIN], |row| {
                        Ok((get::<bool>(row, 0)?, get(row, 1)?))
                    })?;
                let (state, signs_from) = if another_signs {
                    (KeyState::Published, waits_until)
                } else {
                    (KeyState::Signing, now)
                };
                insert(batch, &key, state, signs_from, now)?;
                batch.keys_changed()?;
                Ok(KeyRow {
                    key,
                    state,
                    created_at: now,
                    changed_at: now,
                    signs_from,
                    needed_until: Timestamp::EPOCH,
                })
            })
            .await
    }

    async fn advance_key(&self, kid: &str, step: KeyStep, now: Timestamp) -> Result<bool> {
        let kid = kid.to_owned();
        self.writer
            .run(Undo::Savepoint, move |batch| {
                let advanced = advance(batch, &kid, step, now)?;
                if advanced {
                    batch.keys_changed()?;
                }
                Ok(advanced)
            })
            .await
    }

    async fn revoke_key(&self, order: KeyRevocation) -> Result<KeyRevoked> {
        self.writer
            .run(Undo::Savepoint, move |batch| revoke(batch, &order))
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

fn insert(
    batch: &Batch<'_>,
    key: &NewKey,
    state: KeyState,
    signs_from: Timestamp,
    now: Timestamp,
) -> std::result::Result<(), Failure> {
    batch
        .connection
        .prepare_cached(
            "INSERT INTO keys (kid, algorithm, public_jwk, state, created_at, changed_at, signs_from)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
        )?
        .execute(params![
            key.kid,
            key.algorithm.name(),
            key.public_jwk,
            state,
            now,
            signs_from
        ])?;
    Ok(())
}

fn advance(
    batch: &Batch<'_>,
    kid: &str,
    step: KeyStep,
    now: Timestamp,
) -> std::result::Result<bool, Failure> {
    let found = batch
        .connection
        .prepare_cached("SELECT state, signs_from, needed_until FROM keys WHERE kid = ?1")?
        .query_row(params![kid], |row| {
            Ok((
                get::<KeyState>(row, 0)?,
                get::<Timestamp>(row, 1)?,
                get::<Timestamp>(row, 2)?,
            ))
        })
        .optional()?;
    let is_due = found.is_some_and(|(state, signs_from, needed_until)| match step {
        KeyStep::Sign => state == KeyState::Published && signs_from <= now,
        KeyStep::Retire => state == KeyState::Published,
        KeyStep::Leave => state == KeyState::Retired && needed_until <= now,
    });
    if !is_due {
        return Ok(false);
    }
    let state = match step {
        KeyStep::Sign => {
            // One instant, so that there is never a moment without a signing key, nor with two.
            batch
                .connection
                .prepare_cached("UPDATE keys SET state = 'retired', changed_at = ?1 WHERE state = 'signing'")?
                .execute(params![now])?;
            KeyState::Signing
        }
        KeyStep::Retire => KeyState::Retired,
        KeyStep::Leave => KeyState::Gone,
    };
    put(batch, kid, state, now)?;
    Ok(true)
}

fn put(batch: &Batch<'_>, kid: &str, state: KeyState, now: Timestamp) -> std::result::Result<(), Failure> {
    batch
        .connection
        .prepare_cached("UPDATE keys SET state = ?2, changed_at = ?3 WHERE kid = ?1")?
        .execute(params![kid, state, now])?;
    Ok(())
}

fn revoke(batch: &mut Batch<'_>, order: &KeyRevocation) -> std::result::Result<KeyRevoked, Failure> {
    let state = batch
        .connection
        .prepare_cached("SELECT state FROM keys WHERE kid = ?1")?
        .query_row(params![&order.kid], |row| get::<KeyState>(row, 0))
        .optional()?;
    let successor = match (state, &order.successor) {
        (None, _) => return Ok(KeyRevoked::Unknown),
        (Some(KeyState::Withdrawn), _) => return Ok(KeyRevoked::AlreadyRevoked),
        (Some(KeyState::Signing), None) => return Ok(KeyRevoked::SuccessorNeeded),
        (Some(KeyState::Signing), successor) => successor.as_ref(),
        (Some(KeyState::Published | KeyState::Retired | KeyState::Gone), _) => None,
    };
    put(batch, &order.kid, KeyState::Withdrawn, order.at)?;
    if let Some(successor) = successor {
        insert(batch, successor, KeyState::Signing, order.at, order.at)?;
    }
    let cut_off = CutOff {
        reach: Reach {
            kid: Some(order.kid.clone()),
            ..Reach::default()
        },
        issued_through: order.at.seconds(),
        effective_at: order.at,
    };
    batch.cut_off(cut_off, &order.by, order.reason.as_deref(), order.at)?;
    batch.keys_changed()?;
    Ok(KeyRevoked::Revoked)
}
