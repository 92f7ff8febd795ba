//! The sum over all revoked tokens.
//!
//! The index of revoked tokens decides at a start which of them are refused, and SQLite notices neither a flipped
//! bit in it nor a page of it that is out of date. So each revocation adds its token to a sum in the same
//! transaction, and a start compares the sum with what it has read.

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::{Connection, ErrorCode};
use uuid::Uuid;

use crate::values::{Bytes, get};
use jeton_core::clock::Timestamp;
use jeton_core::token::{ListIndex, TokenId};

/// A sum over revoked tokens: adding one a second time removes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ended(pub(super) [u8; 16]);

/// The token of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) enum Who {
    /// By the number of its record.
    Recorded(TokenId),
    /// By its `jti`: a restore has lost its record.
    Lost(Uuid),
}

impl Ended {
    /// Adds a token that is revoked from an instant on, or removes it. The database's first epoch is the key, so
    /// that entries of another database do not fit.
    pub(super) fn toggle(&mut self, origin: Uuid, who: Who, effective_at: Timestamp, list_index: ListIndex) {
        let subject = match who {
            Who::Recorded(id) => u128::from(id.0.unsigned_abs()),
            Who::Lost(jti) => jti.as_u128(),
        };
        let mut text = [0; 48];
        let parts: [&[u8]; 5] = [
            origin.as_bytes(),
            &subject.to_be_bytes(),
            &effective_at.millis().to_be_bytes(),
            &list_index.list.to_be_bytes(),
            &list_index.index.to_be_bytes(),
        ];
        for (byte, from) in text.iter_mut().zip(parts.into_iter().flatten()) {
            *byte = *from;
        }
        let entry = digest(&SHA256, &text);
        for (byte, from) in self.0.iter_mut().zip(entry.as_ref()) {
            *byte ^= from;
        }
    }
}

/// The source of a sum's recorded tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The index that a start reads.
    Index,
    /// The records themselves.
    Table,
}

impl Source {
    fn table(self) -> &'static str {
        match self {
            Self::Index => "tokens INDEXED BY tokens_revoked",
            Self::Table => "tokens NOT INDEXED",
        }
    }
}

/// Calls `found` with each revoked token, and returns the sum over them.
pub(super) fn scan(
    connection: &Connection,
    source: Source,
    mut found: impl FnMut(ListIndex, Timestamp),
) -> rusqlite::Result<Ended> {
    let origin = connection
        .prepare_cached("SELECT origin FROM meta")?
        .query_row((), |row| get::<Bytes>(row, 0))?
        .0;
    let mut sum = Ended::default();
    let mut query = connection.prepare(&format!(
        "SELECT id, NULL, effective_at, status_list, status_index FROM {} WHERE effective_at IS NOT NULL
         UNION ALL SELECT NULL, jti, effective_at, status_list, status_index FROM lost_tokens",
        source.table()
    ))?;
    let mut rows = query.query(())?;
    while let Some(row) = rows.next()? {
        let who = match get(row, 0)? {
            Some(id) => Who::Recorded(TokenId(id)),
            None => Who::Lost(get::<Bytes>(row, 1)?.0),
        };
        let effective_at = get(row, 2)?;
        let list_index = ListIndex {
            list: get(row, 3)?,
            index: get(row, 4)?,
        };
        sum.toggle(origin, who, effective_at, list_index);
        found(list_index, effective_at);
    }
    Ok(sum)
}

/// Returns whether an error of [`scan`] says that an entry cannot be what was written.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
    ) || error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt)
}

/// Returns the sum that the transactions have kept.
pub(super) fn kept(connection: &Connection) -> rusqlite::Result<Ended> {
    connection
        .prepare_cached("SELECT ended FROM meta")?
        .query_row((), |row| get(row, 0).map(Ended))
}
