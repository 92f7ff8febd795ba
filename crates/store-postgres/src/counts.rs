//! Counts of owners' active tokens: one row for each owner that has a limit.

use crate::active::{EVER, OwnerNumbers, count};
use crate::connection::Connection;
use crate::cut_offs::uncut;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationId;
use jeton_core::token::{Owner, Revocation, TokenId};
use jeton_store::rules::limits::{Countable, Succession};
use jeton_store::{CountFacts, OwnerCount, Recount};

/// The columns of a count.
const COLUMNS: &str = "counts.version, counts.active, counts.as_of, counts.counted_at, counts.sequence, \
     counts.first_end";

pub(super) async fn by_owner(
    connection: &Connection,
    owner: OwnerNumbers,
) -> Result<Option<OwnerCount>, Failure> {
    let query = format!(
        "SELECT {COLUMNS} FROM owner_counts AS counts WHERE organization = $1 AND team = $2 AND person = $3"
    );
    let [organization, team, user] = key(owner);
    let row = connection
        .optional(&query, params![organization, team, user])
        .await?;
    row.map(|row| owner_count(&mut Columns::of(&row))).transpose()
}

/// Implements [`Tokens::owner_count`](jeton_store::Tokens::owner_count), on a connection whose queries read one
/// instant.
pub(super) async fn facts(connection: &Connection, owner: &Owner) -> Result<CountFacts, Failure> {
    let count = match OwnerNumbers::of(connection, owner).await? {
        Some(owner) => by_owner(connection, owner).await?,
        None => None,
    };
    let last_cut_off = "SELECT coalesce(max(sequence), 0) FROM revocations WHERE kind = 'cut_off'";
    Ok(CountFacts {
        count,
        last_cut_off: get(&connection.row(last_cut_off, &[]).await?, 0)?,
    })
}

/// Implements [`Tokens::count_tokens`](jeton_store::Tokens::count_tokens), on a connection whose queries read one
/// instant.
pub(super) async fn recount(
    connection: &Connection,
    owner: &Owner,
    now: Timestamp,
) -> Result<Recount, Failure> {
    let sequence = connection.row("SELECT sequence FROM meta", &[]).await?;
    let owner = OwnerNumbers::of(connection, owner)
        .await?
        .ok_or(Failure::Unknown("an owner"))?;
    let version = by_owner(connection, owner).await?.map(|count| count.version);
    let numbers = params![owner.organization, owner.team, owner.user, now, EVER];
    let counted = connection.row(&count(owner), numbers).await?;
    let first_end = get::<Option<i64>>(&counted, 1)?.and_then(Timestamp::from_millis);
    Ok(Recount {
        version,
        active: get(&counted, 0)?,
        first_end: first_end.map_or(Timestamp::LAST, |end| end.min(Timestamp::LAST)),
        sequence: get(&sequence, 0)?,
    })
}

/// Returns the key of an owner's row; a part that the owner lacks is 0.
fn key(owner: OwnerNumbers) -> [i64; 3] {
    [owner.organization, owner.team, owner.user].map(Option::unwrap_or_default)
}

/// Reads [`COLUMNS`].
fn owner_count(columns: &mut Columns<'_>) -> Result<OwnerCount, Failure> {
    Ok(OwnerCount {
        version: columns.take()?,
        active: columns.take()?,
        as_of: columns.take()?,
        counted_at: columns.take()?,
        sequence: columns.take()?,
        first_end: columns.take()?,
    })
}

impl Batch<'_> {
    pub(super) async fn set_count(&self, owner: OwnerNumbers, count: &OwnerCount) -> Result<(), Failure> {
        let [organization, team, user] = key(owner);
        self.connection
            .execute(
                "INSERT INTO owner_counts (organization, team, person, version, active, as_of, counted_at, sequence,
                    first_end)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (organization, team, person) DO UPDATE SET version = excluded.version,
                    active = excluded.active, as_of = excluded.as_of, counted_at = excluded.counted_at,
                    sequence = excluded.sequence, first_end = excluded.first_end",
                params![
                    organization,
                    team,
                    user,
                    count.version,
                    count.active,
                    count.as_of,
                    count.counted_at,
                    count.sequence,
                    count.first_end,
                ],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn delete_counts(&mut self, organization: OrganizationId) -> Result<(), Failure> {
        let numbers = &mut self.memory.numbers;
        let organization = numbers.organization(self.connection, organization).await?;
        self.connection
            .execute(
                "DELETE FROM owner_counts WHERE organization = $1",
                params![organization],
            )
            .await?;
        Ok(())
    }

    /// Returns the count of a token's owner after the token's revocation, if the owner has one. Call it before
    /// revoking.
    pub(super) async fn count_without(
        &self,
        token: TokenId,
        order: &Revocation,
    ) -> Result<Option<(OwnerNumbers, OwnerCount)>, Failure> {
        let query = format!(
            "SELECT tokens.organization, tokens.team, tokens.person, {COLUMNS}
             FROM tokens JOIN owner_counts AS counts ON counts.organization = coalesce(tokens.organization, 0)
                 AND counts.team = coalesce(tokens.team, 0) AND counts.person = coalesce(tokens.person, 0)
             WHERE tokens.id = $1 AND NOT tokens.session"
        );
        let Some(row) = self.connection.optional(&query, params![token.0]).await? else {
            return Ok(None);
        };
        let columns = &mut Columns::of(&row);
        let owner = OwnerNumbers::read(columns)?;
        let count = owner_count(columns)?;
        let before = succession(self.connection, token).await?;
        let after = count.revoked(&before, order.effective_at, order.revoked_at);
        Ok((after != count).then_some((owner, after)))
    }
}

/// Returns a token and its neighbours by rotation.
async fn succession(connection: &Connection, token: TokenId) -> Result<Succession, Failure> {
    let query = format!(
        "SELECT tokens.id = $1, tokens.rotated_from IS NOT DISTINCT FROM $1, tokens.expires_at, tokens.effective_at,
            NOT ({})
         FROM tokens WHERE tokens.id = $1 OR tokens.rotated_from = $1
            OR tokens.id = (SELECT itself.rotated_from FROM tokens AS itself WHERE itself.id = $1)",
        uncut("$2::bigint")
    );
    let (mut itself, mut predecessor, mut successor) = (None, None, None);
    for row in connection.rows(&query, params![token.0, EVER]).await? {
        let columns = &mut Columns::of(&row);
        let place = match (columns.take()?, columns.take()?) {
            (true, _) => &mut itself,
            (_, true) => &mut successor,
            _ => &mut predecessor,
        };
        *place = Some(Countable {
            expires_at: columns.take()?,
            effective_at: columns.take()?,
            is_cut_off: columns.take()?,
        });
    }
    Ok(Succession {
        predecessor,
        token: itself.ok_or(Failure::Unknown("a token"))?,
        successor,
    })
}
