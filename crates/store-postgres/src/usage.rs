//! The use of tokens, and the audiences that report it.

use std::collections::BTreeSet;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::statistics;
use crate::values::{Bound, Columns, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Refusals, ReportingAudience, TokenId, Use};

impl Batch<'_> {
    /// Notes uses: of several uses of a token the last. Tokens whose records are deleted are left out.
    pub(super) async fn note_use(&self, uses: &[Use]) -> Result<(), Failure> {
        let from = uses.iter().map(|one| one.from.map(|address| address.to_string()));
        self.connection
            .execute(
                "INSERT INTO token_use (token, last_used_at, last_used_from)
                 SELECT DISTINCT ON (tokens.id) tokens.id, used.at, used.address
                 FROM unnest($1::bigint[], $2::bigint[], $3::text[]) WITH ORDINALITY AS used (token, at, address, place)
                 JOIN tokens ON tokens.id = used.token
                 ORDER BY tokens.id, used.at DESC, used.place
                 ON CONFLICT (token) DO UPDATE
                 SET last_used_at = excluded.last_used_at, last_used_from = excluded.last_used_from
                 WHERE token_use.last_used_at IS NULL OR token_use.last_used_at < excluded.last_used_at",
                params![
                    Bound::array(uses.iter().map(|one| &one.token)),
                    Bound::array(uses.iter().map(|one| one.at)),
                    Bound::array(from),
                ],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn note_reports(&self, audiences: &[String], now: Timestamp) -> Result<(), Failure> {
        self.connection
            .execute(
                "INSERT INTO reporting_audiences (audience, first_reported_at, last_reported_at)
                 SELECT DISTINCT audience, $2::bigint, $2::bigint FROM unnest($1::text[]) AS reporting (audience)
                 ON CONFLICT (audience) DO UPDATE
                 SET last_reported_at = greatest(reporting_audiences.last_reported_at, $2)",
                params![Bound::array(audiences), now],
            )
            .await?;
        Ok(())
    }

    /// Adds refusals. Tokens whose records are deleted are left out.
    pub(super) async fn note_refusals(&self, refused: &[(TokenId, Refusals)]) -> Result<(), Failure> {
        self.connection
            .execute(
                "INSERT INTO token_use (token, refusals, last_refused_at)
                 SELECT tokens.id, sum(refused.count)::bigint, max(refused.last_at)
                 FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS refused (token, count, last_at)
                 JOIN tokens ON tokens.id = refused.token
                 GROUP BY tokens.id ORDER BY tokens.id
                 ON CONFLICT (token) DO UPDATE SET refusals = token_use.refusals + excluded.refusals,
                    last_refused_at = greatest(token_use.last_refused_at, excluded.last_refused_at)",
                params![
                    Bound::array(refused.iter().map(|(token, _)| token)),
                    Bound::array(refused.iter().map(|(_, refusals)| refusals.count)),
                    Bound::array(refused.iter().map(|(_, refusals)| refusals.last_at)),
                ],
            )
            .await?;
        statistics::add_refusals(self.connection, refused).await
    }
}

/// Returns those of these audiences that have ever reported, in the order of their names.
pub(super) async fn reporting_audiences(
    connection: &Connection,
    audiences: impl Iterator<Item = &String>,
) -> Result<Vec<ReportingAudience>, Failure> {
    let audiences: BTreeSet<&String> = audiences.collect();
    if audiences.is_empty() {
        return Ok(Vec::new());
    }
    let rows = connection
        .rows(
            "SELECT audience, first_reported_at, last_reported_at FROM reporting_audiences
             WHERE audience = ANY ($1) ORDER BY audience",
            params![Bound::array(audiences)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let columns = &mut Columns::of(row);
            Ok(ReportingAudience {
                audience: columns.take()?,
                first_reported_at: columns.take()?,
                last_reported_at: columns.take()?,
            })
        })
        .collect()
}

/// Returns a condition on `tokens`: use of the token between two instants, given as SQL, is known, since all of
/// its audiences report. An audience reports if it began before the first instant and has reported within the
/// day before the second.
pub(super) fn reporting(since: &str, until: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM jsonb_array_elements_text(tokens.audience::jsonb) AS meant (audience)
         WHERE NOT EXISTS (
             SELECT 1 FROM reporting_audiences AS reporting WHERE reporting.audience = meant.audience
             AND reporting.first_reported_at <= {since}
             AND reporting.last_reported_at >= {until} - 86400000))"
    )
}
