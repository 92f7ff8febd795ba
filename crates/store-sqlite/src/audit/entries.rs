//! Reading lines: pages by a filter, and those after a line.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::BLOCK;
use crate::cut_offs::{self, CUT_OFF_COLUMNS, REACH_JOINS};
use crate::failure::Failure;
use crate::values::{Bytes, Columns, get, params};
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
pub(super) fn line(row: &Row<'_>) -> rusqlite::Result<AuditLine> {
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
            source: source.ok_or(rusqlite::Error::IntegralValueOutOfRange(3, -1))?,
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

/// Returns the lines after a number.
pub(crate) fn lines_after(
    connection: &Connection,
    after: u64,
    most: usize,
) -> rusqlite::Result<Vec<AuditLine>> {
    connection
        .prepare_cached(&later())?
        .query_map(params![after, most], line)?
        .collect()
}

/// Returns the query for lines after a number.
pub(super) fn later() -> String {
    format!("SELECT {COLUMNS} FROM {FROM} WHERE line.sequence > ?1 ORDER BY line.sequence LIMIT ?2")
}

fn position(columns: &mut Columns<'_>) -> rusqlite::Result<AuditHead> {
    Ok(AuditHead {
        sequence: columns.take()?,
        hash: columns.take()?,
    })
}

/// Reads size, hash, instant, key and note.
pub(super) fn checkpoint(row: &Row<'_>) -> rusqlite::Result<Checkpoint> {
    let columns = &mut Columns::of(row);
    Ok(Checkpoint {
        head: position(columns)?,
        signed_at: columns.take()?,
        kid: columns.take()?,
        note: columns.take()?,
    })
}

/// The text in the details of a line's record. A `jti` is not searched: the text of a UUID is stored nowhere.
const IN_DETAILS: &str = "(SELECT coalesce(lower(tokens.name), '') FROM tokens
         WHERE line.source = 0 AND tokens.id = line.number
     UNION ALL SELECT coalesce(lower(event.reason), '') FROM revocations AS event
         WHERE line.source = 1 AND event.sequence = line.number
     UNION ALL SELECT coalesce(lower(actions.target), '') || char(10) || coalesce(lower(actions.reason), '')
         FROM actions WHERE line.source = 2 AND actions.id = line.number)";

/// The conditions of a query, with the values of their parameters.
struct Conditions {
    conditions: Vec<String>,
    parameters: Vec<Value>,
}

impl Conditions {
    /// Adds a condition, in which `?` stands for a value.
    fn add(&mut self, condition: &str, value: Value) {
        self.parameters.push(value);
        let number = format!("?{}", self.parameters.len());
        self.conditions.push(condition.replace('?', &number));
    }

    /// Adds the conditions of lines from an instant on and before another. The blocks with such lines bound the lines
    /// that are read.
    fn between(&mut self, from: i64, before: i64) {
        let first = self.parameters.len() + 1;
        let second = first + 1;
        self.parameters.extend([from, before].map(Value::Integer));
        let blocks =
            format!("audit_instants WHERE latest >= ?{first} AND earliest < ?{second} ORDER BY block");
        self.conditions.extend([
            format!("line.at >= ?{first} AND line.at < ?{second}"),
            format!("line.sequence >= (SELECT block * {BLOCK} FROM {blocks} LIMIT 1)"),
            format!("line.sequence < (SELECT (block + 1) * {BLOCK} FROM {blocks} DESC LIMIT 1)"),
        ]);
    }

    /// Returns the conditions of a filter.
    fn of(filter: &AuditFilter) -> Self {
        let mut all = Self {
            conditions: vec!["1".to_owned()],
            parameters: Vec::new(),
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
                Value::Blob(organization.0.as_bytes().to_vec()),
            );
        }
        if let Some(actor) = actor {
            all.add(
                "(line.actor = ? OR users.public_id = ?)",
                Value::Text(actor.clone()),
            );
        }
        if let Some(token) = token {
            all.add("line.token = ?", Value::Integer(token.0));
        }
        if let Some(action) = action {
            all.add("line.action = ?", Value::Text(action.clone()));
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
                    "(instr(lower(line.action), ?) OR instr(lower(line.actor), ?) OR instr({IN_DETAILS}, ?))"
                ),
                Value::Text(text.to_ascii_lowercase()),
            );
        }
        all
    }
}

/// Returns the query of a page, and its parameters.
pub(super) fn statement(filter: &AuditFilter, page: AuditPage) -> (String, Vec<Value>) {
    let mut wanted = Conditions::of(filter);
    let integer = |number: u64| Value::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let direction = match page.order {
        AuditOrder::NewestFirst => {
            if let Some(after) = page.after {
                wanted.add("line.sequence < ?", integer(after));
            }
            "DESC"
        }
        AuditOrder::OldestFirst => {
            if let Some(after) = page.after {
                wanted.add("line.sequence > ?", integer(after));
            }
            "ASC"
        }
    };
    let Conditions {
        conditions,
        mut parameters,
    } = wanted;
    parameters.push(Value::Integer(i64::from(page.limit) + 1));
    parameters.push(integer(page.skip));
    let query = format!(
        "SELECT {COLUMNS} FROM {FROM} WHERE {} ORDER BY line.sequence {direction} LIMIT ?{} OFFSET ?{}",
        conditions.join(" AND "),
        parameters.len() - 1,
        parameters.len()
    );
    (query, parameters)
}

/// Returns the query of a count, and its parameters.
pub(super) fn counting(filter: &AuditFilter) -> (String, Vec<Value>) {
    let Conditions {
        conditions,
        parameters,
    } = Conditions::of(filter);
    let query = format!("SELECT count(*) FROM {FROM} WHERE {}", conditions.join(" AND "));
    (query, parameters)
}

/// Returns how many lines match a filter.
pub(super) fn count(connection: &Connection, filter: &AuditFilter) -> Result<u64, Failure> {
    let (query, parameters) = counting(filter);
    let mut query = connection.prepare_cached(&query)?;
    Ok(query.query_row(params_from_iter(parameters), |row| get(row, 0))?)
}

/// Returns a page of lines with their details.
pub(super) fn page(
    connection: &Connection,
    filter: &AuditFilter,
    page: AuditPage,
) -> Result<AuditListing, Failure> {
    let (query, parameters) = statement(filter, page);
    let mut query = connection.prepare_cached(&query)?;
    let lines = query.query_map(params_from_iter(parameters), line)?;
    let mut lines: Vec<AuditLine> = lines.collect::<rusqlite::Result<_>>()?;
    let limit = page.limit as usize;
    let has_more = lines.len() > limit;
    lines.truncate(limit);
    Ok(AuditListing {
        entries: with_details(connection, lines)?,
        has_more,
    })
}

/// Returns the query for lines after a number that concern an organization.
pub(super) fn later_of_organization() -> String {
    format!(
        "SELECT {COLUMNS} FROM {FROM} WHERE line.sequence > ?1
            AND line.organization = (SELECT id FROM organizations WHERE public_id = ?3)
         ORDER BY line.sequence LIMIT ?2"
    )
}

/// Returns the lines after a position.
pub(super) fn since(
    connection: &Connection,
    organization: Option<OrganizationId>,
    after: &AuditPosition,
    most: u32,
) -> Result<AuditSince, Failure> {
    let sequence = after.sequence;
    let (head, pruned, hash) = connection
        .prepare_cached(
            "SELECT audit_sequence, audit_hash, audit_pruned_through, audit_pruned_hash,
                (SELECT hash FROM audit WHERE sequence = ?1)
             FROM meta",
        )?
        .query_row(params![sequence], |row| {
            let columns = &mut Columns::of(row);
            let head = position(columns)?;
            Ok((head, position(columns)?, columns.take::<Option<[u8; 32]>>()?))
        })?;
    if sequence < pruned.sequence {
        return Ok(AuditSince::Pruned);
    }
    let kept = hash.map(|hash| AuditHead { sequence, hash });
    let known = kept.or(Some(pruned).filter(|last| last.sequence == sequence));
    if !known.is_some_and(|known| after.is(known)) {
        return Ok(AuditSince::Ahead);
    }
    let lines: Vec<AuditLine> = match organization {
        None => connection
            .prepare_cached(&later())?
            .query_map(params![sequence, most], line)?
            .collect::<rusqlite::Result<_>>()?,
        Some(organization) => connection
            .prepare_cached(&later_of_organization())?
            .query_map(params![sequence, most, organization], line)?
            .collect::<rusqlite::Result<_>>()?,
    };
    Ok(AuditSince::of(with_details(connection, lines)?, head, most))
}

fn with_details(connection: &Connection, lines: Vec<AuditLine>) -> Result<Vec<AuditEntry>, Failure> {
    let mut token = connection.prepare_cached(
        "SELECT surface, address, request_id, on_behalf_of, name, scopes, expires_at FROM tokens WHERE id = ?1",
    )?;
    let mut event = connection.prepare_cached(&format!(
        "SELECT event.surface, event.address, event.request_id, event.on_behalf_of, event.reason, event.jti,
            {CUT_OFF_COLUMNS}
         FROM revocations AS event {REACH_JOINS} WHERE event.sequence = ?1"
    ))?;
    let mut action = connection.prepare_cached(
        "SELECT surface, address, request_id, on_behalf_of, target, before, after, reason FROM actions WHERE id = ?1",
    )?;
    let mut entries = Vec::with_capacity(lines.len());
    for line in lines {
        let number = params![line.record.number];
        let detail = match line.record.source {
            AuditSource::Token => token.query_row(number, of_token),
            AuditSource::Event => event.query_row(number, of_event),
            AuditSource::Action => action.query_row(number, of_action),
        };
        entries.push(AuditEntry {
            detail: detail.optional()?,
            line,
        });
    }
    Ok(entries)
}

/// Reads the columns of the cause.
fn caused(columns: &mut Columns<'_>) -> rusqlite::Result<AuditDetail> {
    Ok(AuditDetail {
        surface: columns.take()?,
        address: columns.take()?,
        request_id: columns.take()?,
        on_behalf_of: columns.take()?,
        ..AuditDetail::default()
    })
}

fn of_token(row: &Row<'_>) -> rusqlite::Result<AuditDetail> {
    let columns = &mut Columns::of(row);
    let detail = caused(columns)?;
    let name: String = columns.take()?;
    let scopes: String = columns.take()?;
    let expires_at: Option<Timestamp> = columns.take()?;
    Ok(AuditDetail {
        after: Some(audit::issue_values(
            &name,
            scopes.split_ascii_whitespace(),
            expires_at,
        )),
        target: Some(name),
        ..detail
    })
}

fn of_event(row: &Row<'_>) -> rusqlite::Result<AuditDetail> {
    let columns = &mut Columns::of(row);
    let detail = caused(columns)?;
    let reason = columns.take()?;
    let jti: Option<Bytes> = columns.take()?;
    let (target, after) = match jti {
        Some(jti) => {
            let effective_at = get(row, "effective_at")?;
            (Some(jti.0.to_string()), audit::revocation_values(effective_at))
        }
        None => (None, audit::cut_off_values(&cut_offs::cut_off(columns)?)),
    };
    Ok(AuditDetail {
        target,
        after: Some(after),
        reason,
        ..detail
    })
}

fn of_action(row: &Row<'_>) -> rusqlite::Result<AuditDetail> {
    let columns = &mut Columns::of(row);
    let detail = caused(columns)?;
    Ok(AuditDetail {
        target: columns.take()?,
        before: columns.take()?,
        after: columns.take()?,
        reason: columns.take()?,
        ..detail
    })
}
