//! The columns of a token that a revocation needs, and no more: a bulk revocation reads them for each token.

use std::sync::LazyLock;

use rusqlite::{Connection, OptionalExtension, Row};
use uuid::Uuid;

use crate::failure::Failure;
use crate::records;
use crate::values::{Bytes, Columns, Parameter, params};
use jeton_core::clock::Timestamp;
use jeton_core::token::record::RevocationNote;
use jeton_core::token::{ListIndex, Record, TokenId};

/// The columns for the event in the feed, and the revocation in effect.
pub(super) struct Revocable {
    pub(super) id: TokenId,
    pub(super) jti: Uuid,
    pub(super) list_index: ListIndex,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) revocation: Option<RevocationNote>,
}

pub(super) static BY_ID: LazyLock<String> = LazyLock::new(|| select("id = ?1"));
pub(super) static BY_JTI: LazyLock<String> = LazyLock::new(|| select("jti = ?1"));

pub(super) fn select(condition: &str) -> String {
    format!(
        "SELECT id, jti, status_list, status_index, expires_at, revoked_at, effective_at, revoked_by,
            revocation_reason FROM tokens WHERE {condition}"
    )
}

impl Revocable {
    pub(super) fn by_id(connection: &Connection, id: TokenId) -> Result<Option<Self>, Failure> {
        one(connection, &BY_ID, id.0)
    }

    pub(super) fn by_jti(connection: &Connection, jti: Uuid) -> Result<Option<Self>, Failure> {
        one(connection, &BY_JTI, Bytes(jti))
    }
}

impl From<Record> for Revocable {
    fn from(record: Record) -> Self {
        Self {
            id: record.id,
            jti: record.token.jti,
            list_index: record.list_index,
            expires_at: record.token.expires_at,
            revocation: record.revocation,
        }
    }
}

fn one(connection: &Connection, query: &str, value: impl Parameter) -> Result<Option<Revocable>, Failure> {
    Ok(connection
        .prepare_cached(query)?
        .query_row(params![value], revocable)
        .optional()?)
}

pub(super) fn revocable(row: &Row<'_>) -> rusqlite::Result<Revocable> {
    let columns = &mut Columns::of(row);
    Ok(Revocable {
        id: TokenId(columns.take()?),
        jti: columns.take::<Bytes>()?.0,
        list_index: ListIndex {
            list: columns.take()?,
            index: columns.take()?,
        },
        expires_at: columns.take()?,
        revocation: records::revocation(columns)?,
    })
}
