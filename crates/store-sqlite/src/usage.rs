//! The use of tokens, and the audiences that report it.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension};

use crate::failure::Failure;
use crate::statistics;
use crate::values::{get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Refusals, ReportingAudience, TokenId, Use};

impl Batch<'_> {
    pub(super) fn note_use(&self, uses: &[Use]) -> Result<(), Failure> {
        let mut update = self.connection.prepare_cached(
            "UPDATE tokens SET last_used_at = ?2, last_used_from = ?3
             WHERE id = ?1 AND (last_used_at IS NULL OR last_used_at < ?2)",
        )?;
        for Use { token, at, from } in uses {
            update.execute(params![token.0, at, from.map(|address| address.to_string())])?;
        }
        Ok(())
    }

    pub(super) fn note_reports(&self, audiences: &[String], now: Timestamp) -> Result<(), Failure> {
        let mut note = self.connection.prepare_cached(
            "INSERT INTO reporting_audiences (audience, first_reported_at, last_reported_at)
             VALUES (?1, ?2, ?2)
             ON CONFLICT (audience) DO UPDATE SET last_reported_at = max(last_reported_at, ?2)",
        )?;
        for audience in audiences {
            note.execute(params![audience, now])?;
        }
        Ok(())
    }

    pub(super) fn note_refusals(&self, refused: &[(TokenId, Refusals)]) -> Result<(), Failure> {
        let mut update = self.connection.prepare_cached(
            "UPDATE tokens SET refusals = refusals + ?2,
                last_refused_at = max(coalesce(last_refused_at, 0), ?3)
             WHERE id = ?1 RETURNING session, organization",
        )?;
        for (id, Refusals { count, last_at }) in refused {
            let token = update.query_row(params![id.0, count, last_at], |row| {
                Ok((get::<bool>(row, 0)?, get(row, 1)?))
            });
            if let Some((false, organization)) = token.optional()? {
                statistics::add_refusals(self.connection, organization, *last_at, *count)?;
            }
        }
        Ok(())
    }
}

/// Returns those of these audiences that have ever reported, in the order of their names.
pub(super) fn reporting_audiences<'a>(
    connection: &Connection,
    audiences: impl Iterator<Item = &'a String>,
) -> Result<Vec<ReportingAudience>, Failure> {
    let audiences: BTreeSet<&String> = audiences.collect();
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

/// Returns a condition on `tokens`: use of the token between two instants, given as SQL, is known, since all of
/// its audiences report. An audience reports if it began before the first instant and has reported within the
/// day before the second.
pub(super) fn reporting(since: &str, until: &str) -> String {
    format!(
        "NOT EXISTS (SELECT 1 FROM json_each(tokens.audience) AS meant WHERE NOT EXISTS (
             SELECT 1 FROM reporting_audiences AS reporting WHERE reporting.audience = meant.value
             AND reporting.first_reported_at <= {since}
             AND reporting.last_reported_at >= {until} - 86400000))"
    )
}
