//! The rows that lines seal: their columns, the hash over them, and what a line says about each.

use std::collections::HashMap;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::cut_offs::token_kind;
use crate::failure::Failure;
use crate::values::{Column, get, params};
use jeton_core::directory::{OrganizationId, UserId};
use jeton_core::token::{Actor, TokenId};
use jeton_store::rules::audit;
use jeton_store::{AuditRecord, AuditSource, Fields};

/// A row without a line, with the numbers of its organization and of its actor.
pub(super) struct Unsealed {
    pub(super) record: AuditRecord,
    pub(super) organization: Option<i64>,
    pub(super) actor_user: Option<i64>,
}

/// The immutable columns of each table, those that a line shows first. The order is part of the hash.
const TOKENS: &str = "tokens.id, tokens.created_at, tokens.organization, tokens.created_by, tokens.created_by_user,
    tokens.created_by_token, tokens.session, tokens.rotated_from, tokens.jti, tokens.team, tokens.user, tokens.scopes,
    tokens.preset, tokens.projects, tokens.audience, tokens.prefix, tokens.key, tokens.status_list,
    tokens.status_index, tokens.expires_at, tokens.slot, tokens.surface, tokens.address, tokens.request_id,
    tokens.on_behalf_of";
const EVENTS: &str = "event.sequence, event.recorded_at, event.organization, event.actor, event.actor_user,
    event.actor_token, event.token, event.epoch, event.kind, event.effective_at, event.reason, event.jti,
    event.status_list, event.status_index, event.expires_at, event.team, event.user, event.project, event.kid,
    event.session, event.issued_through_seconds, event.hash, event.surface, event.address, event.request_id,
    event.on_behalf_of";
const ACTIONS: &str = "actions.id, actions.at, actions.organization, actions.actor, actions.actor_user,
    actions.actor_token, actions.token, actions.action, actions.surface, actions.address, actions.request_id,
    actions.on_behalf_of, actions.target, actions.before, actions.after, actions.reason";

/// The numbers of these columns.
const TOKENS_COUNT: usize = 25;
const EVENTS_COUNT: usize = 26;
const ACTIONS_COUNT: usize = 16;

/// Returns the query for rows of a table, without its condition. The columns that are not part of the hash are last.
fn select(source: AuditSource) -> String {
    match source {
        AuditSource::Token => format!("SELECT {TOKENS} FROM tokens WHERE tokens.id"),
        AuditSource::Event => format!(
            "SELECT {EVENTS}, tokens.session, tokens.organization FROM revocations AS event
             LEFT JOIN tokens ON tokens.id = event.token WHERE event.sequence"
        ),
        AuditSource::Action => format!("SELECT {ACTIONS} FROM actions WHERE actions.id"),
    }
}

/// Returns the query for the rows of a table after a number, and for one row.
pub(super) fn later(source: AuditSource) -> String {
    format!("{} > ?1 ORDER BY 1 LIMIT ?2", select(source))
}

fn one(source: AuditSource) -> String {
    format!("{} = ?1", select(source))
}

/// Returns the rows of a table after a number.
pub(super) fn unsealed(
    names: &mut Names<'_>,
    source: AuditSource,
    after: i64,
    most: usize,
) -> Result<Vec<Unsealed>, Failure> {
    let mut query = names.connection.prepare_cached(&later(source))?;
    let mut rows = query.query(params![after, most])?;
    let mut unsealed = Vec::new();
    while let Some(row) = rows.next()? {
        unsealed.push(read(names, source, row)?);
    }
    Ok(unsealed)
}

/// Returns one row; `None` if it is deleted.
pub(super) fn row(
    names: &mut Names<'_>,
    source: AuditSource,
    number: i64,
) -> Result<Option<Unsealed>, Failure> {
    let mut query = names.connection.prepare_cached(&one(source))?;
    let mut rows = query.query(params![number])?;
    match rows.next()? {
        Some(row) => Ok(Some(read(names, source, row)?)),
        None => Ok(None),
    }
}

/// Returns the first row of a table from one number on and before another.
pub(super) fn between(
    connection: &Connection,
    source: AuditSource,
    from: i64,
    before: i64,
) -> rusqlite::Result<Option<i64>> {
    let query = match source {
        AuditSource::Token => "SELECT min(id) FROM tokens WHERE id >= ?1 AND id < ?2",
        AuditSource::Event => "SELECT min(sequence) FROM revocations WHERE sequence >= ?1 AND sequence < ?2",
        AuditSource::Action => "SELECT min(id) FROM actions WHERE id >= ?1 AND id < ?2",
    };
    connection
        .prepare_cached(query)?
        .query_row(params![from, before], |row| get(row, 0))
}

fn read(names: &mut Names<'_>, source: AuditSource, row: &Row<'_>) -> Result<Unsealed, Failure> {
    let number = get(row, 0)?;
    let mut organization: Option<i64> = get(row, 2)?;
    let actor_user: Option<i64> = get(row, 4)?;
    let (action, token, columns) = match source {
        AuditSource::Token => {
            let is_successor = get::<Option<i64>>(row, 7)?.is_some();
            let action = audit::issued(token_kind(get(row, 6)?), is_successor);
            (action.into(), Some(number), TOKENS_COUNT)
        }
        AuditSource::Event => {
            let token: Option<i64> = get(row, 6)?;
            let action = match token {
                Some(_) => {
                    organization = get(row, EVENTS_COUNT + 1)?;
                    audit::revoked(get::<Option<bool>>(row, EVENTS_COUNT)?.map(token_kind))
                }
                None => audit::CUT_OFF,
            };
            (action.into(), token, EVENTS_COUNT)
        }
        AuditSource::Action => (get::<String>(row, 7)?.into(), get(row, 6)?, ACTIONS_COUNT),
    };
    let record = AuditRecord {
        at: get(row, 1)?,
        action,
        source,
        number,
        organization: organization
            .map(|number| names.organization(number))
            .transpose()?
            .flatten(),
        actor: Actor {
            name: get(row, 3)?,
            user: actor_user.map(|number| names.user(number)).transpose()?.flatten(),
        },
        actor_token: get::<Option<i64>>(row, 5)?.map(TokenId),
        token: token.map(TokenId),
        content: content(source, row, columns)?,
    };
    Ok(Unsealed {
        record,
        organization,
        actor_user,
    })
}

/// Returns the hash over the first columns of a row.
fn content(source: AuditSource, row: &Row<'_>, columns: usize) -> Result<[u8; 32], Failure> {
    let mut fields = Fields::of(match source {
        AuditSource::Token => "jeton audit token 1",
        AuditSource::Event => "jeton audit event 1",
        AuditSource::Action => "jeton audit action 1",
    });
    for column in 0..columns {
        match row.get_ref(column)? {
            ValueRef::Null => fields.nothing(),
            ValueRef::Integer(value) => fields.integer(value),
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => fields.text(text),
                Err(_) => fields.bytes(text),
            },
            ValueRef::Blob(bytes) => fields.bytes(bytes),
            // No table has such a column.
            ValueRef::Real(value) => fields.bytes(&value.to_be_bytes()),
        }
    }
    Ok(fields.hash())
}

/// The public ids of organizations and people by their numbers, each read once.
pub(super) struct Names<'a> {
    pub(super) connection: &'a Connection,
    organizations: HashMap<i64, Option<OrganizationId>>,
    users: HashMap<i64, Option<UserId>>,
}

impl<'a> Names<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            organizations: HashMap::new(),
            users: HashMap::new(),
        }
    }

    pub(super) fn organization(&mut self, number: i64) -> rusqlite::Result<Option<OrganizationId>> {
        let query = "SELECT (SELECT public_id FROM organizations WHERE id = ?1)";
        cached(self.connection, &mut self.organizations, query, number)
    }

    pub(super) fn user(&mut self, number: i64) -> rusqlite::Result<Option<UserId>> {
        let query = "SELECT (SELECT public_id FROM users WHERE id = ?1)";
        cached(self.connection, &mut self.users, query, number)
    }
}

fn cached<T: Column + Clone>(
    connection: &Connection,
    known: &mut HashMap<i64, Option<T>>,
    query: &str,
    number: i64,
) -> rusqlite::Result<Option<T>> {
    if let Some(id) = known.get(&number) {
        return Ok(id.clone());
    }
    let id: Option<T> = connection
        .prepare_cached(query)?
        .query_row(params![number], |row| get(row, 0))?;
    known.insert(number, id.clone());
    Ok(id)
}
