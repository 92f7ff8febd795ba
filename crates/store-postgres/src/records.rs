//! Reading a token's record from a row.

use std::sync::LazyLock;

use tokio_postgres::Row;
use uuid::Uuid;

use crate::connection::Connection;
use crate::cut_offs::token_kind;
use crate::failure::Failure;
use crate::values::{Columns, Parameter, params};
use jeton_core::clock::Timestamp;
use jeton_core::token::record::RevocationNote;
use jeton_core::token::{Actor, Lineage, ListIndex, NewToken, Owner, Record, Refusals, TokenId};

/// The columns of a record, of [`FROM`].
pub(super) const COLUMNS: &str = "tokens.id, tokens.jti, tokens.session, tokens.name, tokens.description, \
     organizations.public_id, teams.public_id, users.public_id, tokens.slot, tokens.scopes, tokens.preset, \
     tokens.projects, tokens.audience, tokens.prefix, keys.kid, tokens.created_at, tokens.created_by, \
     creators.public_id, tokens.created_by_token, tokens.expires_at, tokens.status_list, tokens.status_index, \
     token_use.last_used_at, token_use.last_used_from, tokens.revoked_at, tokens.effective_at, tokens.revoked_by, \
     tokens.revocation_reason, tokens.rotated_from, \
     (SELECT successors.id FROM tokens AS successors WHERE successors.rotated_from = tokens.id), \
     token_use.refusals, token_use.last_refused_at";

/// The number of those columns.
pub(super) const COUNT: usize = 32;

/// The tables of a record.
pub(super) const FROM: &str = "tokens JOIN keys ON keys.id = tokens.key \
     LEFT JOIN token_use ON token_use.token = tokens.id \
     LEFT JOIN organizations ON organizations.id = tokens.organization \
     LEFT JOIN teams ON teams.id = tokens.team LEFT JOIN users ON users.id = tokens.person \
     LEFT JOIN users AS creators ON creators.id = tokens.created_by_user";

/// The queries for an API token by its number, and by its `jti`. They exclude sessions.
static BY_ID: LazyLock<String> = LazyLock::new(|| select("tokens.id = $1"));
static BY_JTI: LazyLock<String> = LazyLock::new(|| select("tokens.jti = $1"));

fn select(condition: &str) -> String {
    format!("SELECT {COLUMNS} FROM {FROM} WHERE {condition} AND NOT tokens.session")
}

/// Returns the record with this number.
pub(super) async fn by_id(connection: &Connection, id: TokenId) -> Result<Option<Record>, Failure> {
    one(connection, &BY_ID, id.0).await
}

/// Returns the record with this `jti`.
pub(super) async fn by_jti(connection: &Connection, jti: Uuid) -> Result<Option<Record>, Failure> {
    one(connection, &BY_JTI, jti).await
}

async fn one(connection: &Connection, query: &str, value: impl Parameter) -> Result<Option<Record>, Failure> {
    let row = connection.optional(query, params![value]).await?;
    row.as_ref().map(record).transpose()
}

/// Reads [`COLUMNS`].
pub(super) fn record(row: &Row) -> Result<Record, Failure> {
    let columns = &mut Columns::of(row);
    Ok(Record {
        id: TokenId(columns.take()?),
        token: NewToken {
            jti: columns.take()?,
            kind: token_kind(columns.take()?),
            name: columns.take()?,
            description: columns.take()?,
            owner: owner(columns)?,
            slot: columns.take()?,
            scopes: columns.parse(|text| {
                text.split_ascii_whitespace()
                    .map(|scope| scope.parse().ok())
                    .collect()
            })?,
            preset: columns.take()?,
            projects: projects(columns)?,
            audience: columns.parse(|text| serde_json::from_str(text).ok())?,
            prefix: columns.take()?,
            kid: columns.take()?,
            created_at: columns.take()?,
            created_by: Actor {
                name: columns.take()?,
                user: columns.take()?,
            },
            created_by_token: columns.take::<Option<i64>>()?.map(TokenId),
            expires_at: columns.take()?,
        },
        list_index: ListIndex {
            list: columns.take()?,
            index: columns.take()?,
        },
        last_used_at: columns.take()?,
        last_used_from: columns
            .take::<Option<String>>()?
            .and_then(|address| address.parse().ok()),
        revocation: revocation(columns)?,
        lineage: Lineage {
            rotated_from: columns.take::<Option<i64>>()?.map(TokenId),
            replaced_by: columns.take::<Option<i64>>()?.map(TokenId),
        },
        refusals: refusals(columns)?,
    })
}

/// Reads the column `projects`: JSON, or NULL.
fn projects(columns: &mut Columns<'_>) -> Result<Option<Vec<u32>>, Failure> {
    let projects: Option<String> = columns.take()?;
    let parsed = projects.map(|text| serde_json::from_str(&text)).transpose();
    parsed.map_err(|_| Failure::Impossible("the projects of a token are no JSON"))
}

pub(super) fn owner(columns: &mut Columns<'_>) -> Result<Owner, Failure> {
    let organization = columns.take()?;
    let team = columns.take()?;
    let user = columns.take()?;
    Ok(match (organization, team, user) {
        (Some(organization), Some(team), _) => Owner::Team { team, organization },
        (organization, _, Some(user)) => Owner::User { user, organization },
        (Some(organization), None, None) => Owner::Organization(organization),
        (None, _, None) => Owner::Deployment,
    })
}

pub(super) fn revocation(columns: &mut Columns<'_>) -> Result<Option<RevocationNote>, Failure> {
    let revoked_at = columns.take()?;
    let effective_at = columns.take()?;
    let revoked_by = columns.take()?;
    let reason = columns.take()?;
    Ok(match (revoked_at, effective_at, revoked_by) {
        (Some(revoked_at), Some(effective_at), Some(revoked_by)) => Some(RevocationNote {
            revoked_at,
            effective_at,
            revoked_by,
            reason,
        }),
        _ => None,
    })
}

fn refusals(columns: &mut Columns<'_>) -> Result<Option<Refusals>, Failure> {
    let count: Option<u64> = columns.take()?;
    let last_at: Option<Timestamp> = columns.take()?;
    Ok(last_at.map(|last_at| Refusals {
        count: count.unwrap_or_default(),
        last_at,
    }))
}
