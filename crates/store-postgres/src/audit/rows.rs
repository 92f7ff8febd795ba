//! The rows that lines seal: their columns, the hash over them, and what a line says about each.

use postgres_types::Type;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::connection::Connection;
use crate::cut_offs::token_kind;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use jeton_core::token::{Actor, TokenId};
use jeton_store::rules::audit;
use jeton_store::{AuditRecord, AuditSource, Fields};

/// A row without a line, with the numbers of its organization and of its actor.
pub(super) struct Unsealed {
    pub(super) record: AuditRecord,
    pub(super) organization: Option<i64>,
    pub(super) actor_user: Option<i64>,
}

/// The immutable columns of each table, those that a line shows first. The order is part of the hash, and the same as
/// in SQLite, so that a chain outlives a move.
const TOKENS: &str = "tokens.id, tokens.created_at, tokens.organization, tokens.created_by, tokens.created_by_user,
    tokens.created_by_token, tokens.session, tokens.rotated_from, tokens.jti, tokens.team, tokens.person, tokens.scopes,
    tokens.preset, tokens.projects, tokens.audience, tokens.prefix, tokens.key, tokens.status_list,
    tokens.status_index, tokens.expires_at, tokens.slot, tokens.surface, tokens.address, tokens.request_id,
    tokens.on_behalf_of";
const EVENTS: &str = "event.sequence, event.recorded_at, event.organization, event.actor, event.actor_user,
    event.actor_token, event.token, event.epoch, event.kind, event.effective_at, event.reason, event.jti,
    event.status_list, event.status_index, event.expires_at, event.team, event.person, event.project, event.kid,
    event.session, event.issued_through_seconds, event.hash, event.surface, event.address, event.request_id,
    event.on_behalf_of";
const ACTIONS: &str = "actions.id, actions.at, actions.organization, actions.actor, actions.actor_user,
    actions.actor_token, actions.token, actions.action, actions.surface, actions.address, actions.request_id,
    actions.on_behalf_of, actions.target, actions.before, actions.after, actions.reason";

/// The columns after these, which are not part of the hash: what else a line says.
const MEANT: &str = "organizations.id, organizations.public_id, users.public_id";

/// Returns the query for the rows of a table after a number, through another.
fn later(source: AuditSource) -> String {
    match source {
        AuditSource::Token => format!(
            "SELECT {TOKENS}, {MEANT} FROM tokens
             LEFT JOIN organizations ON organizations.id = tokens.organization
             LEFT JOIN users ON users.id = tokens.created_by_user
             WHERE tokens.id > $1 AND tokens.id <= $2 ORDER BY tokens.id LIMIT $3"
        ),
        // An event concerns the organization of its token.
        AuditSource::Event => format!(
            "SELECT {EVENTS}, {MEANT}, tokens.session FROM revocations AS event
             LEFT JOIN tokens ON tokens.id = event.token
             LEFT JOIN organizations ON organizations.id
                 = CASE WHEN event.token IS NULL THEN event.organization ELSE tokens.organization END
             LEFT JOIN users ON users.id = event.actor_user
             WHERE event.sequence > $1 AND event.sequence <= $2 ORDER BY event.sequence LIMIT $3"
        ),
        AuditSource::Action => format!(
            "SELECT {ACTIONS}, {MEANT} FROM actions
             LEFT JOIN organizations ON organizations.id = actions.organization
             LEFT JOIN users ON users.id = actions.actor_user
             WHERE actions.id > $1 AND actions.id <= $2 ORDER BY actions.id LIMIT $3"
        ),
    }
}

/// Returns the rows of a table after a number, through another.
pub(super) async fn unsealed(
    connection: &Connection,
    source: AuditSource,
    after: i64,
    through: i64,
    most: usize,
) -> Result<Vec<Unsealed>, Failure> {
    let rows = connection
        .rows(&later(source), params![after, through, most])
        .await?;
    rows.iter().map(|row| read(source, row)).collect()
}

fn read(source: AuditSource, row: &Row) -> Result<Unsealed, Failure> {
    let number = get(row, 0)?;
    let (hashed, domain) = match source {
        AuditSource::Token => (25, "jeton audit token 1"),
        AuditSource::Event => (26, "jeton audit event 1"),
        AuditSource::Action => (16, "jeton audit action 1"),
    };
    let meant = &mut Columns::from(row, hashed);
    let (organization, organization_id, user_id) = (meant.take()?, meant.take()?, meant.take()?);
    let (action, token) = match source {
        AuditSource::Token => {
            let is_successor = get::<Option<i64>>(row, 7)?.is_some();
            let action = audit::issued(token_kind(get(row, 6)?), is_successor);
            (action.into(), Some(number))
        }
        AuditSource::Event => match get(row, 6)? {
            Some(token) => {
                let kind = meant.take::<Option<bool>>()?.map(token_kind);
                (audit::revoked(kind).into(), Some(token))
            }
            None => (audit::CUT_OFF.into(), None),
        },
        AuditSource::Action => (get::<String>(row, 7)?.into(), get(row, 6)?),
    };
    Ok(Unsealed {
        record: AuditRecord {
            at: get(row, 1)?,
            action,
            source,
            number,
            organization: organization_id,
            actor: Actor {
                name: get(row, 3)?,
                user: user_id,
            },
            actor_token: get::<Option<i64>>(row, 5)?.map(TokenId),
            token: token.map(TokenId),
            content: content(domain, row, hashed)?,
        },
        organization,
        actor_user: get(row, 4)?,
    })
}

/// Returns the hash over the first columns of a row.
fn content(domain: &str, row: &Row, columns: usize) -> Result<[u8; 32], Failure> {
    let mut fields = Fields::of(domain);
    for (place, column) in row.columns().iter().enumerate().take(columns) {
        let integer: Option<i64> = match *column.type_() {
            Type::INT8 => row.try_get(place)?,
            Type::BOOL => row.try_get::<_, Option<bool>>(place)?.map(i64::from),
            Type::TEXT => {
                fields.optional(row.try_get(place)?);
                continue;
            }
            Type::BYTEA => {
                bytes(&mut fields, row.try_get(place)?);
                continue;
            }
            Type::UUID => {
                let uuid: Option<Uuid> = row.try_get(place)?;
                bytes(&mut fields, uuid.as_ref().map(|uuid| uuid.as_bytes().as_slice()));
                continue;
            }
            // No table has such a column.
            _ => return Err(Failure::Value(place)),
        };
        match integer {
            Some(value) => fields.integer(value),
            None => fields.nothing(),
        }
    }
    Ok(fields.hash())
}

fn bytes(fields: &mut Fields, value: Option<&[u8]>) {
    match value {
        Some(value) => fields.bytes(value),
        None => fields.nothing(),
    }
}
