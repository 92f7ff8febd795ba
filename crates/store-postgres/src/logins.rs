//! Counters of failed logins.

use async_trait::async_trait;

use crate::PostgresStore;
use crate::values::{Bound, Columns, params};
use jeton_core::clock::Timestamp;
use jeton_store::{LoginChange, LoginCount, LoginCounts, LoginKey, Result};

/// No standby need have what a crash may lose.
const BEGIN: &str = "BEGIN; SET LOCAL synchronous_commit = off";

/// When something last happened to a counter.
const LATEST: &str = "greatest(failed_at, begun_at, succeeded_at)";

#[async_trait]
impl LoginCounts for PostgresStore {
    async fn change_login_counts(&self, keys: &[LoginKey], change: LoginChange<'_>) -> Result<()> {
        let all = Bound::array(keys.iter().copied());
        let mut connection = self.connections.logins().await?;
        connection.begin(BEGIN).await?;
        // Rows are locked in the order of their keys, also by those who insert the same ones.
        let insert =
            "INSERT INTO login_failures (key) SELECT key FROM unnest($1::bytea[]) AS key ORDER BY key
            ON CONFLICT DO NOTHING";
        connection.execute(insert, params![all]).await?;
        let select = "SELECT key, failures, pending, failed_at, begun_at, succeeded_at FROM login_failures
            WHERE key = ANY ($1::bytea[]) ORDER BY key FOR UPDATE";
        let mut counts = vec![LoginCount::ZERO; keys.len()];
        for row in connection.rows(select, params![all]).await? {
            let columns = &mut Columns::of(&row);
            let key: LoginKey = columns.take()?;
            let count = LoginCount {
                failures: columns.take()?,
                pending: columns.take()?,
                failed_at: columns.take()?,
                begun_at: columns.take()?,
                succeeded_at: columns.take()?,
            };
            for (_, place) in keys.iter().zip(&mut counts).filter(|(one, _)| **one == key) {
                *place = count;
            }
        }
        let before = counts.clone();
        change(&mut counts);
        if counts == before {
            // Without the rows that were inserted: an attempt that is refused takes no room.
            return Ok(connection.undo().await?);
        }
        let update = "UPDATE login_failures SET failures = new.failures, pending = new.pending,
                failed_at = new.failed_at, begun_at = new.begun_at, succeeded_at = new.succeeded_at
            FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
                AS new (key, failures, pending, failed_at, begun_at, succeeded_at)
            WHERE login_failures.key = new.key";
        let changed = params![
            all,
            Bound::array(counts.iter().map(|count| count.failures)),
            Bound::array(counts.iter().map(|count| count.pending)),
            Bound::array(counts.iter().map(|count| count.failed_at)),
            Bound::array(counts.iter().map(|count| count.begun_at)),
            Bound::array(counts.iter().map(|count| count.succeeded_at)),
        ];
        connection.execute(update, changed).await?;
        Ok(connection.commit().await?)
    }

    async fn prune_login_counts(&self, since: Timestamp, most: usize) -> Result<()> {
        let mut connection = self.connections.logins().await?;
        connection.begin(BEGIN).await?;
        let old = format!("DELETE FROM login_failures WHERE {LATEST} < $1");
        connection.execute(&old, params![since]).await?;
        for kind in ["succeeded_at IS NULL", "succeeded_at IS NOT NULL"] {
            let surplus = format!(
                "DELETE FROM login_failures WHERE {kind} AND {LATEST} <=
                    (SELECT {LATEST} FROM login_failures WHERE {kind} ORDER BY 1 DESC OFFSET $1 LIMIT 1)"
            );
            connection.execute(&surplus, params![most]).await?;
        }
        Ok(connection.commit().await?)
    }
}
