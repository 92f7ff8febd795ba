//! The columns of a token that a revocation needs, and no more: a bulk revocation reads them for each token.

use jeton_verifier::event::{Ends, RevokedToken};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use jeton_core::clock::Timestamp;
use jeton_core::token::{ListIndex, TokenId};

/// The columns for the event in the feed.
pub(super) struct Revocable {
    pub(super) id: TokenId,
    pub(super) jti: Uuid,
    pub(super) list_index: ListIndex,
    pub(super) expires_at: Option<Timestamp>,
}

impl Revocable {
    /// Returns what the event of its revocation says.
    pub(super) fn ends(&self) -> Ends {
        Ends::Token(RevokedToken {
            jti: self.jti,
            id: self.id.0,
            status_list: self.list_index.list,
            index: self.list_index.index,
            expires_at: self.expires_at.map(Timestamp::millis),
        })
    }

    /// Returns a token and when it ends by a revocation.
    pub(super) async fn by_jti(
        connection: &Connection,
        jti: Uuid,
    ) -> Result<Option<(Self, Option<Timestamp>)>, Failure> {
        let query =
            "SELECT id, jti, status_list, status_index, expires_at, effective_at FROM tokens WHERE jti = $1";
        let row = connection.optional(query, params![jti]).await?;
        row.map(|row| Ok((revocable(&row)?, get(&row, 5)?))).transpose()
    }

    pub(super) async fn by_id(connection: &Connection, id: TokenId) -> Result<Option<Self>, Failure> {
        let query = "SELECT id, jti, status_list, status_index, expires_at FROM tokens WHERE id = $1";
        let row = connection.optional(query, params![id.0]).await?;
        row.as_ref().map(revocable).transpose()
    }
}

fn revocable(row: &Row) -> Result<Revocable, Failure> {
    let columns = &mut Columns::of(row);
    Ok(Revocable {
        id: TokenId(columns.take()?),
        jti: columns.take()?,
        list_index: ListIndex {
            list: columns.take()?,
            index: columns.take()?,
        },
        expires_at: columns.take()?,
    })
}
