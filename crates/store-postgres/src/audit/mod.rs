//! The audit: actions, the sequencer that writes lines, lists of lines, checkpoints, and pruning.

mod entries;
mod rows;

use async_trait::async_trait;
use tokio::time::timeout;
use tokio::try_join;
use tokio_postgres::Row;

pub(crate) use entries::later as lines_after;

use crate::PostgresStore;
use crate::connection::{Connection, Connections};
use crate::failure::Failure;
use crate::statistics::{self, Counted};
use crate::values::{Bound, Columns, Parameter, get, params};
use crate::writer::{self, Batch, PATIENCE, Work};
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationId;
use jeton_core::token::TokenId;
use jeton_store::reads::{Purpose, Tenant};
use jeton_store::rules::audit::{self, Action, in_order};
use jeton_store::{
    Audit, AuditFilter, AuditHead, AuditLine, AuditListing, AuditPage, AuditPosition, AuditSince,
    AuditSource, AuditStatus, CHECKPOINTS_KEPT, Cause, Checkpoint, PrunedLines, Result, Sealed,
    SealedThrough,
};

/// The most lines that are sealed at once.
const SEALED: usize = 2_000;

/// The most lines that are pruned at once, under the writers' lock: a few milliseconds.
const PRUNED: usize = 250;

/// The number of lines whose instants are a row of `audit_instants`.
const BLOCK: u64 = 256;

/// Returns the purpose of a list for those who see the lines of an organization, or all.
fn of(organization: Option<OrganizationId>) -> Purpose {
    Purpose::Listing(organization.map_or(Tenant::Deployment, Tenant::Organization))
}

#[async_trait]
impl Audit for PostgresStore {
    async fn audit_status(&self) -> Result<AuditStatus> {
        let row = self.connections.read().await?.row(STATUS, &[]).await?;
        Ok(status(&row)?)
    }

    async fn seal(&self) -> Result<Sealed> {
        let sealed = timeout(PATIENCE, seal(&self.connections)).await;
        Ok(sealed.unwrap_or(Err(Failure::Late))?)
    }

    async fn audit_entries(&self, filter: AuditFilter, page: AuditPage) -> Result<AuditListing> {
        let mut connection = self.connections.long(of(filter.organization)).await?;
        let listing = entries::page(&connection, &filter, page).await?;
        connection.end().await?;
        Ok(listing)
    }

    async fn audit_count(&self, filter: AuditFilter) -> Result<u64> {
        let mut connection = self.connections.long(of(filter.organization)).await?;
        let count = entries::count(&connection, &filter).await?;
        connection.end().await?;
        Ok(count)
    }

    async fn audit_after(
        &self,
        organization: Option<OrganizationId>,
        after: AuditPosition,
        most: u32,
    ) -> Result<AuditSince> {
        let mut connection = self.connections.long(of(organization)).await?;
        let since = entries::since(&connection, organization, &after, most).await?;
        connection.end().await?;
        Ok(since)
    }

    async fn last_checkpoint(&self) -> Result<Option<Checkpoint>> {
        let query =
            "SELECT size, hash, signed_at, kid, note FROM audit_checkpoints ORDER BY size DESC LIMIT 1";
        let row = self.connections.read().await?.optional(query, &[]).await?;
        Ok(row.as_ref().map(entries::checkpoint).transpose()?)
    }

    async fn keep_checkpoint(&self, checkpoint: Checkpoint) -> Result<()> {
        self.writer.run(checkpoint).await
    }

    async fn prune_audit(&self, made_by: Timestamp, now: Timestamp) -> Result<PrunedLines> {
        self.writer.run(Prune { made_by, now }).await
    }
}

/// Selects how far the audit has come, and the instant of the first row without a line of each table.
const STATUS: &str = "SELECT audit_sequence, audit_hash, audit_pruned_through, audit_pruned_hash,
        least((SELECT created_at FROM tokens WHERE id > audit_tokens ORDER BY id LIMIT 1),
            (SELECT recorded_at FROM revocations WHERE revocations.sequence > audit_revocations
                ORDER BY revocations.sequence LIMIT 1),
            (SELECT at FROM actions WHERE id > audit_actions ORDER BY id LIMIT 1)),
        coalesce((SELECT max(id) FROM tokens), 0) > statistics_tokens
            OR coalesce((SELECT max(sequence) FROM revocations), 0) > statistics_revocations
     FROM meta";

fn status(row: &Row) -> std::result::Result<AuditStatus, Failure> {
    let columns = &mut Columns::of(row);
    Ok(AuditStatus {
        head: head(columns)?,
        pruned: head(columns)?,
        unsealed_since: columns.take()?,
        has_uncounted: columns.take()?,
    })
}

fn head(columns: &mut Columns<'_>) -> std::result::Result<AuditHead, Failure> {
    Ok(AuditHead {
        sequence: columns.take()?,
        hash: columns.take()?,
    })
}

/// Returns the last rows that have a line and are counted.
pub(super) async fn sealed_through(connection: &Connection) -> std::result::Result<SealedThrough, Failure> {
    let row = connection
        .row(
            "SELECT least(audit_tokens, statistics_tokens), least(audit_revocations, statistics_revocations)
             FROM meta",
            &[],
        )
        .await?;
    Ok(SealedThrough {
        token: TokenId(get(&row, 0)?),
        event: get(&row, 1)?,
    })
}

/// Begins a transaction that seals: one at a time in the deployment, beside those of the writers.
const BEGIN: &str = "BEGIN; SELECT pg_advisory_xact_lock(4779010, 2)";

/// The last row of each table. Under the writers' lock no row is about to be committed with a lower number.
const COMMITTED: &str = "SELECT coalesce((SELECT max(id) FROM tokens), 0),
    coalesce((SELECT max(sequence) FROM revocations), 0), coalesce((SELECT max(id) FROM actions), 0)";

/// Writes lines for the next rows that have none, and counts rows. Rows stand once they are committed: only how far all of them are is read
/// under the writers' lock, and orders do not wait for the lines.
async fn seal(connections: &Connections) -> std::result::Result<Sealed, Failure> {
    let mut connection = connections.write().await?;
    let committed = connection.begin_and(writer::BEGIN, async |connection| {
        connection.row(COMMITTED, &[]).await
    });
    let committed = three(&mut Columns::of(&committed.await?))?;
    connection.end().await?;

    let row = connection.begin_and(BEGIN, async |connection| {
        let far = "SELECT audit_sequence, audit_hash, audit_tokens, audit_revocations, audit_actions,
                statistics_tokens, statistics_revocations, statistics_covered
             FROM meta";
        connection.row(far, &[]).await
    });
    let row = row.await?;
    let columns = &mut Columns::of(&row);
    let mut head = head(columns)?;
    let mut through = three(columns)?;
    let counted = Counted::read(columns)?;
    let ([tokens, events, actions], [last_token, last_event, last_action]) = (through, committed);
    let unsealed = try_join!(
        rows::unsealed(&connection, AuditSource::Token, tokens, last_token, SEALED),
        rows::unsealed(&connection, AuditSource::Event, events, last_event, SEALED),
        rows::unsealed(&connection, AuditSource::Action, actions, last_action, SEALED),
    )?;
    let mut lines = Vec::new();
    for rows::Unsealed {
        record,
        organization,
        actor_user,
    } in in_order(unsealed.into(), SEALED, |row| row.record.at)
    {
        for (source, last) in AuditSource::ALL.into_iter().zip(&mut through) {
            if source == record.source {
                *last = record.number;
            }
        }
        let line = record.after(head);
        head = line.head();
        lines.push(Line {
            line,
            organization,
            actor_user,
        });
    }
    let last_event = last_event.try_into().unwrap_or_default();
    let reached = statistics::count_portion(&connection, counted, (last_token, last_event)).await?;
    if lines.is_empty() && reached == counted {
        connection.end().await?;
    } else {
        insert(&connection, &lines).await?;
        let [tokens, events, actions] = through;
        // Last: a writer that writes this row waits for the commit.
        let reach =
            "UPDATE meta SET audit_sequence = $1, audit_hash = $2, audit_tokens = $3, audit_revocations = $4,
            audit_actions = $5, statistics_tokens = $6, statistics_revocations = $7, statistics_covered = $8";
        let reached = params![
            head.sequence,
            head.hash,
            tokens,
            events,
            actions,
            reached.token,
            reached.event,
            reached.covered,
        ];
        connection.commit_after(reach, reached).await?;
    }
    Ok(Sealed {
        head,
        lines: lines.len().try_into().unwrap_or(u32::MAX),
        has_more: lines.len() == SEALED || reached.token < last_token || reached.event < last_event,
    })
}

/// Reads a number for each table.
fn three(columns: &mut Columns<'_>) -> std::result::Result<[i64; 3], Failure> {
    Ok([columns.take()?, columns.take()?, columns.take()?])
}

/// A line, with the numbers of its organization and of its actor.
struct Line {
    line: AuditLine,
    organization: Option<i64>,
    actor_user: Option<i64>,
}

async fn insert(connection: &Connection, lines: &[Line]) -> std::result::Result<(), Failure> {
    let column = |of: fn(&Line) -> Bound| Bound::Array(lines.iter().map(of).collect());
    let insert = format!(
        "WITH line AS (
             INSERT INTO audit (sequence, at, action, source, number, organization, actor, actor_user, actor_token,
                token, content, hash)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
                $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bytea[], $12::bytea[])
             RETURNING sequence, at)
         INSERT INTO audit_instants (block, earliest, latest)
         SELECT sequence / {BLOCK}, min(at), max(at) FROM line GROUP BY 1
         ON CONFLICT (block) DO UPDATE SET earliest = least(audit_instants.earliest, excluded.earliest),
            latest = greatest(audit_instants.latest, excluded.latest)"
    );
    connection
        .execute(
            &insert,
            params![
                column(|one| one.line.sequence.bound()),
                column(|one| one.line.record.at.bound()),
                column(|one| (*one.line.record.action).bound()),
                column(|one| Bound::Integer(one.line.record.source as i64)),
                column(|one| one.line.record.number.bound()),
                column(|one| one.organization.bound()),
                column(|one| one.line.record.actor.name.bound()),
                column(|one| one.actor_user.bound()),
                column(|one| one.line.record.actor_token.map(|token| token.0).bound()),
                column(|one| one.line.record.token.map(|token| token.0).bound()),
                column(|one| one.line.record.content.bound()),
                column(|one| one.line.hash.bound()),
            ],
        )
        .await?;
    Ok(())
}

#[async_trait]
impl Work for Checkpoint {
    type Output = ();

    /// Keeps the checkpoint.
    async fn run(self, batch: &mut Batch<'_>) -> std::result::Result<(), Failure> {
        batch
            .connection
            .execute(
                "INSERT INTO audit_checkpoints (size, hash, signed_at, kid, note) VALUES ($1, $2, $3, $4, $5)",
                params![
                    self.head.sequence,
                    self.head.hash,
                    self.signed_at,
                    self.kid,
                    self.note,
                ],
            )
            .await?;
        batch
            .connection
            .execute(
                "DELETE FROM audit_checkpoints WHERE size <= (
                    SELECT size FROM audit_checkpoints ORDER BY size DESC LIMIT 1 OFFSET $1)",
                params![CHECKPOINTS_KEPT],
            )
            .await?;
        Ok(())
    }
}

/// Deletes a portion of the oldest lines, and records the end of the scan.
struct Prune {
    made_by: Timestamp,
    now: Timestamp,
}

/// Selects the lines that a portion deletes, and one more: those made by `$1`, or before a line that accepts the clock,
/// none of them after the last checkpoint.
const PRUNABLE: &str = "SELECT sequence, hash, source, number,
        at <= $1 OR sequence <= coalesce((
            SELECT max(accepted.sequence) FROM audit AS accepted
            WHERE accepted.action = 'clock.accept' AND accepted.at <= $1), 0)
     FROM audit
     WHERE sequence > (SELECT audit_pruned_through FROM meta)
        AND sequence <= (SELECT max(size) FROM audit_checkpoints)
     ORDER BY sequence LIMIT $2";

#[async_trait]
impl Work for Prune {
    type Output = PrunedLines;

    async fn run(self, batch: &mut Batch<'_>) -> std::result::Result<PrunedLines, Failure> {
        let Self { made_by, now } = self;
        let connection = batch.connection;
        let rows = connection.rows(PRUNABLE, params![made_by, PRUNED + 1]).await?;
        let mut pruned = PrunedLines::default();
        let (mut last, mut action) = (None, 0_i64);
        for row in &rows {
            if !get::<bool>(row, 4)? {
                break;
            }
            if pruned.lines == PRUNED as u64 {
                pruned.has_more = true;
                break;
            }
            if get::<i64>(row, 2)? == AuditSource::Action as i64 {
                action = get(row, 3)?;
            }
            last = Some((get::<u64>(row, 0)?, get::<[u8; 32]>(row, 1)?));
            pruned.lines += 1;
        }
        let Some((through, hash)) = last else {
            return Ok(pruned);
        };
        // First, since triggers refuse to delete anything after these.
        connection
            .execute(
                "UPDATE meta SET audit_pruned_through = $1, audit_pruned_hash = $2,
                    audit_actions_pruned = greatest(audit_actions_pruned, $3)",
                params![through, hash, action],
            )
            .await?;
        let delete = "DELETE FROM audit WHERE sequence <= $1";
        connection.execute(delete, params![through]).await?;
        let delete = "DELETE FROM actions WHERE id <= (SELECT audit_actions_pruned FROM meta)";
        connection.execute(delete, &[]).await?;
        let delete = "DELETE FROM audit_checkpoints WHERE size < $1";
        connection.execute(delete, params![through]).await?;
        let delete = "DELETE FROM audit_instants WHERE block < ($1::bigint + 1) / 256";
        connection.execute(delete, params![through]).await?;
        if !pruned.has_more {
            batch
                .note_action(&audit::pruned(through, made_by), &Cause::server(now))
                .await?;
        }
        Ok(pruned)
    }
}

impl Batch<'_> {
    /// Records an action.
    pub(super) async fn note_action(
        &mut self,
        action: &Action,
        cause: &Cause,
    ) -> std::result::Result<(), Failure> {
        let actor_user = self.actor_number(&cause.by).await?;
        let numbers = &mut self.memory.numbers;
        let organization = match action.organization {
            Some(organization) => Some(numbers.organization(self.connection, organization).await?),
            None => None,
        };
        let origin = &cause.origin;
        self.connection
            .execute(
                "INSERT INTO actions (at, action, actor, actor_user, actor_token, surface, address, request_id,
                    on_behalf_of, organization, token, target, before, after, reason)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
                params![
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
                ],
            )
            .await?;
        Ok(())
    }
}
