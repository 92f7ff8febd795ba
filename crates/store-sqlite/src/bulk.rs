//! Bulk revocations: recording them, and reading them a portion at a time.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};

use crate::SqliteStore;
use crate::active::{self, OwnerNumbers};
use crate::cut_offs::uncut;
use crate::failure::Failure;
use crate::list::Selection;
use crate::readers::{Purpose, Tenant};
use crate::records;
use crate::values::{Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::token::filter::Remit;
use jeton_core::token::{Actor, Filter, TokenId};
use jeton_store::{
    BulkAdvance, BulkId, BulkOrder, BulkPortion, BulkProgress, BulkRevocation, BulkRevocations, BulkToken,
    Covers, Generation, Keeper, LastToken, Realm, Result, Versions, WithDescendants,
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

    async fn count_descendants(
        &self,
        filter: Filter,
        remit: Remit,
        now: Timestamp,
    ) -> Result<WithDescendants> {
        self.readers
            .read(Purpose::Listing(Tenant::from(&filter)), move |connection| {
                count_descendants(connection, &filter, &remit, now)
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
                actor_user, reason, effective_at, last_may_go, remit)
             VALUES (?1, ?2, 0, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
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
            order.descendants,
        ])?;
    Ok(BulkRevocation {
        id: BulkId(id),
        order,
        revoked: 0,
        left: 0,
        progress: BulkProgress::default(),
        finished_at: None,
    })
}

/// Records the progress of a bulk revocation.
pub(super) fn advance(batch: &Batch<'_>, advance: &BulkAdvance) -> std::result::Result<(), Failure> {
    let bulk = &advance.bulk;
    batch
        .connection
        .prepare_cached(
            "UPDATE bulk_revocations SET position = ?2, revoked = ?3, finished_at = ?4, left_over = ?5, child = ?6,
                portions = ?7 WHERE id = ?1",
        )?
        .execute(params![
            bulk.id.0,
            bulk.progress.position.0,
            bulk.revoked,
            bulk.finished_at,
            bulk.left,
            bulk.progress.child.0,
            bulk.progress.portions,
        ])?;
    for (statement, tokens) in [
        (
            "INSERT INTO bulk_members (bulk, token, expanded) VALUES (?1, ?2, 0) ON CONFLICT DO NOTHING",
            &advance.parents,
        ),
        (
            "UPDATE bulk_members SET expanded = 1 WHERE bulk = ?1 AND token = ?2",
            &advance.expanded,
        ),
        (
            "DELETE FROM bulk_members WHERE bulk = ?1 AND token = ?2",
            &advance.forgotten,
        ),
    ] {
        let mut statement = batch.connection.prepare_cached(statement)?;
        for token in tokens {
            statement.execute(params![bulk.id.0, token.0])?;
        }
    }
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
                bulk.reason, bulk.effective_at, bulk.last_may_go, bulk.remit, bulk.revoked, bulk.left_over,
                bulk.position, bulk.child, bulk.portions, bulk.finished_at, bulk.through
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
            descendants: columns.take()?,
        },
        revoked: columns.take()?,
        left: columns.take()?,
        progress: BulkProgress {
            position: TokenId(columns.take()?),
            child: TokenId(columns.take()?),
            portions: columns.take()?,
        },
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
    let keeping = (bulk.order.last_token == LastToken::Stays).then(|| Keeping::new(&transaction, now));
    let mut reading = Reading {
        connection: &transaction,
        now,
        keeping,
        portion: BulkPortion {
            next: bulk.progress,
            bulk,
            tokens: Vec::new(),
            is_last: true,
            expanded: Vec::new(),
            forgotten: Vec::new(),
            keepers: Vec::new(),
            versions: Versions::default(),
        },
    };
    let portion = &reading.portion;
    let has_descendants = portion.bulk.order.descendants.is_some();
    if portion.bulk.finished_at.is_some() {
        return Ok(Some(reading.portion));
    }
    if !has_descendants || portion.next.position < through {
        reading.matches(through, limit)?;
    } else {
        reading.descendants(limit)?;
    }
    reading.finish().map(Some)
}

/// How many expanded tokens are forgotten for each that a portion may revoke: only a row is deleted. With portions of 250,
/// as many rows as retention deletes at a time.
const FORGOTTEN: usize = 2;

/// A portion that is being read.
struct Reading<'a> {
    connection: &'a Connection,
    now: Timestamp,
    keeping: Option<Keeping<'a>>,
    portion: BulkPortion,
}

impl Reading<'_> {
    /// Reads the next matches, each with its successors unless all descendants follow later.
    fn matches(&mut self, through: TokenId, limit: usize) -> std::result::Result<(), Failure> {
        let order = &self.portion.bulk.order;
        let has_descendants = order.descendants.is_some();
        let position = self.portion.next.position;
        let matching = Selection::when_last_was(self.connection, &order.filter, through)?.between(
            self.connection,
            position,
            through,
            limit,
        )?;
        let is_last = matching.len() < limit;
        self.portion.next.position = match matching.last() {
            _ if is_last => through.max(position),
            Some(last) => *last,
            None => position,
        };
        self.portion.is_last = is_last && !has_descendants;
        let mut itself = self.connection.prepare_cached(ITSELF)?;
        let mut successors = self.connection.prepare_cached(SUCCESSORS)?;
        for token in matching {
            let itself = itself.query_map(params![token.0], |row| bulk_token(row, Covers::Match))?;
            for token in itself {
                self.add(token?)?;
            }
            if has_descendants {
                continue;
            }
            let line = successors.query_map(params![token.0, through.0, self.now], |row| {
                bulk_token(row, Covers::Successor)
            })?;
            for token in line {
                self.add(token?)?;
            }
        }
        Ok(())
    }

    /// Reads the next children of the tokens whose children are not all processed.
    fn descendants(&mut self, limit: usize) -> std::result::Result<(), Failure> {
        let id = self.portion.bulk.id;
        let parents = self.members(PARENTS, limit)?;
        self.portion.is_last = false;
        if parents.is_empty() {
            let most = limit.saturating_mul(FORGOTTEN);
            self.portion.forgotten = self.members(MEMBERS, most)?;
            self.portion.is_last = self.portion.forgotten.len() < most;
            return Ok(());
        }
        let active = descendant();
        let mut children = self.connection.prepare_cached(CHILDREN)?;
        let mut is_member = self.connection.prepare_cached(IS_MEMBER)?;
        let mut descendant = self.connection.prepare_cached(&active)?;
        let (mut processed, mut after) = (HashSet::new(), self.portion.next.child);
        let mut room = limit;
        for parent in parents {
            let found: Vec<TokenId> = children
                .query_map(params![parent.0, after.0, room as u64], |row| {
                    get(row, 0).map(TokenId)
                })?
                .collect::<rusqlite::Result<_>>()?;
            let is_complete = found.len() < room;
            // Only the first parent may be left in part: members added by this portion can have lower numbers than a
            // later one, and `child` would be applied to them.
            if !is_complete && !self.portion.expanded.is_empty() {
                break;
            }
            room -= found.len();
            self.portion.next.child = match found.last() {
                Some(last) if !is_complete => *last,
                _ => TokenId(0),
            };
            for child in found {
                if processed.insert(child)
                    && !is_member.query_row(params![id.0, child.0], |row| get(row, 0))?
                {
                    let child = descendant.query_row(params![child.0, self.now], descendant_token)?;
                    self.add(child)?;
                }
            }
            if !is_complete {
                break;
            }
            self.portion.expanded.push(parent);
            after = TokenId(0);
        }
        Ok(())
    }

    fn members(&self, query: &str, limit: usize) -> std::result::Result<Vec<TokenId>, Failure> {
        let mut query = self.connection.prepare_cached(query)?;
        let rows = query.query_map(params![self.portion.bulk.id.0, limit as u64], |row| {
            get(row, 0).map(TokenId)
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    fn add(&mut self, (token, owner): (BulkToken, OwnerNumbers)) -> std::result::Result<(), Failure> {
        if let Some(keeping) = &mut self.keeping {
            keeping.add(token.id, owner)?;
        }
        self.portion.tokens.push(token);
        Ok(())
    }

    fn finish(self) -> std::result::Result<BulkPortion, Failure> {
        let (keepers, versions) = match self.keeping {
            Some(keeping) => keeping.finish()?,
            None => Default::default(),
        };
        Ok(BulkPortion {
            keepers,
            versions,
            ..self.portion
        })
    }
}

/// Selects the tokens of a bulk revocation whose children are not all processed.
pub(super) const PARENTS: &str = "SELECT token FROM bulk_members INDEXED BY bulk_parents
     WHERE bulk = ?1 AND expanded = 0 ORDER BY token LIMIT ?2";

/// Selects all tokens that a bulk revocation remembers.
pub(super) const MEMBERS: &str = "SELECT token FROM bulk_members WHERE bulk = ?1 ORDER BY token LIMIT ?2";

const IS_MEMBER: &str = "SELECT EXISTS (SELECT 1 FROM bulk_members WHERE bulk = ?1 AND token = ?2)";

/// Selects the tokens that a token has created or was rotated into, after one of them.
pub(super) const CHILDREN: &str = "SELECT id FROM tokens INDEXED BY tokens_by_maker
         WHERE created_by_token = ?1 AND id > ?2
     UNION SELECT id FROM tokens INDEXED BY one_successor WHERE rotated_from = ?1 AND id > ?2
     ORDER BY id LIMIT ?3";

/// Returns a condition on `tokens`: the token is active at an instant, given as SQL.
fn is_active(instant: &str) -> String {
    format!(
        "(tokens.expires_at / 1000 <= {instant} / 1000) IS NOT TRUE
         AND (tokens.effective_at IS NULL OR tokens.effective_at > {instant}) AND {}",
        uncut(instant)
    )
}

/// Returns the query of a descendant with the columns that [`descendant_token`] reads.
fn descendant() -> String {
    format!(
        "SELECT tokens.id, tokens.effective_at, tokens.organization, tokens.team, tokens.user, {},
             organizations.public_id, teams.public_id, users.public_id
         FROM tokens {OWNERS} WHERE tokens.id = ?1",
        is_active("?2")
    )
}

/// The joins for the public ids of a token's owner.
const OWNERS: &str = "LEFT JOIN organizations ON organizations.id = tokens.organization
     LEFT JOIN teams ON teams.id = tokens.team LEFT JOIN users ON users.id = tokens.user";

fn descendant_token(row: &Row<'_>) -> rusqlite::Result<(BulkToken, OwnerNumbers)> {
    let (token, numbers) = bulk_token(row, Covers::Match)?;
    let columns = &mut Columns::from(row, 5);
    let is_active = columns.take()?;
    let covered = Covers::Descendant {
        is_active,
        owner: records::owner(columns)?,
    };
    Ok((BulkToken { covered, ..token }, numbers))
}

/// Counts the active tokens that match or descend from a match, by owner.
fn count_descendants(
    connection: &Connection,
    filter: &Filter,
    remit: &Remit,
    now: Timestamp,
) -> std::result::Result<WithDescendants, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let selection = Selection::new(&transaction, filter)?;
    let mut count = WithDescendants::default();
    let Some(matching) = selection.select("tokens.id AS id", "TRUE") else {
        return Ok(count);
    };
    let instant = format!("?{}", selection.next_parameter());
    let statement = format!(
        "WITH RECURSIVE reached (id) AS (SELECT id FROM ({matching})
             UNION SELECT child.id FROM reached CROSS JOIN tokens AS child INDEXED BY tokens_by_maker
                 ON child.created_by_token = reached.id
             UNION SELECT child.id FROM reached CROSS JOIN tokens AS child INDEXED BY one_successor
                 ON child.rotated_from = reached.id),
         counted (organization, team, user, tokens) AS (
             SELECT tokens.organization, tokens.team, tokens.user, count(*)
             FROM reached CROSS JOIN tokens ON tokens.id = reached.id WHERE {} GROUP BY 1, 2, 3)
         SELECT tokens.tokens, organizations.public_id, teams.public_id, users.public_id
         FROM counted AS tokens {OWNERS}",
        is_active(&instant)
    );
    let mut query = transaction.prepare_cached(&statement)?;
    let mut rows = query.query(selection.parameters(vec![now.millis().into()]))?;
    while let Some(row) = rows.next()? {
        let columns = &mut Columns::of(row);
        let tokens: u64 = columns.take()?;
        match remit.includes(&records::owner(columns)?) {
            true => count.within += tokens,
            false => count.beyond += tokens,
        }
    }
    Ok(count)
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

fn bulk_token(row: &Row<'_>, covered: Covers) -> rusqlite::Result<(BulkToken, OwnerNumbers)> {
    let columns = &mut Columns::of(row);
    let token = BulkToken {
        id: TokenId(columns.take()?),
        effective_at: columns.take()?,
        covered,
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
