//! Bulk revocations: recording them, and reading them a portion at a time.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use tokio_postgres::Row;

use crate::PostgresStore;
use crate::active::{self, OwnerNumbers};
use crate::connection::Connection;
use crate::cut_offs::uncut;
use crate::failure::Failure;
use crate::list::Selection;
use crate::records;
use crate::values::{Bound, Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::token::filter::Remit;
use jeton_core::token::{Actor, Filter, TokenId};
use jeton_store::reads::{Purpose, Tenant};
use jeton_store::{
    BulkAdvance, BulkId, BulkOrder, BulkPortion, BulkProgress, BulkRevocation, BulkRevocations, BulkToken,
    Covers, Generation, Keeper, LastToken, Realm, Result, Versions, WithDescendants,
};

#[async_trait]
impl BulkRevocations for PostgresStore {
    async fn bulk_revocation(&self, id: BulkId) -> Result<Option<BulkRevocation>> {
        let bulk = by_id(&self.connections.read().await?, id).await?;
        Ok(bulk.map(|(bulk, _)| bulk))
    }

    async fn unfinished_bulk_revocations(&self) -> Result<Vec<BulkId>> {
        let query = "SELECT id FROM bulk_revocations WHERE finished_at IS NULL ORDER BY id";
        let rows = self.connections.read().await?.rows(query, &[]).await?;
        let unfinished: std::result::Result<_, Failure> =
            rows.iter().map(|row| get(row, 0).map(BulkId)).collect();
        Ok(unfinished?)
    }

    async fn bulk_portion(&self, id: BulkId, limit: u32, now: Timestamp) -> Result<Option<BulkPortion>> {
        // Without a budget: a filter that matches few of many tokens is slow, and the order has been accepted.
        let mut connection = self.connections.long(Purpose::Upkeep).await?;
        let portion = portion(&connection, id, limit as usize, now).await?;
        connection.end().await?;
        Ok(portion)
    }

    async fn count_descendants(
        &self,
        filter: Filter,
        remit: Remit,
        now: Timestamp,
    ) -> Result<WithDescendants> {
        let purpose = Purpose::Listing(Tenant::from(&filter));
        let mut connection = self.connections.long(purpose).await?;
        let count = count_descendants(&connection, &filter, &remit, now).await?;
        connection.end().await?;
        Ok(count)
    }
}

/// Records a bulk revocation.
pub(super) async fn take_down(
    batch: &mut Batch<'_>,
    order: BulkOrder,
) -> std::result::Result<BulkRevocation, Failure> {
    let actor_user = batch.actor_number(&order.ordered_by).await?;
    // Under the writers' lock no token is about to be recorded with a lower number: these are the tokens recorded until
    // now.
    let row = batch
        .connection
        .row(
            "INSERT INTO bulk_revocations (filter, through, matched, ordered_at, actor, actor_user, reason, effective_at,
                last_may_go, remit)
             SELECT $1::text, coalesce((SELECT max(id) FROM tokens), 0), $2::bigint, $3::bigint, $4::text, $5::bigint,
                $6::text, $7::bigint, $8::boolean, $9::text
             RETURNING id",
            params![
                order.filter,
                order.matched,
                order.ordered_at,
                order.ordered_by.name,
                actor_user,
                order.reason,
                order.effective_at,
                order.last_token == LastToken::MayGo,
                order.descendants,
            ],
        )
        .await?;
    Ok(BulkRevocation {
        id: BulkId(get(&row, 0)?),
        order,
        revoked: 0,
        left: 0,
        progress: BulkProgress::default(),
        finished_at: None,
    })
}

/// Records the progress of a bulk revocation.
pub(super) async fn advance(batch: &Batch<'_>, advance: &BulkAdvance) -> std::result::Result<(), Failure> {
    let bulk = &advance.bulk;
    batch
        .connection
        .execute(
            "UPDATE bulk_revocations SET position = $2, revoked = $3, finished_at = $4, left_over = $5, child = $6,
                portions = $7 WHERE id = $1",
            params![
                bulk.id.0,
                bulk.progress.position.0,
                bulk.revoked,
                bulk.finished_at,
                bulk.left,
                bulk.progress.child.0,
                bulk.progress.portions,
            ],
        )
        .await?;
    for (statement, tokens) in [
        (
            "INSERT INTO bulk_members (bulk, token, expanded)
             SELECT $1::bigint, token, false FROM unnest($2::bigint[]) AS parent (token) ON CONFLICT DO NOTHING",
            &advance.parents,
        ),
        (
            "UPDATE bulk_members SET expanded = true WHERE bulk = $1 AND token = ANY ($2)",
            &advance.expanded,
        ),
        (
            "DELETE FROM bulk_members WHERE bulk = $1 AND token = ANY ($2)",
            &advance.forgotten,
        ),
    ] {
        if !tokens.is_empty() {
            let params = params![bulk.id.0, Bound::array(tokens)];
            batch.connection.execute(statement, params).await?;
        }
    }
    Ok(())
}

/// Returns a bulk revocation, and the last token that was recorded before it.
async fn by_id(
    connection: &Connection,
    id: BulkId,
) -> std::result::Result<Option<(BulkRevocation, TokenId)>, Failure> {
    let row = connection
        .optional(
            "SELECT bulk.id, bulk.filter, bulk.matched, bulk.ordered_at, bulk.actor, users.public_id,
                bulk.reason, bulk.effective_at, bulk.last_may_go, bulk.remit, bulk.revoked, bulk.left_over,
                bulk.position, bulk.child, bulk.portions, bulk.finished_at, bulk.through
             FROM bulk_revocations AS bulk LEFT JOIN users ON users.id = bulk.actor_user WHERE bulk.id = $1",
            params![id.0],
        )
        .await?;
    row.as_ref().map(bulk).transpose()
}

fn bulk(row: &Row) -> std::result::Result<(BulkRevocation, TokenId), Failure> {
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

/// Reads a bulk revocation and its next tokens, on a connection whose queries read one instant.
async fn portion(
    connection: &Connection,
    id: BulkId,
    limit: usize,
    now: Timestamp,
) -> std::result::Result<Option<BulkPortion>, Failure> {
    let Some((bulk, through)) = by_id(connection, id).await? else {
        return Ok(None);
    };
    let keeps_last = bulk.order.last_token == LastToken::Stays;
    let mut reading = Reading {
        connection,
        now,
        owners: Vec::new(),
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
        reading.matches(through, limit).await?;
    } else {
        reading.descendants(limit).await?;
    }
    if keeps_last {
        reading.keep().await?;
    }
    Ok(Some(reading.portion))
}

/// How many expanded tokens are forgotten for each that a portion may revoke: only a row is deleted.
const FORGOTTEN: usize = 16;

/// A portion that is being read.
struct Reading<'a> {
    connection: &'a Connection,
    now: Timestamp,
    /// The owners of the portion's tokens, in the same order.
    owners: Vec<OwnerNumbers>,
    portion: BulkPortion,
}

impl Reading<'_> {
    /// Reads the next matches, each with its successors unless all descendants follow later.
    async fn matches(&mut self, through: TokenId, limit: usize) -> std::result::Result<(), Failure> {
        let order = &self.portion.bulk.order;
        let has_descendants = order.descendants.is_some();
        let position = self.portion.next.position;
        let matching = Selection::when_last_was(&order.filter, through)
            .between(self.connection, position, through, limit)
            .await?;
        let is_last = matching.len() < limit;
        self.portion.next.position = match matching.last() {
            _ if is_last => through.max(position),
            Some(last) => *last,
            None => position,
        };
        self.portion.is_last = is_last && !has_descendants;
        let query = lines();
        let params = params![Bound::array(&matching), through.0, self.now, !has_descendants];
        for row in self.connection.rows(&query, params).await? {
            let covered = match get(&row, OF_TOKEN)? {
                true => Covers::Successor,
                false => Covers::Match,
            };
            self.add(&row, covered)?;
        }
        Ok(())
    }

    /// Reads the next children of the tokens whose children are not all processed.
    async fn descendants(&mut self, limit: usize) -> std::result::Result<(), Failure> {
        let id = self.portion.bulk.id;
        let parents =
            "SELECT token FROM bulk_members WHERE bulk = $1 AND NOT expanded ORDER BY token LIMIT $2";
        let parents = self.tokens(parents, params![id.0, limit]).await?;
        self.portion.is_last = false;
        let Some(first) = parents.first().copied() else {
            let most = limit.saturating_mul(FORGOTTEN);
            let members = "SELECT token FROM bulk_members WHERE bulk = $1 ORDER BY token LIMIT $2";
            self.portion.forgotten = self.tokens(members, params![id.0, most]).await?;
            self.portion.is_last = self.portion.forgotten.len() < most;
            return Ok(());
        };
        let params = params![Bound::array(&parents), self.portion.next.child.0, limit];
        let rows = self.connection.rows(CHILDREN, params).await?;
        let mut children: Vec<(TokenId, TokenId)> = rows
            .iter()
            .map(|row| Ok((TokenId(get(row, 0)?), TokenId(get(row, 1)?))))
            .collect::<std::result::Result<_, Failure>>()?;
        self.portion.next.child = TokenId(0);
        // With all that there was room for, the last parent may have more.
        let in_part = children.last().copied().filter(|_| children.len() >= limit);
        if let Some((parent, child)) = in_part {
            if parent == first {
                self.portion.next.child = child;
            } else {
                // Only the first parent may be left in part: members added by this portion can have lower numbers than
                // a later one, and `child` would be applied to them.
                children.retain(|(of, _)| *of != parent);
            }
        }
        let expanded = parents.iter().copied();
        self.portion.expanded = expanded
            .take_while(|parent| in_part.is_none_or(|(in_part, _)| *parent != in_part))
            .collect();
        self.children(children.into_iter().map(|(_, child)| child).collect())
            .await
    }

    /// Adds the children that are not in an earlier portion.
    async fn children(&mut self, mut children: Vec<TokenId>) -> std::result::Result<(), Failure> {
        let mut processed = HashSet::new();
        children.retain(|child| processed.insert(*child));
        let query = new_descendants();
        let params = params![Bound::array(&children), self.now, self.portion.bulk.id.0];
        for row in self.connection.rows(&query, params).await? {
            let columns = &mut Columns::from(&row, OF_TOKEN);
            let covered = Covers::Descendant {
                is_active: columns.take()?,
                owner: records::owner(columns)?,
            };
            self.add(&row, covered)?;
        }
        Ok(())
    }

    async fn tokens(&self, query: &str, params: &[Bound]) -> std::result::Result<Vec<TokenId>, Failure> {
        let rows = self.connection.rows(query, params).await?;
        rows.iter().map(|row| get(row, 0).map(TokenId)).collect()
    }

    /// Adds a token whose first columns are number, instant and owner.
    fn add(&mut self, row: &Row, covered: Covers) -> std::result::Result<(), Failure> {
        let columns = &mut Columns::of(row);
        self.portion.tokens.push(BulkToken {
            id: TokenId(columns.take()?),
            effective_at: columns.take()?,
            covered,
        });
        self.owners.push(OwnerNumbers::read(columns)?);
        Ok(())
    }

    /// Finds the owners whose organizations keep their last active tokens, and another active token of each.
    async fn keep(&mut self) -> std::result::Result<(), Failure> {
        let keeping = self.keeping().await?;
        let of_them = self.portion.tokens.iter().zip(&self.owners);
        let of_them =
            of_them.filter(|(_, owner)| owner.organization.is_some_and(|one| keeping.contains(&one)));
        let of_them: Vec<(TokenId, OwnerNumbers)> =
            of_them.map(|(token, owner)| (token.id, *owner)).collect();
        if of_them.is_empty() {
            return Ok(());
        }
        let query = format!(
            "SELECT id FROM tokens WHERE id = ANY ($1) AND {}",
            active::standing("$2::bigint", "$3::bigint")
        );
        let params = params![
            Bound::array(of_them.iter().map(|(token, _)| token)),
            self.now,
            active::EVER
        ];
        let standing: HashSet<TokenId> = self.tokens(&query, params).await?.into_iter().collect();
        let mut keepers: HashMap<OwnerNumbers, Keeper> = HashMap::new();
        for (token, owner) in of_them {
            if standing.contains(&token) {
                keepers.entry(owner).or_default().active.push(token);
            }
        }
        for (owner, mut keeper) in keepers {
            // The newest: bulk revocations revoke the oldest first; from that end the query would scan all that they
            // have revoked.
            let query = format!(
                "SELECT id FROM tokens WHERE {} AND {} AND tokens.id <> ALL ($6::bigint[])
                 ORDER BY tokens.id DESC LIMIT 1",
                active::of_owner(owner),
                active::standing("$4::bigint", "$5::bigint")
            );
            let numbers = params![
                owner.organization,
                owner.team,
                owner.user,
                self.now,
                active::EVER,
                Bound::array(&keeper.active)
            ];
            keeper.other = self.tokens(&query, numbers).await?.first().copied();
            self.portion.keepers.push(keeper);
        }
        Ok(())
    }

    /// Returns the organizations of the portion's tokens that keep last tokens, by their row numbers. A removed
    /// organization has no active tokens.
    async fn keeping(&mut self) -> std::result::Result<HashSet<i64>, Failure> {
        let organizations: HashSet<i64> = self
            .owners
            .iter()
            .filter_map(|owner| owner.organization)
            .collect();
        let rows = self
            .connection
            .rows(
                "SELECT id, public_id, generation, coalesce((policy::json ->> 'keep_last_token')::boolean, false)
                 FROM organizations WHERE id = ANY ($1) AND deleted_at IS NULL ORDER BY id",
                params![Bound::array(organizations)],
            )
            .await?;
        let mut keeping = HashSet::new();
        for row in &rows {
            let columns = &mut Columns::of(row);
            let organization = columns.take()?;
            let realm = Realm::Organization(columns.take()?);
            let version = (realm, Generation(columns.take()?));
            self.portion.versions.0.push(version);
            if columns.take()? {
                keeping.insert(organization);
            }
        }
        Ok(keeping)
    }
}

/// The columns that [`Reading::add`] reads, and their number.
const TOKEN: &str = "tokens.id, tokens.effective_at, tokens.organization, tokens.team, tokens.person";
const OF_TOKEN: usize = 5;

/// Selects tokens `$1`, each followed, if `$4`, by its successors that were recorded since the bulk revocation, after
/// token `$2`, and are not revoked yet at `$3`; and whether it is a successor.
fn lines() -> String {
    format!(
        "WITH RECURSIVE line (first, id, place) AS (
             SELECT id, id, 0 FROM unnest($1::bigint[]) AS matching (id)
             UNION ALL SELECT line.first, tokens.id, line.place + 1
             FROM line JOIN tokens ON tokens.rotated_from = line.id WHERE $4 AND tokens.id > $2)
         SELECT {TOKEN}, line.place > 0 FROM line JOIN tokens ON tokens.id = line.id
         WHERE line.place = 0 OR tokens.effective_at IS NULL OR tokens.effective_at > $3
         ORDER BY line.first, line.place"
    )
}

/// Selects the tokens that each of the tokens `$1` has created or was rotated into, those of the first after one of
/// them, `$2`.
const CHILDREN: &str = "SELECT parent.id, child.id
     FROM unnest($1::bigint[]) WITH ORDINALITY AS parent (id, place) CROSS JOIN LATERAL (
         SELECT id FROM tokens
         WHERE created_by_token = parent.id AND id > CASE parent.place WHEN 1 THEN $2 ELSE 0 END
         UNION SELECT id FROM tokens
         WHERE rotated_from = parent.id AND id > CASE parent.place WHEN 1 THEN $2 ELSE 0 END
         ORDER BY id LIMIT $3) AS child
     ORDER BY parent.place, child.id LIMIT $3";

/// Selects those of the tokens `$1` that no portion of the bulk revocation `$3` has processed, in the order of the
/// parameter: whether each is active at `$2`, and its owner.
fn new_descendants() -> String {
    format!(
        "SELECT {TOKEN}, {}, organizations.public_id, teams.public_id, users.public_id
         FROM unnest($1::bigint[]) WITH ORDINALITY AS child (id, place) JOIN tokens ON tokens.id = child.id {OWNERS}
         WHERE NOT EXISTS (SELECT 1 FROM bulk_members WHERE bulk = $3 AND token = child.id)
         ORDER BY child.place",
        is_active("$2::bigint")
    )
}

/// Returns a condition on `tokens`: the token is active at an instant, given as SQL.
fn is_active(instant: &str) -> String {
    format!(
        "(tokens.expires_at / 1000 <= {instant} / 1000) IS NOT TRUE
         AND (tokens.effective_at IS NULL OR tokens.effective_at > {instant}) AND {}",
        uncut(instant)
    )
}

/// The joins for the public ids of a token's owner.
const OWNERS: &str = "LEFT JOIN organizations ON organizations.id = tokens.organization
     LEFT JOIN teams ON teams.id = tokens.team LEFT JOIN users ON users.id = tokens.person";

/// Counts the active tokens that match or descend from a match, by owner.
async fn count_descendants(
    connection: &Connection,
    filter: &Filter,
    remit: &Remit,
    now: Timestamp,
) -> std::result::Result<WithDescendants, Failure> {
    let selection = Selection::new(filter);
    let mut count = WithDescendants::default();
    let Some(matching) = selection.select("tokens.id AS id", "TRUE", "") else {
        return Ok(count);
    };
    let mut parameters = selection.parameters();
    let instant = parameters.bind(now);
    // `LIMIT 1` keeps PostgreSQL from looking for active tokens among all there are: it cannot know how few are
    // reached.
    let statement = format!(
        "WITH RECURSIVE reached (id) AS (SELECT id FROM ({matching}) AS matching
             UNION SELECT child.id FROM reached CROSS JOIN LATERAL (
                 SELECT tokens.id FROM tokens WHERE tokens.created_by_token = reached.id
                 UNION ALL SELECT tokens.id FROM tokens WHERE tokens.rotated_from = reached.id) AS child),
         counted (organization, team, person, tokens) AS (
             SELECT active.organization, active.team, active.person, count(*)
             FROM reached CROSS JOIN LATERAL (
                 SELECT tokens.organization, tokens.team, tokens.person FROM tokens
                 WHERE tokens.id = reached.id AND {} LIMIT 1) AS active
             GROUP BY 1, 2, 3)
         SELECT tokens.tokens, organizations.public_id, teams.public_id, users.public_id
         FROM counted AS tokens {OWNERS}",
        is_active(&instant)
    );
    for row in connection.rows_once(&statement, parameters.values()).await? {
        let columns = &mut Columns::of(&row);
        let tokens: u64 = columns.take()?;
        match remit.includes(&records::owner(columns)?) {
            true => count.within += tokens,
            false => count.beyond += tokens,
        }
    }
    Ok(count)
}
