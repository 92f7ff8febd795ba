//! Revoking many tokens, a portion at a time.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::SqliteStore;
use crate::active::is_kept;
use crate::failure::Failure;
use crate::list::Selection;
use crate::revocable::Revocable;
use crate::values::{Columns, get, params};
use crate::writer::{Batch, Undo};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Actor, TokenId};
use jeton_store::rules::bulk as rules;
use jeton_store::{BulkId, BulkOrder, BulkRevocation, BulkRevocations, LastToken, Result};

/// How many tokens are revoked in one transaction. A thousand take about 40 ms, and whoever writes
/// meanwhile waits for one portion at most.
const PORTION: usize = 500;

#[async_trait]
impl BulkRevocations for SqliteStore {
    async fn bulk_revocation(&self, id: BulkId) -> Result<Option<BulkRevocation>> {
        self.readers
            .look_up(move |connection| by_id(connection, id))
            .await
    }

    async fn unfinished_bulk_revocations(&self) -> Result<Vec<BulkId>> {
        self.readers
            .look_up(|connection| {
                let mut query = connection.prepare_cached(UNFINISHED)?;
                let rows = query.query_map((), |row| get(row, 0).map(BulkId))?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            })
            .await
    }

    async fn continue_bulk_revocation(&self, id: BulkId, now: Timestamp) -> Result<Option<BulkRevocation>> {
        // A filter that matches few of many is slow to find them, which must hold up no writer.
        let found = self
            .readers
            .read(move |connection| next_portion(connection, id))
            .await?;
        match found {
            Some((bulk, portion)) if bulk.finished_at.is_none() => {
                self.writer
                    .run(Undo::Savepoint, move |batch| advance(batch, bulk, portion, now))
                    .await
            }
            found => Ok(found.map(|(bulk, _)| bulk)),
        }
    }
}

pub(super) const UNFINISHED: &str = "SELECT id FROM bulk_revocations WHERE finished_at IS NULL ORDER BY id";

/// Takes an order down.
pub(super) fn take_down(
    batch: &mut Batch<'_>,
    order: BulkOrder,
) -> std::result::Result<BulkRevocation, Failure> {
    let through = batch
        .connection
        .prepare_cached("SELECT coalesce(max(id), 0) FROM tokens")?
        .query_row((), |row| get(row, 0).map(TokenId))?;
    let actor_user = batch.actor_number(&order.ordered_by)?;
    let id = batch
        .connection
        .prepare_cached(
            "INSERT INTO bulk_revocations (filter, through, position, matched, revoked, ordered_at, actor,
                actor_user, reason, effective_at, last_may_go)
             VALUES (?1, ?2, 0, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .insert(params![
            order.filter,
            through.0,
            order.matched,
            order.ordered_at,
            order.ordered_by.name,
            actor_user,
            order.reason,
            order.effective_at,
            order.last_token == LastToken::MayGo,
        ])?;
    Ok(BulkRevocation {
        id: BulkId(id),
        order,
        revoked: 0,
        through,
        position: TokenId(0),
        finished_at: None,
    })
}

fn by_id(connection: &Connection, id: BulkId) -> std::result::Result<Option<BulkRevocation>, Failure> {
    Ok(connection
        .prepare_cached(
            "SELECT bulk.id, bulk.filter, bulk.matched, bulk.ordered_at, bulk.actor, users.public_id,
                bulk.reason, bulk.effective_at, bulk.last_may_go, bulk.revoked, bulk.through, bulk.position, bulk.finished_at
             FROM bulk_revocations AS bulk LEFT JOIN users ON users.id = bulk.actor_user WHERE bulk.id = ?1",
        )?
        .query_row(params![id.0], bulk)
        .optional()?)
}

fn bulk(row: &Row<'_>) -> rusqlite::Result<BulkRevocation> {
    let columns = &mut Columns::of(row);
    Ok(BulkRevocation {
        id: BulkId(columns.take()?),
        order: BulkOrder {
            filter: columns.take()?,
            matched: columns.take()?,
            ordered_at: columns.take()?,
            ordered_by: Actor {
                name: columns.take()?,
                user: columns.take()?,
            },
            reason: columns.take()?,
            effective_at: columns.take()?,
            last_token: match columns.take()? {
                true => LastToken::MayGo,
                false => LastToken::Stays,
            },
        },
        revoked: columns.take()?,
        through: TokenId(columns.take()?),
        position: TokenId(columns.take()?),
        finished_at: columns.take()?,
    })
}

/// An order and the next tokens that it is about.
fn next_portion(
    connection: &Connection,
    id: BulkId,
) -> std::result::Result<Option<(BulkRevocation, Vec<TokenId>)>, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let Some(bulk) = by_id(&transaction, id)? else {
        return Ok(None);
    };
    let selection = Selection::when_last_was(&transaction, &bulk.order.filter, bulk.through)?;
    let portion = selection.between(&transaction, bulk.position, bulk.through, PORTION)?;
    Ok(Some((bulk, portion)))
}

/// Revokes a portion and notes that it is done, both or neither.
fn advance(
    batch: &mut Batch<'_>,
    mut bulk: BulkRevocation,
    portion: Vec<TokenId>,
    now: Timestamp,
) -> std::result::Result<Option<BulkRevocation>, Failure> {
    let is_last = portion.len() < PORTION;
    let position = portion
        .last()
        .filter(|_| !is_last)
        .map_or(bulk.through, |last| *last);
    let moved = batch
        .connection
        .prepare_cached(
            "UPDATE bulk_revocations SET position = ?3, finished_at = ?4
             WHERE id = ?1 AND position = ?2 AND finished_at IS NULL",
        )?
        .execute(params![
            bulk.id.0,
            bulk.position.0,
            position.0,
            is_last.then_some(now)
        ])?;
    if moved == 0 {
        // Somebody else has done this portion since it was looked up.
        return by_id(batch.connection, bulk.id);
    }
    for token in portion {
        // Whoever holds a token can rotate it between the order and its turn.
        for token in std::iter::once(token).chain(successors(batch.connection, &bulk, token, now)?) {
            bulk.revoked += u64::from(revoke(batch, &bulk, token, now)?);
        }
    }
    bulk.position = position;
    bulk.finished_at = is_last.then_some(now);
    batch
        .connection
        .prepare_cached("UPDATE bulk_revocations SET revoked = ?2 WHERE id = ?1")?
        .execute(params![bulk.id.0, bulk.revoked])?;
    Ok(Some(bulk))
}

/// Revokes a token, unless an earlier revocation stands or it is the last one that its owner keeps.
fn revoke(
    batch: &mut Batch<'_>,
    bulk: &BulkRevocation,
    token: TokenId,
    now: Timestamp,
) -> std::result::Result<bool, Failure> {
    let connection = batch.connection;
    let Some(token) = Revocable::by_id(connection, token)? else {
        return Ok(false);
    };
    let is_kept = || is_kept(connection, token.id, now);
    let revocation = rules::revocation(&bulk.order, token.revocation.as_ref(), is_kept, now)?;
    if let Some(revocation) = &revocation {
        batch.revoke(&token, revocation)?;
    }
    Ok(revocation.is_some())
}

/// What lives of the line of tokens that took over from one since the order, where those are meant too.
fn successors(
    connection: &Connection,
    bulk: &BulkRevocation,
    TokenId(token): TokenId,
    now: Timestamp,
) -> std::result::Result<Vec<TokenId>, Failure> {
    if !rules::follows_successors(&bulk.order) {
        return Ok(Vec::new());
    }
    let mut query = connection.prepare_cached(SUCCESSORS)?;
    let rows = query.query_map(params![token, bulk.through.0, now], |row| {
        get(row, 0).map(TokenId)
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The line may be long; of it at most two are alive. The crosses keep SQLite from going through all tokens
/// and looking each up in the line.
pub(super) const SUCCESSORS: &str = "WITH RECURSIVE line (id) AS (
         SELECT id FROM tokens WHERE rotated_from = ?1 AND id > ?2
         UNION ALL SELECT tokens.id FROM line CROSS JOIN tokens ON tokens.rotated_from = line.id)
     SELECT tokens.id FROM line CROSS JOIN tokens ON tokens.id = line.id
     WHERE tokens.effective_at IS NULL OR tokens.effective_at > ?3";
