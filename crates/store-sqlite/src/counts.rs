//! Counts of owners' active tokens: one row for each owner that has a limit.

use rusqlite::{Connection, OptionalExtension, Row};

use crate::active::{EVER, OwnerNumbers, count};
use crate::cut_offs::uncut;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::directory::OrganizationId;
use jeton_core::token::{Owner, Revocation, TokenId};
use jeton_store::rules::limits::{Countable, Succession};
use jeton_store::{CountFacts, OwnerCount, Recount};

/// Selects the count of an owner.
pub(super) const BY_OWNER: &str =
    "SELECT version, active, as_of, counted_at, sequence, first_end FROM owner_counts
     WHERE organization = ?1 AND team = ?2 AND user = ?3";

/// Selects the owner of an API token, if the owner has a count.
pub(super) const OF_TOKEN: &str = "SELECT tokens.organization, tokens.team, tokens.user
     FROM tokens CROSS JOIN owner_counts ON owner_counts.organization = coalesce(tokens.organization, 0)
         AND owner_counts.team = coalesce(tokens.team, 0) AND owner_counts.user = coalesce(tokens.user, 0)
     WHERE tokens.id = ?1 AND tokens.session = 0";

/// Selects the feed's last event that is a cut-off.
pub(super) const LAST_CUT_OFF: &str =
    "SELECT max(sequence) FROM revocations INDEXED BY cut_offs_in_order WHERE kind = 'cut_off'";

pub(super) fn by_owner(connection: &Connection, owner: OwnerNumbers) -> Result<Option<OwnerCount>, Failure> {
    let [organization, team, user] = key(owner);
    Ok(connection
        .prepare_cached(BY_OWNER)?
        .query_row(params![organization, team, user], owner_count)
        .optional()?)
}

pub(super) fn facts(connection: &Connection, owner: &Owner) -> Result<CountFacts, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let count = match OwnerNumbers::of(&transaction, owner)? {
        Some(owner) => by_owner(&transaction, owner)?,
        None => None,
    };
    let last_cut_off: Option<u64> = transaction
        .prepare_cached(LAST_CUT_OFF)?
        .query_row((), |row| get(row, 0))?;
    Ok(CountFacts {
        count,
        last_cut_off: last_cut_off.unwrap_or(0),
    })
}

pub(super) fn recount(connection: &Connection, owner: &Owner, now: Timestamp) -> Result<Recount, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let sequence = transaction
        .prepare_cached("SELECT sequence FROM meta")?
        .query_row((), |row| get(row, 0))?;
    let owner = OwnerNumbers::of(&transaction, owner)?.ok_or(Failure::Unknown("an owner"))?;
    let version = by_owner(&transaction, owner)?.map(|count| count.version);
    let numbers = params![owner.organization, owner.team, owner.user, now, EVER];
    let (active, first_end) = transaction
        .prepare_cached(&count(owner))?
        .query_row(numbers, |row| {
            Ok((
                get(row, 0)?,
                get::<Option<i64>>(row, 1)?.and_then(Timestamp::from_millis),
            ))
        })?;
    Ok(Recount {
        version,
        active,
        first_end: first_end.map_or(Timestamp::LAST, |end| end.min(Timestamp::LAST)),
        sequence,
    })
}

/// Returns the key of an owner's row; a part that the owner lacks is 0.
fn key(owner: OwnerNumbers) -> [i64; 3] {
    [owner.organization, owner.team, owner.user].map(Option::unwrap_or_default)
}

fn owner_count(row: &Row<'_>) -> rusqlite::Result<OwnerCount> {
    let columns = &mut Columns::of(row);
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
    pub(super) fn set_count(&self, owner: OwnerNumbers, count: &OwnerCount) -> Result<(), Failure> {
        let [organization, team, user] = key(owner);
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO owner_counts (organization, team, user, version, active, as_of,
                    counted_at, sequence, first_end)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                organization,
                team,
                user,
                count.version,
                count.active,
                count.as_of,
                count.counted_at,
                count.sequence,
                count.first_end,
            ])?;
        Ok(())
    }

    pub(super) fn delete_counts(&mut self, organization: OrganizationId) -> Result<(), Failure> {
        let organization = self.memory.numbers.organization(self.connection, organization)?;
        self.connection
            .prepare_cached("DELETE FROM owner_counts WHERE organization = ?1")?
            .execute(params![organization])?;
        Ok(())
    }

    /// Returns the count of a token's owner after the token's revocation, if the owner has one. Call it before
    /// revoking.
    pub(super) fn count_without(
        &self,
        token: TokenId,
        order: &Revocation,
    ) -> Result<Option<(OwnerNumbers, OwnerCount)>, Failure> {
        let owner = self
            .connection
            .prepare_cached(OF_TOKEN)?
            .query_row(params![token.0], |row| OwnerNumbers::read(&mut Columns::of(row)))
            .optional()?;
        let Some(owner) = owner else { return Ok(None) };
        let Some(count) = by_owner(self.connection, owner)? else {
            return Ok(None);
        };
        let countable = |condition| countable(self.connection, condition, token);
        let Some(revoked) = countable(ITSELF)? else {
            return Ok(None);
        };
        let before = Succession {
            predecessor: countable(PREDECESSOR)?,
            token: revoked,
            successor: countable(SUCCESSOR)?,
        };
        let after = count.revoked(&before, order.effective_at, order.revoked_at);
        Ok((after != count).then_some((owner, after)))
    }
}

const ITSELF: &str = "tokens.id = ?1";
const PREDECESSOR: &str = "tokens.id = (SELECT rotated_from FROM tokens WHERE id = ?1)";
const SUCCESSOR: &str = "tokens.rotated_from = ?1";

fn countable(connection: &Connection, condition: &str, token: TokenId) -> Result<Option<Countable>, Failure> {
    Ok(connection
        .prepare_cached(&countable_by(condition))?
        .query_row(params![token.0, EVER], |row| {
            let columns = &mut Columns::of(row);
            Ok(Countable {
                expires_at: columns.take()?,
                effective_at: columns.take()?,
                is_cut_off: columns.take()?,
            })
        })
        .optional()?)
}

fn countable_by(condition: &str) -> String {
    let uncut = uncut("?2");
    format!("SELECT expires_at, effective_at, NOT ({uncut}) FROM tokens WHERE {condition}")
}

/// Returns the queries for a revoked token and its neighbours by rotation.
#[cfg(test)]
pub(super) fn countables() -> [String; 3] {
    [ITSELF, PREDECESSOR, SUCCESSOR].map(countable_by)
}
