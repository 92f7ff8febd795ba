//! Reading lines: pages by a filter, and those after a line.

use std::collections::HashMap;

use tokio_postgres::Row;
use uuid::Uuid;

use crate::audit::{BLOCK, head};
use crate::connection::Connection;
use crate::cut_offs::{self, CUT_OFF_COLUMNS, REACH_JOINS};
use crate::failure::Failure;
use crate::list::Parameters;
use crate::values::{Bound, Columns, Parameter, Sought, get, params};
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationId;
use jeton_core::token::{Actor, TokenId};
use jeton_store::rules::audit;
use jeton_store::{
    AuditDetail, AuditEntry, AuditFilter, AuditHead, AuditLine, AuditListing, AuditOrder, AuditPage,
    AuditPosition, AuditRecord, AuditSince, AuditSource, Checkpoint,
};

/// The columns of a line, of [`FROM`].
const COLUMNS: &str = "line.sequence, line.at, line.action, line.source, line.number, organizations.public_id, \
     line.actor, users.public_id, line.actor_token, line.token, line.content, line.hash";

const FROM: &str = "audit AS line LEFT JOIN organizations ON organizations.id = line.organization \
     LEFT JOIN users ON users.id = line.actor_user";

/// Reads [`COLUMNS`].
fn line(row: &Row) -> Result<AuditLine, Failure> {
    let columns = &mut Columns::of(row);
    let sequence = columns.take()?;
    let at = columns.take()?;
    let action: String = columns.take()?;
    let source: i64 = columns.take()?;
    let source = AuditSource::ALL.into_iter().find(|one| *one as i64 == source);
    Ok(AuditLine {
        sequence,
        record: AuditRecord {
            at,
            action: action.into(),
            source: source.ok_or(Failure::Value(3))?,
            number: columns.take()?,
            organization: columns.take()?,
            actor: Actor {
                name: columns.take()?,
                user: columns.take()?,
            },
            actor_token: columns.take::<Option<i64>>()?.map(TokenId),
            token: columns.take::<Option<i64>>()?.map(TokenId),
            content: columns.take()?,
        },
        hash: columns.take()?,
    })
}

/// Reads size, hash, instant, key and note.
pub(super) fn checkpoint(row: &Row) -> Result<Checkpoint, Failure> {
    let columns = &mut Columns::of(row);
    Ok(Checkpoint {
        head: head(columns)?,
        signed_at: columns.take()?,
        kid: columns.take()?,
        note: columns.take()?,
    })
}

/// The text in the details of a line's record. A `jti` is not searched: the text of a UUID is stored nowhere.
const IN_DETAILS: &str =
    "(SELECT lower(tokens.name) FROM tokens WHERE line.source = 0 AND tokens.id = line.number
     UNION ALL SELECT lower(event.reason) FROM revocations AS event
         WHERE line.source = 1 AND event.sequence = line.number
     UNION ALL SELECT coalesce(lower(actions.target), '') || chr(10) || coalesce(lower(actions.reason), '')
         FROM actions WHERE line.source = 2 AND actions.id = line.number)";

/// The conditions of a query on lines, with the values of their parameters.
struct Conditions {
    conditions: Vec<String>,
    parameters: Parameters,
}

impl Conditions {
    /// Adds a condition, in which `?` stands for a value.
    fn add(&mut self, condition: &str, value: impl Parameter) {
        let parameter = self.parameters.bind(value);
        self.conditions.push(condition.replace('?', &parameter));
    }

    /// Adds the conditions of lines from an instant on and before another. The blocks with such lines bound the lines
    /// that are read.
    fn between(&mut self, from: i64, before: i64) {
        let (from, before) = (self.parameters.bind(from), self.parameters.bind(before));
        let blocks = format!("audit_instants WHERE latest >= {from} AND earliest < {before}");
        self.conditions.extend([
            format!("line.at >= {from} AND line.at < {before}"),
            format!("line.sequence >= (SELECT min(block) * {BLOCK} FROM {blocks})"),
            format!("line.sequence < (SELECT (max(block) + 1) * {BLOCK} FROM {blocks})"),
        ]);
    }

    /// Returns the conditions of a filter.
    fn of(filter: &AuditFilter) -> Self {
        let mut all = Self {
            conditions: vec!["TRUE".to_owned()],
            parameters: Parameters::default(),
        };
        let AuditFilter {
            organization,
            actor,
            token,
            action,
            after,
            before,
            text,
        } = filter;
        if let Some(organization) = organization {
            all.add(
                "line.organization = (SELECT id FROM organizations WHERE public_id = ?)",
                organization,
            );
        }
        if let Some(actor) = actor {
            all.add(
                "(line.actor = ? OR line.actor_user = (SELECT id FROM users WHERE public_id = ?))",
                Sought(actor),
            );
        }
        if let Some(token) = token {
            all.add("line.token = ?", token.0);
        }
        if let Some(action) = action {
            all.add("line.action = ?", Sought(action));
        }
        if after.is_some() || before.is_some() {
            all.between(
                after.map_or(i64::MIN, Timestamp::millis),
                before.map_or(i64::MAX, Timestamp::millis),
            );
        }
        if let Some(text) = text {
            all.add(
                &format!(
                    "(strpos(lower(line.action), ?) > 0 OR strpos(lower(line.actor), ?) > 0
                     OR strpos({IN_DETAILS}, ?) > 0)"
                ),
                Sought(&text.to_ascii_lowercase()),
            );
        }
        all
    }

    /// Returns a query of lines.
    fn select(&self, columns: &str) -> String {
        format!(
            "SELECT {columns} FROM {FROM} WHERE {}",
            self.conditions.join(" AND ")
        )
    }
}

/// Returns how many lines match a filter.
pub(super) async fn count(connection: &Connection, filter: &AuditFilter) -> Result<u64, Failure> {
    let wanted = Conditions::of(filter);
    let row = connection
        .row_once(&wanted.select("count(*)"), wanted.parameters.values())
        .await?;
    get(&row, 0)
}

/// Returns a page of lines with their details, on a connection whose queries read one instant.
pub(super) async fn page(
    connection: &Connection,
    filter: &AuditFilter,
    page: AuditPage,
) -> Result<AuditListing, Failure> {
    let mut wanted = Conditions::of(filter);
    let (comparison, direction) = match page.order {
        AuditOrder::NewestFirst => ("<", "DESC"),
        AuditOrder::OldestFirst => (">", "ASC"),
    };
    if let Some(after) = page.after {
        let after = wanted.parameters.bind_number(after);
        wanted
            .conditions
            .push(format!("line.sequence {comparison} {after}"));
    }
    let most = wanted.parameters.bind_number(u64::from(page.limit) + 1);
    let skip = wanted.parameters.bind_number(page.skip);
    let query = format!(
        "{} ORDER BY line.sequence {direction} LIMIT {most} OFFSET {skip}",
        wanted.select(COLUMNS)
    );
    let rows = connection.rows_once(&query, wanted.parameters.values()).await?;
    let limit = page.limit as usize;
    let lines = rows.iter().take(limit).map(line).collect::<Result<_, _>>()?;
    Ok(AuditListing {
        entries: with_details(connection, lines).await?,
        has_more: rows.len() > limit,
    })
}

/// Returns the lines after a position, on a connection whose queries read one instant.
pub(super) async fn since(
    connection: &Connection,
    organization: Option<OrganizationId>,
    after: &AuditPosition,
    most: u32,
) -> Result<AuditSince, Failure> {
    let sequence = after.sequence;
    let row = connection
        .row(
            "SELECT audit_sequence, audit_hash, audit_pruned_through, audit_pruned_hash,
                (SELECT hash FROM audit WHERE sequence = $1)
             FROM meta",
            params![sequence],
        )
        .await?;
    let columns = &mut Columns::of(&row);
    let (last, pruned) = (head(columns)?, head(columns)?);
    let hash: Option<[u8; 32]> = columns.take()?;
    if sequence < pruned.sequence {
        return Ok(AuditSince::Pruned);
    }
    let kept = hash.map(|hash| AuditHead { sequence, hash });
    let known = kept.or(Some(pruned).filter(|line| line.sequence == sequence));
    if !known.is_some_and(|known| after.is(known)) {
        return Ok(AuditSince::Ahead);
    }
    let filter = AuditFilter {
        organization,
        ..AuditFilter::default()
    };
    let mut wanted = Conditions::of(&filter);
    wanted.add("line.sequence > ?", sequence);
    let most_lines = wanted.parameters.bind(most);
    let query = format!(
        "{} ORDER BY line.sequence LIMIT {most_lines}",
        wanted.select(COLUMNS)
    );
    let rows = connection.rows_once(&query, wanted.parameters.values()).await?;
    let lines = rows.iter().map(line).collect::<Result<_, _>>()?;
    Ok(AuditSince::of(with_details(connection, lines).await?, last, most))
}

/// Returns the lines after a number.
pub(crate) async fn later(
    connection: &Connection,
    after: u64,
    most: usize,
) -> Result<Vec<AuditLine>, Failure> {
    let query =
        format!("SELECT {COLUMNS} FROM {FROM} WHERE line.sequence > $1 ORDER BY line.sequence LIMIT $2");
    let rows = connection.rows(&query, params![after, most]).await?;
    rows.iter().map(line).collect()
}

async fn with_details(connection: &Connection, lines: Vec<AuditLine>) -> Result<Vec<AuditEntry>, Failure> {
    let mut details = HashMap::new();
    for source in AuditSource::ALL {
        let of_source = lines.iter().filter(|line| line.record.source == source);
        let numbers: Vec<_> = of_source.map(|line| line.record.number).collect();
        if numbers.is_empty() {
            continue;
        }
        let numbers = params![Bound::array(numbers)];
        for row in connection.rows(&details_of(source), numbers).await? {
            let columns = &mut Columns::of(&row);
            let number: i64 = columns.take()?;
            let detail = detail(source, columns)?;
            details.insert((source as i64, number), detail);
        }
    }
    let entries = lines.into_iter().map(|line| AuditEntry {
        detail: details.remove(&(line.record.source as i64, line.record.number)),
        line,
    });
    Ok(entries.collect())
}

/// Returns the query for the number, the cause and the details of rows of a table.
fn details_of(source: AuditSource) -> String {
    match source {
        AuditSource::Token => "SELECT id, surface, address, request_id, on_behalf_of, name, scopes, expires_at
             FROM tokens WHERE id = ANY ($1)"
            .to_owned(),
        AuditSource::Event => format!(
            "SELECT event.sequence, event.surface, event.address, event.request_id, event.on_behalf_of, event.reason,
                event.jti, event.effective_at, {CUT_OFF_COLUMNS}
             FROM revocations AS event {REACH_JOINS} WHERE event.sequence = ANY ($1)"
        ),
        AuditSource::Action => {
            "SELECT id, surface, address, request_id, on_behalf_of, target, before, after, reason
             FROM actions WHERE id = ANY ($1)"
                .to_owned()
        }
    }
}

/// Reads the columns after the number.
fn detail(source: AuditSource, columns: &mut Columns<'_>) -> Result<AuditDetail, Failure> {
    let caused = AuditDetail {
        surface: columns.take()?,
        address: columns.take()?,
        request_id: columns.take()?,
        on_behalf_of: columns.take()?,
        ..AuditDetail::default()
    };
    Ok(match source {
        AuditSource::Token => {
            let name: String = columns.take()?;
            let scopes: String = columns.take()?;
            let expires_at: Option<Timestamp> = columns.take()?;
            let after = audit::issue_values(&name, scopes.split_ascii_whitespace(), expires_at);
            AuditDetail {
                target: Some(name),
                after: Some(after),
                ..caused
            }
        }
        AuditSource::Event => {
            let reason = columns.take()?;
            let jti: Option<Uuid> = columns.take()?;
            let effective_at = columns.take()?;
            let (target, after) = match jti {
                Some(jti) => (Some(jti.to_string()), audit::revocation_values(effective_at)),
                None => (None, audit::cut_off_values(&cut_offs::cut_off(columns)?)),
            };
            AuditDetail {
                target,
                after: Some(after),
                reason,
                ..caused
            }
        }
        AuditSource::Action => AuditDetail {
            target: columns.take()?,
            before: columns.take()?,
            after: columns.take()?,
            reason: columns.take()?,
            ..caused
        },
    })
}
