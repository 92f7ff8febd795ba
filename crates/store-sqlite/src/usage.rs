//! When tokens were last seen.

use std::collections::BTreeSet;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use crate::SqliteStore;
use crate::failure::Failure;
use crate::values::{Bytes, get, params};
use crate::writer::Undo;
use jeton_core::token::{Record, ReportedUse, ReportingAudience, Use};
use jeton_store::{Result, Usage, UseReport, UseReported};

#[async_trait]
impl Usage for SqliteStore {
    async fn note_use(&self, uses: Vec<Use>) -> Result<()> {
        self.writer
            .run(Undo::Savepoint, move |batch| {
                let mut update = batch.connection.prepare_cached(
                    "UPDATE tokens SET last_used_at = ?2, last_used_from = ?3
                     WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)",
                )?;
                for Use { token, at, from } in uses {
                    update.execute(params![token.0, at, from.map(|address| address.to_string())])?;
                }
                Ok(())
            })
            .await
    }

    async fn report_use(&self, report: UseReport) -> Result<UseReported> {
        self.writer
            .run(Undo::Savepoint, move |batch| {
                report_use(batch.connection, &report)
            })
            .await
    }
}

/// Those audiences of these tokens that have ever reported, in the order of their names.
pub(super) fn reporting_audiences(
    connection: &Connection,
    tokens: &[Record],
) -> std::result::Result<Vec<ReportingAudience>, Failure> {
    let audiences: BTreeSet<&String> = tokens.iter().flat_map(|record| &record.token.audience).collect();
    let mut query = connection.prepare_cached(
        "SELECT audience, first_reported_at, last_reported_at FROM reporting_audiences WHERE audience = ?1",
    )?;
    let mut reporting = Vec::new();
    for audience in audiences {
        let found = query.query_row(params![audience], |row| {
            Ok(ReportingAudience {
                audience: get(row, 0)?,
                first_reported_at: get(row, 1)?,
                last_reported_at: get(row, 2)?,
            })
        });
        reporting.extend(found.optional()?);
    }
    Ok(reporting)
}

/// A condition on `tokens`: use of the token between two instants, given as SQL, would be known here,
/// since all of its audiences report. To report is to have begun before the first instant and to have
/// done it within the day before the second.
pub(super) fn reporting(since: &str, until: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM json_each(tokens.audience) AS meant WHERE NOT EXISTS (
             SELECT 1 FROM reporting_audiences AS reporting WHERE reporting.audience = meant.value
             AND reporting.first_reported_at <= {since}
             AND reporting.last_reported_at >= {until} - 86400000))"
    )
}

fn report_use(connection: &Connection, report: &UseReport) -> std::result::Result<UseReported, Failure> {
    let mut update = connection.prepare_cached(
        "UPDATE tokens SET last_used_at = max(?2, created_at), last_used_from = NULL
         WHERE jti = ?1 AND session = 0 AND coalesce(last_used_at, -1) < max(?2, created_at)",
    )?;
    let mut find =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM tokens WHERE jti = ?1 AND session = 0)")?;
    let mut known = 0;
    for ReportedUse { jti, at } in &report.uses {
        let changed = update.execute(params![Bytes(*jti), (*at).min(report.at)])?;
        if changed > 0 || find.query_row(params![Bytes(*jti)], |row| get(row, 0))? {
            known += 1;
        }
    }
    let mut note = connection.prepare_cached(
        "INSERT INTO reporting_audiences (audience, first_reported_at, last_reported_at) VALUES (?1, ?2, ?2)
         ON CONFLICT (audience) DO UPDATE SET last_reported_at = max(last_reported_at, ?2)",
    )?;
    for audience in &report.audiences {
        note.execute(params![audience, report.at])?;
    }
    Ok(UseReported {
        known,
        unknown: report.uses.len() - known,
    })
}
