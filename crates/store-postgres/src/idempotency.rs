//! Idempotency keys: recorded in the transaction of their orders.

use async_trait::async_trait;

use crate::PostgresStore;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_store::{DoneRequest, Idempotency, IdempotencyKeys, Made, RecordedKeys, Result};

/// Selects how many keys of a caller, `$2`, are recorded, and the request that was carried out with a key, `$1`. The
/// rows of a caller are numbered without a gap and deleted from the oldest on: counting them would take longer the more
/// there are.
const RECORDED: &str = "SELECT
        (SELECT coalesce(max(number) - min(number) + 1, 0) FROM idempotency_keys WHERE caller = $2),
        done.request, done.at, done.made_kind, done.made_id
     FROM (SELECT 1) AS one LEFT JOIN idempotency_keys AS done ON done.key = $1";

#[async_trait]
impl IdempotencyKeys for PostgresStore {
    async fn idempotency_key(&self, key: Idempotency) -> Result<RecordedKeys> {
        let connection = self.connections.read().await?;
        let row = connection.row(RECORDED, params![key.key, key.caller]).await?;
        Ok(recorded(&mut Columns::of(&row))?)
    }
}

/// Reads the columns of [`RECORDED`].
fn recorded(columns: &mut Columns<'_>) -> std::result::Result<RecordedKeys, Failure> {
    let count = columns.take()?;
    let done = match columns.take()? {
        Some(request) => Some(DoneRequest {
            request,
            at: columns.take()?,
            made: match columns.take::<Option<String>>()? {
                Some(kind) => Some(columns.parse(|id| Made::parse(&kind, id))?),
                None => None,
            },
        }),
        None => None,
    };
    Ok(RecordedKeys { done, count })
}

impl Batch<'_> {
    /// Returns whether no order with a key was carried out.
    pub(super) async fn is_not_done(&self, key: &Idempotency) -> std::result::Result<bool, Failure> {
        let query = "SELECT NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE key = $1)";
        get(&self.connection.row(query, params![key.key]).await?, 0)
    }

    /// Records the key of an order, with what the order made.
    pub(super) async fn record_key(
        &self,
        key: &Idempotency,
        at: Timestamp,
        made: Option<&Made>,
    ) -> std::result::Result<(), Failure> {
        self.connection
            .execute(
                "INSERT INTO idempotency_keys (key, request, at, caller, number, made_kind, made_id)
                 SELECT $1::bytea, $2::bytea, $3::bigint, $4::bytea,
                    1 + coalesce((SELECT max(number) FROM idempotency_keys WHERE caller = $4), 0),
                    $5::text, $6::text",
                params![
                    key.key,
                    key.request,
                    at,
                    key.caller,
                    made.map(Made::kind),
                    made.map(Made::id)
                ],
            )
            .await?;
        Ok(())
    }
}
