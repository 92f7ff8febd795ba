//! Idempotency keys: recorded in the transaction of their orders.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use crate::SqliteStore;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_store::{DoneRequest, Idempotency, IdempotencyKeys, Made, RecordedKeys, Result};

/// Selects how many keys of a caller are recorded. The rows of a caller are numbered without a gap and deleted from
/// the oldest on: counting them would take longer the more there are.
pub(super) const COUNT: &str =
    "SELECT coalesce((SELECT number FROM idempotency_keys WHERE caller = ?1 ORDER BY number DESC LIMIT 1), 0)
        - coalesce((SELECT number FROM idempotency_keys WHERE caller = ?1 ORDER BY number LIMIT 1) - 1, 0)";

#[async_trait]
impl IdempotencyKeys for SqliteStore {
    async fn idempotency_key(&self, key: Idempotency) -> Result<RecordedKeys> {
        self.readers
            .look_up(move |connection| {
                Ok(RecordedKeys {
                    done: done(connection, &key)?,
                    count: connection
                        .prepare_cached(COUNT)?
                        .query_row(params![key.caller], |row| get(row, 0))?,
                })
            })
            .await
    }
}

/// Returns the request that was carried out with a key.
fn done(connection: &Connection, key: &Idempotency) -> std::result::Result<Option<DoneRequest>, Failure> {
    let mut query = connection
        .prepare_cached("SELECT request, at, made_kind, made_id FROM idempotency_keys WHERE key = ?1")?;
    let done = query.query_row(params![key.key], |row| {
        let mut columns = Columns::of(row);
        Ok(DoneRequest {
            request: columns.take()?,
            at: columns.take()?,
            made: match columns.take::<Option<String>>()? {
                Some(kind) => Some(columns.parse(|id| Made::parse(&kind, id))?),
                None => None,
            },
        })
    });
    Ok(done.optional()?)
}

impl Batch<'_> {
    /// Returns whether no order with a key was carried out.
    pub(super) fn is_not_done(&self, key: &Idempotency) -> std::result::Result<bool, Failure> {
        Ok(!self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM idempotency_keys WHERE key = ?1)")?
            .query_row(params![key.key], |row| get::<bool>(row, 0))?)
    }

    /// Records the key of an order, with what the order made.
    pub(super) fn record_key(
        &self,
        key: &Idempotency,
        at: Timestamp,
        made: Option<&Made>,
    ) -> std::result::Result<(), Failure> {
        self.connection
            .prepare_cached(
                "INSERT INTO idempotency_keys (key, request, at, caller, number, made_kind, made_id)
                 SELECT ?1, ?2, ?3, ?4, 1 + coalesce(
                    (SELECT number FROM idempotency_keys WHERE caller = ?4 ORDER BY number DESC LIMIT 1), 0), ?5, ?6",
            )?
            .execute(params![
                key.key,
                key.request,
                at,
                key.caller,
                made.map(Made::kind),
                made.map(Made::id)
            ])?;
        Ok(())
    }
}
