//! The audit: actions, the sequencer that writes lines, lists of lines, checkpoints, and pruning.

mod entries;
mod rows;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::BTreeMap;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

pub(crate) use entries::lines_after;

use crate::SqliteStore;
use crate::failure::Failure;
use crate::readers::{Purpose, Tenant};
use crate::statistics;
use crate::values::{get, params};
use crate::writer::{Batch, Undo};
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationId;
use jeton_core::token::TokenId;
use jeton_store::rules::audit::{self, Action, in_order};
use jeton_store::{
    Audit, AuditFilter, AuditHead, AuditListing, AuditPage, AuditPosition, AuditSince, AuditSource,
    AuditStatus, CHECKPOINTS_KEPT, Cause, Checkpoint, PrunedLines, Result, Sealed, SealedThrough,
};

pub use verify::{AuditExamined, AuditFlaw, AuditReader, KeyOfCheckpoint};

/// The number of lines in a portion: about two milliseconds.
const PORTION: usize = 250;

/// The number of lines whose instants are a row of `audit_instants`.
const BLOCK: u64 = 256;

#[async_trait]
impl Audit for SqliteStore {
    async fn audit_status(&self) -> Result<AuditStatus> {
        self.readers
            .look_up(|connection| Ok(connection.prepare_cached(STATUS)?.query_row((), status)?))
            .await
    }

    async fn seal(&self) -> Result<Sealed> {
        self.writer
            .run(Undo::Savepoint, |batch| seal_portion(batch.connection))
            .await
    }

    async fn audit_entries(&self, filter: AuditFilter, page: AuditPage) -> Result<AuditListing> {
        let tenant = filter
            .organization
            .map_or(Tenant::Deployment, Tenant::Organization);
        self.readers
            .read(Purpose::Listing(tenant), move |connection| {
                let instant = connection.unchecked_transaction()?;
                entries::page(&instant, &filter, page)
            })
            .await
    }

    async fn audit_count(&self, filter: AuditFilter) -> Result<u64> {
        let tenant = filter
            .organization
            .map_or(Tenant::Deployment, Tenant::Organization);
        self.readers
            .read(Purpose::Listing(tenant), move |connection| {
                entries::count(connection, &filter)
            })
            .await
    }

    async fn audit_after(
        &self,
        organization: Option<OrganizationId>,
        after: AuditPosition,
        most: u32,
    ) -> Result<AuditSince> {
        let tenant = organization.map_or(Tenant::Deployment, Tenant::Organization);
        self.readers
            .read(Purpose::Listing(tenant), move |connection| {
                let instant = connection.unchecked_transaction()?;
                entries::since(&instant, organization, &after, most)
            })
            .await
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>> {
        self.readers
            .look_up(|connection| {
                Ok(connection
                    .prepare_cached(
                        "SELECT size, hash, signed_at, kid, note FROM audit_checkpoints ORDER BY size DESC LIMIT 1",
                    )?
                    .query_row((), entries::checkpoint)
                    .optional()?)
            })
            .await
    }

    async fn keep_checkpoint(&self, checkpoint: Checkpoint) -> Result<()> {
        self.writer
            .run(Undo::Savepoint, move |batch| {
                let connection = batch.connection;
                connection
                    .prepare_cached(
                        "INSERT INTO audit_checkpoints (size, hash, signed_at, kid, note)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![
                        checkpoint.head.sequence,
                        checkpoint.head.hash,
                        checkpoint.signed_at,
                        checkpoint.kid,
                        checkpoint.note,
                    ])?;
                connection
                    .prepare_cached(
                        "DELETE FROM audit_checkpoints WHERE size <= (
                            SELECT size FROM audit_checkpoints ORDER BY size DESC LIMIT 1 OFFSET ?1)",
                    )?
                    .execute(params![CHECKPOINTS_KEPT])?;
                Ok(())
            })
            .await
    }

    async fn prune_audit(&self, made_by: Timestamp, now: Timestamp) -> Result<PrunedLines> {
        self.writer
            .run(Undo::Savepoint, move |batch| batch.prune_lines(made_by, now))
            .await
    }
}

/// Selects how far the audit has come, and the instant of the first row without a line of each table.
const STATUS: &str = "SELECT audit_sequence, audit_hash, audit_pruned_through, audit_pruned_hash,
        (SELECT created_at FROM tokens WHERE id > audit_tokens ORDER BY id LIMIT 1),
        (SELECT recorded_at FROM revocations WHERE revocations.sequence > audit_revocations
            ORDER BY revocations.sequence LIMIT 1),
        (SELECT at FROM actions WHERE id > audit_actions ORDER BY id LIMIT 1),
        coalesce((SELECT max(id) FROM tokens), 0) > statistics_tokens
            OR coalesce((SELECT max(sequence) FROM revocations), 0) > statistics_revocations
     FROM meta";

fn status(row: &rusqlite::Row<'_>) -> rusqlite::Result<AuditStatus> {
    let head = |first| {
        Ok::<_, rusqlite::Error>(AuditHead {
            sequence: get(row, first)?,
            hash: get(row, first + 1)?,
        })
    };
    let unsealed: [Option<Timestamp>; 3] = [get(row, 4)?, get(row, 5)?, get(row, 6)?];
    Ok(AuditStatus {
        head: head(0)?,
        pruned: head(2)?,
        unsealed_since: unsealed.into_iter().flatten().min(),
        has_uncounted: get(row, 7)?,
    })
}

/// Returns the last rows that have a line and are counted.
pub(super) fn sealed_through(connection: &Connection) -> rusqlite::Result<SealedThrough> {
    connection
        .prepare_cached("SELECT min(audit_tokens, statistics_tokens), min(audit_revocations, statistics_revocations) FROM meta")?
        .query_row((), |row| {
            Ok(SealedThrough {
                token: TokenId(get(row, 0)?),
                event: get(row, 1)?,
            })
        })
}

/// Writes lines for everything that has none, and counts it, in the open transaction: for commands, while no server runs.
pub(super) fn seal_all(connection: &Connection) -> std::result::Result<(), Failure> {
    while seal_portion(connection)?.has_more {}
    Ok(())
}

/// Writes lines for the next rows that have none, and counts rows.
pub(super) fn seal_portion(connection: &Connection) -> std::result::Result<Sealed, Failure> {
    let (mut head, mut through) = connection
        .prepare_cached(
            "SELECT audit_sequence, audit_hash, audit_tokens, audit_revocations, audit_actions FROM meta",
        )?
        .query_row((), |row| {
            let head = AuditHead {
                sequence: get(row, 0)?,
                hash: get(row, 1)?,
            };
            Ok((head, [get::<i64>(row, 2)?, get(row, 3)?, get(row, 4)?]))
        })?;
    let mut names = rows::Names::new(connection);
    let [tokens, events, actions] = through;
    let unsealed = [
        rows::unsealed(&mut names, AuditSource::Token, tokens, PORTION)?,
        rows::unsealed(&mut names, AuditSource::Event, events, PORTION)?,
        rows::unsealed(&mut names, AuditSource::Action, actions, PORTION)?,
    ];
    let unsealed = in_order(unsealed, PORTION, |row| row.record.at);
    let mut insert = connection.prepare_cached(
        "INSERT INTO audit (sequence, at, action, source, number, organization, actor, actor_user, actor_token,
            token, content, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    let mut lines = 0;
    let mut instants: BTreeMap<u64, (Timestamp, Timestamp)> = BTreeMap::new();
    for rows::Unsealed {
        record,
        organization,
        actor_user,
    } in unsealed
    {
        for (source, last) in AuditSource::ALL.into_iter().zip(&mut through) {
            if source == record.source {
                *last = record.number;
            }
        }
        let line = record.after(head);
        let record = &line.record;
        insert.execute(params![
            line.sequence,
            record.at,
            &*record.action,
            record.source as i64,
            record.number,
            organization,
            record.actor.name,
            actor_user,
            record.actor_token.map(|token| token.0),
            record.token.map(|token| token.0),
            record.content,
            line.hash,
        ])?;
        let (earliest, latest) = instants
            .entry(line.sequence / BLOCK)
            .or_insert((record.at, record.at));
        (*earliest, *latest) = (record.at.min(*earliest), record.at.max(*latest));
        head = line.head();
        lines += 1;
    }
    for (block, (earliest, latest)) in instants {
        connection
            .prepare_cached(
                "INSERT INTO audit_instants (block, earliest, latest) VALUES (?1, ?2, ?3)
                 ON CONFLICT (block) DO UPDATE SET earliest = min(earliest, excluded.earliest),
                    latest = max(latest, excluded.latest)",
            )?
            .execute(params![block, earliest, latest])?;
    }
    if lines > 0 {
        // By its key, as in `Memory::write`.
        let [tokens, events, actions] = through;
        connection
            .prepare_cached(
                "UPDATE meta SET audit_sequence = ?1, audit_hash = ?2, audit_tokens = ?3, audit_revocations = ?4,
                    audit_actions = ?5
                 WHERE one = 1",
            )?
            .execute(params![head.sequence, head.hash, tokens, events, actions])?;
    }
    let is_uncounted = statistics::count_portion(connection)?;
    Ok(Sealed {
        head,
        lines,
        has_more: lines as usize == PORTION || is_uncounted,
    })
}

/// Selects the lines that a portion deletes, and one more: those made by `?1`, or before a line that accepts the clock,
/// none of them after the last checkpoint.
const PRUNABLE: &str = "SELECT sequence, hash, source, number,
        at <= ?1 OR sequence <= coalesce((
            SELECT max(accepted.sequence) FROM audit AS accepted INDEXED BY audit_of_the_clock
            WHERE accepted.action = 'clock.accept' AND accepted.at <= ?1), 0)
     FROM audit
     WHERE sequence > (SELECT audit_pruned_through FROM meta)
        AND sequence <= (SELECT max(size) FROM audit_checkpoints)
     ORDER BY sequence LIMIT ?2";

impl Batch<'_> {
    /// Deletes a portion of the oldest lines, and records the end of the scan.
    fn prune_lines(
        &mut self,
        made_by: Timestamp,
        now: Timestamp,
    ) -> std::result::Result<PrunedLines, Failure> {
        let mut query = self.connection.prepare_cached(PRUNABLE)?;
        let mut rows = query.query(params![made_by, PORTION + 1])?;
        let mut pruned = PrunedLines::default();
        let (mut last, mut action) = (None, 0_i64);
        while let Some(row) = rows.next()? {
            if !get::<bool>(row, 4)? {
                break;
            }
            if pruned.lines == PORTION as u64 {
                pruned.has_more = true;
                break;
            }
            if get::<i64>(row, 2)? == AuditSource::Action as i64 {
                action = get(row, 3)?;
            }
            last = Some((get::<u64>(row, 0)?, get::<[u8; 32]>(row, 1)?));
            pruned.lines += 1;
        }
        drop(rows);
        let Some((through, hash)) = last else {
            return Ok(pruned);
        };
        // First, since triggers refuse to delete anything after these.
        self.connection
            .prepare_cached(
                "UPDATE meta SET audit_pruned_through = ?1, audit_pruned_hash = ?2,
                    audit_actions_pruned = max(audit_actions_pruned, ?3)",
            )?
            .execute(params![through, hash, action])?;
        for statement in [
            "DELETE FROM audit WHERE sequence <= ?1",
            "DELETE FROM actions WHERE ?1 > 0 AND id <= (SELECT audit_actions_pruned FROM meta)",
            "DELETE FROM audit_checkpoints WHERE size < ?1",
            "DELETE FROM audit_instants WHERE block < (?1 + 1) / 256",
        ] {
            self.connection
                .prepare_cached(statement)?
                .execute(params![through])?;
        }
        if !pruned.has_more {
            self.note_action(&audit::pruned(through, made_by), &Cause::server(now))?;
        }
        Ok(pruned)
    }

    /// Records an action.
    pub(super) fn note_action(&mut self, action: &Action, cause: &Cause) -> std::result::Result<(), Failure> {
        let actor_user = self.actor_number(&cause.by)?;
        let numbers = &mut self.memory.numbers;
        let organization = action
            .organization
            .map(|organization| numbers.organization(self.connection, organization))
            .transpose()?;
        let origin = &cause.origin;
        self.connection
            .prepare_cached(
                "INSERT INTO actions (at, action, actor, actor_user, actor_token, surface, address, request_id,
                    on_behalf_of, organization, token, target, before, after, reason)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            )?
            .execute(params![
                cause.at,
                action.action,
                cause.by.name,
                actor_user,
                cause.token.map(|token| token.0),
                origin.surface,
                origin.address,
                origin.request_id,
                origin.on_behalf_of,
                organization,
                action.token.map(|token| token.0),
                action.target,
                action.before,
                action.after,
                action.reason.as_ref().or(cause.reason.as_ref()),
            ])?;
        Ok(())
    }
}
