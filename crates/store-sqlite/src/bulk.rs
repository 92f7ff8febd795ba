//! Bulk revocations: recording them, and reading them a portion at a time.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::SqliteStore;
use crate::active::{self, OwnerNumbers};
use crate::failure::Failure;
use crate::list::Selection;
use crate::readers::Purpose;
use crate::values::{Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Actor, TokenId};
use jeton_store::{
    BulkId, BulkOrder, BulkPortion, BulkRevocation, BulkRevocations, BulkToken, Generation, Keeper,
    LastToken, Realm, Result, Versions,
};

#[async_trait]
impl BulkRevocations for SqliteStore {
    async fn bulk_revocation(&self, id: BulkId) -> Result<Option<BulkRevocation>> {
        self.readers
            .look_up(move |connection| Ok(by_id(connection, id)?.map(|(bulk, _)| bulk)))
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

    async fn bulk_portion(&self, id: BulkId, limit: u32, now: Timestamp) -> Result<Option<BulkPortion>> {
        // A long read: a filter that matches few of many tokens is slow, and must not delay the writer.
        self.readers
            .read(Purpose::Upkeep, move |connection| {
                portion(connection, id, limit as usize, now)
            })
            .await
    }
}

pub(super) const UNFINISHED: &str = "SELECT id FROM bulk_revocations WHERE finished_at IS NULL ORDER BY id";

/// Records a bulk revocation.
pub(super) fn take_down(
    batch: &mut Batch<'_>,
    order: BulkOrder,
) -> std::result::Result<BulkRevocation, Failure> {
    // There is one writer, so that ids follow the order of commits: these are the tokens recorded until now.
    let through: i64 = batch
        .connection
        .prepare_cached("SELECT coalesce(max(id), 0) FROM tokens")?
        .query_row((), |row| get(row, 0))?;
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
            through,
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
        position: TokenId(0),
        finished_at: None,
    })
}

/// Records the progress of a bulk revocation.
pub(super) fn advance(batch: &Batch<'_>, bulk: &BulkRevocation) -> std::result::Result<(), Failure> {
    batch
        .connection
        .prepare_cached(
            "UPDATE bulk_revocations SET position = ?2, revoked = ?3, finished_at = ?4 WHERE id = ?1",
        )?
        .execute(params![
            bulk.id.0,
            bulk.position.0,
            bulk.revoked,
            bulk.finished_at
        ])?;
    Ok(())
}

/// Returns a bulk revocation, and the last token that was recorded before it.
fn by_id(
    connection: &Connection,
    id: BulkId,
) -> std::result::Result<Option<(BulkRevocation, TokenId)>, Failure> {
    Ok(connection
        .prepare_cached(
            "SELECT bulk.id, bulk.filter, bulk.matched, bulk.ordered_at, bulk.actor, users.public_id,
                bulk.reason, bulk.effective_at, bulk.last_may_go, bulk.revoked, bulk.position, bulk.finished_at,
                bulk.through
             FROM bulk_revocations AS bulk LEFT JOIN users ON users.id = bulk.actor_user WHERE bulk.id = ?1",
        )?
        .query_row(params![id.0], bulk)
        .optional()?)
}

fn bulk(row: &Row<'_>) -> rusqlite::Result<(BulkRevocation, TokenId)> {
    let columns = &mut Columns::of(row);
    let bulk = BulkRevocation {
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
        position: TokenId(columns.take()?),
        finished_at: columns.take()?,
    };
    Ok((bulk, TokenId(columns.take()?)))
}

/// Reads a bulk revocation and its next tokens at one instant.
fn portion(
    connection: &Connection,
    id: BulkId,
    limit: usize,
    now: Timestamp,
) -> std::result::Result<Option<BulkPortion>, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let Some((bulk, through)) = by_id(&transaction, id)? else {
        return Ok(None);
    };
    let matching = match bulk.finished_at {
        None => Selection::when_last_was(&transaction, &bulk.order.filter, through)?.between(
            &transaction,
            bulk.position,
            through,
            limit,
        )?,
        Some(_) => Vec::new(),
    };
    let is_last = matching.len() < limit;
    let mut keeping = (bulk.order.last_token == LastToken::Stays).then(|| Keeping::new(&transaction, now));
    let mut tokens = Vec::new();
    let mut itself = transaction.prepare_cached(ITSELF)?;
    let mut successors = transaction.prepare_cached(SUCCESSORS)?;
    for token in matching {
        let line = itself
            .query_map(params![token.0], |row| bulk_token(row, false))?
            .chain(successors.query_map(params![token.0, through.0, now], |row| bulk_token(row, true))?);
        for token in line {
            let (token, owner) = token?;
            if let Some(keeping) = &mut keeping {
                keeping.add(token.id, owner)?;
            }
            tokens.push(token);
        }
    }
    let (keepers, versions) = match keeping {
        Some(keeping) => keeping.finish()?,
        None => Default::default(),
    };
    Ok(Some(BulkPortion {
        bulk,
        tokens,
        is_last,
        keepers,
        versions,
    }))
}

/// Selects a token with the columns that [`bulk_token`] reads.
const ITSELF: &str = "SELECT id, effective_at, organization, team, user FROM tokens WHERE id = ?1";

/// Selects a token's successors that were recorded since the bulk revocation and are not revoked yet. A lineage
/// may be long; at most two of its tokens are alive. `CROSS JOIN` keeps SQLite from scanning all tokens and
/// looking each up in the lineage.
pub(super) const SUCCESSORS: &str = "WITH RECURSIVE line (id) AS (
         SELECT id FROM tokens WHERE rotated_from = ?1 AND id > ?2
         UNION ALL SELECT tokens.id FROM line CROSS JOIN tokens ON tokens.rotated_from = line.id)
     SELECT tokens.id, tokens.effective_at, tokens.organization, tokens.team, tokens.user
     FROM line CROSS JOIN tokens ON tokens.id = line.id
     WHERE tokens.effective_at IS NULL OR tokens.effective_at > ?3";

fn bulk_token(row: &Row<'_>, is_successor: bool) -> rusqlite::Result<(BulkToken, OwnerNumbers)> {
    let columns = &mut Columns::of(row);
    let token = BulkToken {
        id: TokenId(columns.take()?),
        effective_at: columns.take()?,
        is_successor,
    };
    let owner = OwnerNumbers {
        organization: columns.take()?,
        team: columns.take()?,
        user: columns.take()?,
    };
    Ok((token, owner))
}

/// The owners whose organizations keep their last active tokens.
struct Keeping<'a> {
    connection: &'a Connection,
    now: Timestamp,
    /// Whether an organization keeps them, by its row number.
    organizations: HashMap<i64, bool>,
    versions: Versions,
    owners: HashMap<OwnerNumbers, Keeper>,
}

impl<'a> Keeping<'a> {
    fn new(connection: &'a Connection, now: Timestamp) -> Self {
        Self {
            connection,
            now,
            organizations: HashMap::new(),
            versions: Versions::default(),
            owners: HashMap::new(),
        }
    }

    fn add(&mut self, token: TokenId, owner: OwnerNumbers) -> std::result::Result<(), Failure> {
        let Some(organization) = owner.organization else {
            return Ok(());
        };
        let keeps = match self.organizations.get(&organization) {
            Some(keeps) => *keeps,
            None => self.read(organization)?,
        };
        if keeps && active::is_standing(self.connection, token, self.now)? {
            self.owners.entry(owner).or_default().active.push(token);
        }
        Ok(())
    }

    /// Returns whether an organization keeps them. A removed organization has no active tokens.
    fn read(&mut self, organization: i64) -> std::result::Result<bool, Failure> {
        let read = self
            .connection
            .prepare_cached(
                "SELECT public_id, generation, coalesce(json_extract(policy, '$.keep_last_token'), 0)
                 FROM organizations WHERE id = ?1 AND deleted_at IS NULL",
            )?
            .query_row(params![organization], |row| {
                let realm = Realm::Organization(get(row, 0)?);
                Ok(((realm, Generation(get(row, 1)?)), get(row, 2)?))
            })
            .optional()?;
        let keeps = read.is_some_and(|(version, keeps)| {
            self.versions.0.push(version);
            keeps
        });
        self.organizations.insert(organization, keeps);
        Ok(keeps)
    }

    /// Finds another active token of each owner.
    fn finish(self) -> std::result::Result<(Vec<Keeper>, Versions), Failure> {
        let mut keepers = Vec::new();
        for (owner, mut keeper) in self.owners {
            let mut query = self.connection.prepare_cached(&active::active(owner))?;
            let numbers = params![owner.organization, owner.team, owner.user, self.now, active::EVER];
            let mut rows = query.query(numbers)?;
            let active: HashSet<TokenId> = keeper.active.iter().copied().collect();
            while let Some(row) = rows.next()? {
                let token = TokenId(get(row, 0)?);
                if !active.contains(&token) {
                    keeper.other = Some(token);
                    break;
                }
            }
            keepers.push(keeper);
        }
        Ok((keepers, self.versions))
    }
}
