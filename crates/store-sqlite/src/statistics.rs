//! Statistics: counts tokens by day, in portions after their commits, and returns the counts.
//!
//! The rows of `tokens` and `revocations` are counted in the order of their numbers, tokens first: so each token that a
//! cut-off covers is counted before it, since a token that a known cut-off covers is not recorded.

use std::sync::LazyLock;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Transaction};
use rusqlite_migration::HookResult;

use crate::SqliteStore;
use crate::covered::{Among, among};
use crate::cut_offs::{COVERS, earliest_cut_off, earliest_of};
use crate::failure::Failure;
use crate::list::number;
use crate::values::{Columns, get, params};
use jeton_core::clock::{Day, Timestamp};
use jeton_core::directory::OrganizationId;
use jeton_store::rules::statistics::{self, Change, Changes, Life, earliest};
use jeton_store::{DayCounts, Result, Statistics};

/// The most tokens that a portion counts, and the most events with the tokens of cut-offs: about a millisecond each.
const PORTION: i64 = 500;

/// The number of token ids that a portion scans if a cut-off names no owner.
const STRETCH: i64 = 4_000;

/// The organization of the rows that count all tokens.
const DEPLOYMENT: i64 = 0;

/// How far tokens and events are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    token: i64,
    event: u64,
    /// Of the event after it, if that is a cut-off: the last token for which it is counted.
    covered: i64,
}

#[async_trait]
impl Statistics for SqliteStore {
    async fn statistics(
        &self,
        organization: Option<OrganizationId>,
        from: Day,
        through: Day,
    ) -> Result<Vec<DayCounts>> {
        self.readers
            .look_up(move |connection| {
                let transaction = connection.unchecked_transaction()?;
                let organization = match &organization {
                    Some(organization) => number(&transaction, "organizations", organization)?,
                    None => DEPLOYMENT,
                };
                let range = params![organization, from.number(), through.number()];
                let active: i64 = transaction
                    .prepare_cached(
                        "SELECT coalesce(sum(issued - revoked - expired), 0) FROM statistics
                         WHERE organization = ?1 AND day < ?2",
                    )?
                    .query_row(params![organization, from.number()], |row| get(row, 0))?;
                let changes: Vec<_> = transaction
                    .prepare_cached(
                        "SELECT day, issued, revoked, expired FROM statistics
                         WHERE organization = ?1 AND day BETWEEN ?2 AND ?3",
                    )?
                    .query_map(range, |row| {
                        let change = Change {
                            issued: get(row, 1)?,
                            revoked: get(row, 2)?,
                            expired: get(row, 3)?,
                        };
                        Ok(Day::from_number(get(row, 0)?).map(|day| (day, change)))
                    })?
                    .collect::<rusqlite::Result<_>>()?;
                let refused: Vec<_> = transaction
                    .prepare_cached(
                        "SELECT day, refused FROM statistics_of_refusals
                         WHERE organization = ?1 AND day BETWEEN ?2 AND ?3",
                    )?
                    .query_map(range, |row| {
                        let refused: u64 = get(row, 1)?;
                        Ok(Day::from_number(get(row, 0)?).map(|day| (day, refused)))
                    })?
                    .collect::<rusqlite::Result<_>>()?;
                let (changes, refused) = (changes.into_iter().flatten(), refused.into_iter().flatten());
                Ok(statistics::days((from, through), active, changes, refused))
            })
            .await
    }
}

/// Counts the next tokens and events, in the open transaction. Returns whether there may be more.
pub(super) fn count_portion(connection: &Connection) -> std::result::Result<bool, Failure> {
    let before = counted(connection)?;
    let mut reached = before;
    let mut changes = Changes::default();
    reached.token = count_tokens(connection, before.token, &mut changes)?;
    let newest_token: i64 = newest(connection, "SELECT max(id) FROM tokens")?;
    let newest_event: u64 = newest(connection, "SELECT max(sequence) FROM revocations")?;
    let mut left = PORTION;
    while reached.token >= newest_token && reached.event < newest_event && left > 0 {
        left -= match next_cut_off(connection, reached.event)? {
            Some(cut_off) if cut_off == reached.event + 1 => {
                count_cut_off(connection, &mut reached, left, &mut changes)?
            }
            cut_off => {
                let through = cut_off.map_or(newest_event, |cut_off| cut_off - 1);
                let through = through.min(reached.event.saturating_add(left.unsigned_abs()));
                count_revocations(connection, reached.event, through, &mut changes)?;
                let done = through - reached.event;
                reached.event = through;
                i64::try_from(done).unwrap_or(i64::MAX)
            }
        };
    }
    if reached != before {
        add(connection, &changes)?;
        advance(connection, reached)?;
    }
    Ok(reached.token < newest_token || reached.event < newest_event)
}

fn counted(connection: &Connection) -> rusqlite::Result<Counted> {
    connection
        .prepare_cached("SELECT statistics_tokens, statistics_revocations, statistics_covered FROM meta")?
        .query_row((), |row| {
            Ok(Counted {
                token: get(row, 0)?,
                event: get(row, 1)?,
                covered: get(row, 2)?,
            })
        })
}

fn advance(connection: &Connection, to: Counted) -> rusqlite::Result<()> {
    // By its key, as in `Memory::write`.
    connection
        .prepare_cached(
            "UPDATE meta SET statistics_tokens = ?1, statistics_revocations = ?2, statistics_covered = ?3
             WHERE one = 1",
        )?
        .execute(params![to.token, to.event, to.covered])?;
    Ok(())
}

/// Returns the highest number of a table; 0 if it has no rows.
fn newest<T: crate::values::Column + Default>(connection: &Connection, query: &str) -> rusqlite::Result<T> {
    let newest: Option<T> = connection
        .prepare_cached(query)?
        .query_row((), |row| get(row, 0))?;
    Ok(newest.unwrap_or_default())
}

fn next_cut_off(connection: &Connection, after: u64) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached(
            "SELECT min(sequence) FROM revocations INDEXED BY cut_offs_in_order
             WHERE kind = 'cut_off' AND sequence > ?1",
        )?
        .query_row(params![after], |row| get(row, 0))
}

/// The columns of [`life`].
const LIFE: &str = "tokens.organization, tokens.created_at, tokens.expires_at";

fn life(columns: &mut Columns<'_>) -> rusqlite::Result<Life<i64>> {
    Ok(Life {
        organization: columns.take()?,
        created_at: columns.take()?,
        expires_at: columns.take()?,
    })
}

/// Counts the next tokens after one, and returns the last. Events on them are counted later.
fn count_tokens(
    connection: &Connection,
    after: i64,
    changes: &mut Changes<i64>,
) -> std::result::Result<i64, Failure> {
    let mut query = connection.prepare_cached(&TOKENS)?;
    let mut rows = query.query(params![after, PORTION])?;
    let mut last = after;
    while let Some(row) = rows.next()? {
        let columns = &mut Columns::of(row);
        last = columns.take()?;
        if !columns.take::<bool>()? {
            changes.issued(&life(columns)?, None);
        }
    }
    Ok(last)
}

pub(super) static TOKENS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT tokens.id, tokens.session, {LIFE} FROM tokens WHERE tokens.id > ?1 ORDER BY tokens.id LIMIT ?2"
    )
});

/// Counts the revocations of tokens after one event and up to another. What was deleted had expired before.
fn count_revocations(
    connection: &Connection,
    after: u64,
    through: u64,
    changes: &mut Changes<i64>,
) -> std::result::Result<(), Failure> {
    let mut query = connection.prepare_cached(&REVOCATIONS)?;
    let mut rows = query.query(params![after, through])?;
    while let Some(row) = rows.next()? {
        let columns = &mut Columns::of(row);
        let (effective_at, before) = (columns.take()?, columns.take()?);
        let life = life(columns)?;
        changes.revoked(&life, earliest([before, earliest_of(columns)?]), effective_at);
    }
    Ok(())
}

pub(super) static REVOCATIONS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT event.effective_at, event.effective_before, {LIFE}, {}
         FROM revocations AS event CROSS JOIN tokens ON tokens.id = event.token
         WHERE event.sequence > ?1 AND event.sequence <= ?2 AND event.kind = 'token' AND tokens.session = 0",
        earliest_cut_off("event.sequence")
    )
});

/// Counts the next event, a cut-off, for some tokens that it covers. Returns how many it has read, and one for the
/// cut-off itself.
fn count_cut_off(
    connection: &Connection,
    reached: &mut Counted,
    most: i64,
    changes: &mut Changes<i64>,
) -> std::result::Result<i64, Failure> {
    let cut_off = reached.event + 1;
    let among = among(connection, cut_off)?.unwrap_or(Among::All);
    let through = match among {
        Among::All => {
            // Numbers leap at a restore, and scanning the gap would take too long.
            let next: Option<i64> = connection
                .prepare_cached("SELECT min(id) FROM tokens WHERE id > ?1")?
                .query_row(params![reached.covered], |row| get(row, 0))?;
            let stretch = next.map_or(reached.token, |next| next.saturating_add(STRETCH));
            stretch.min(reached.token)
        }
        _ => reached.token,
    };
    let mut query = connection.prepare_cached(&covered(among))?;
    let mut rows = query.query(params![cut_off, reached.covered, through, most])?;
    let (mut read, mut last) = (0, 0);
    while let Some(row) = rows.next()? {
        let columns = &mut Columns::of(row);
        last = columns.take()?;
        let (effective_at, before) = (columns.take()?, columns.take()?);
        let life = life(columns)?;
        changes.revoked(&life, earliest([before, earliest_of(columns)?]), effective_at);
        read += 1;
    }
    if read == most {
        reached.covered = last;
    } else if through < reached.token {
        reached.covered = through;
    } else {
        (reached.event, reached.covered) = (cut_off, 0);
    }
    Ok(match among {
        // Rows that do not match are read too.
        Among::All => most,
        _ => read + 1,
    })
}

/// Returns the query for tokens that the cut-off `?1` ends before their expiry: those after `?2` and up to `?3`, at most
/// `?4`. An event after the cut-off has changed the instant in the token's row, and kept the former one.
pub(super) fn covered(among: Among) -> String {
    let (index, owner) = match among {
        Among::User => ("INDEXED BY tokens_by_user", "AND tokens.user = cut.user"),
        Among::Team => ("INDEXED BY tokens_by_team", "AND tokens.team = cut.team"),
        Among::Organization => (
            "INDEXED BY tokens_by_organization",
            "AND tokens.organization = cut.organization",
        ),
        Among::All => ("NOT INDEXED", ""),
    };
    format!(
        "WITH later AS MATERIALIZED (
             SELECT token, effective_before, min(sequence) FROM revocations
             WHERE sequence > ?1 AND kind = 'token' GROUP BY token)
         SELECT tokens.id, cut.effective_at,
             CASE WHEN later.token IS NULL THEN tokens.effective_at ELSE later.effective_before END, {LIFE}, {}
         FROM revocations AS cut CROSS JOIN tokens {index} LEFT JOIN later ON later.token = tokens.id
         WHERE cut.sequence = ?1 {owner} AND tokens.session = 0 AND tokens.id > ?2 AND tokens.id <= ?3
             AND (tokens.expires_at IS NULL OR tokens.expires_at > cut.effective_at) AND {COVERS}
         ORDER BY tokens.id LIMIT ?4",
        earliest_cut_off("?1")
    )
}

/// Adds to the counts.
fn add(connection: &Connection, changes: &Changes<i64>) -> rusqlite::Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO statistics (organization, day, issued, revoked, expired) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (organization, day) DO UPDATE SET issued = issued + excluded.issued,
            revoked = revoked + excluded.revoked, expired = expired + excluded.expired",
    )?;
    for (organization, day, change) in changes.days() {
        add.execute(params![
            organization.unwrap_or(DEPLOYMENT),
            day.number(),
            change.issued,
            change.revoked,
            change.expired,
        ])?;
    }
    Ok(())
}

/// Adds refusals of a token.
pub(super) fn add_refusals(
    connection: &Connection,
    organization: Option<i64>,
    last_at: Timestamp,
    count: u64,
) -> rusqlite::Result<()> {
    let mut add = connection.prepare_cached(
        "INSERT INTO statistics_of_refusals (organization, day, refused) VALUES (?1, ?2, ?3)
         ON CONFLICT (organization, day) DO UPDATE SET refused = refused + excluded.refused",
    )?;
    for organization in [Some(DEPLOYMENT), organization].into_iter().flatten() {
        add.execute(params![organization, Day::of(last_at).number(), count])?;
    }
    Ok(())
}

/// Returns when the first event was recorded that is not counted.
pub(super) fn uncounted_since(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    connection
        .prepare_cached(
            "SELECT recorded_at FROM revocations WHERE sequence > (SELECT statistics_revocations FROM meta)
             ORDER BY sequence LIMIT 1",
        )?
        .query_row((), |row| get(row, 0))
        .optional()
}

/// Calls a function with each API token, and the earliest instant at which a revocation or cut-off ends it.
fn each(
    connection: &Connection,
    mut each: impl FnMut(&Life<i64>, Option<Timestamp>),
) -> rusqlite::Result<()> {
    let mut query = connection.prepare(&format!(
        "SELECT tokens.effective_at, {LIFE}, {} FROM tokens WHERE tokens.session = 0",
        earliest_cut_off(&i64::MAX.to_string())
    ))?;
    let mut rows = query.query(())?;
    while let Some(row) = rows.next()? {
        let columns = &mut Columns::of(row);
        let revoked_at = columns.take()?;
        let life = life(columns)?;
        each(&life, earliest([revoked_at, earliest_of(columns)?]));
    }
    Ok(())
}

/// Counts the tokens of a database of an earlier version. What was deleted before is not known.
pub(super) fn migrate(transaction: &Transaction<'_>) -> HookResult {
    let mut changes = Changes::default();
    each(transaction, |life, revoked_at| changes.issued(life, revoked_at))?;
    add(transaction, &changes)?;
    count_on(transaction)?;
    Ok(())
}

/// Takes all tokens back, before their events are altered: they are counted again by [`recount`].
pub(super) fn take_back(connection: &Connection) -> rusqlite::Result<Changes<i64>> {
    let mut changes = Changes::default();
    each(connection, |life, revoked_at| changes.take_back(life, revoked_at))?;
    Ok(changes)
}

/// Counts all tokens that were taken back.
pub(super) fn recount(connection: &Connection, mut changes: Changes<i64>) -> rusqlite::Result<()> {
    each(connection, |life, revoked_at| changes.issued(life, revoked_at))?;
    add(connection, &changes)?;
    count_on(connection)
}

/// Notes that everything is counted. The newest rows may be deleted.
fn count_on(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE meta SET statistics_covered = 0,
            statistics_tokens = max(statistics_tokens, coalesce((SELECT max(id) FROM tokens), 0)),
            statistics_revocations = max(statistics_revocations, pruned_through,
                coalesce((SELECT max(sequence) FROM revocations), 0))",
        (),
    )?;
    Ok(())
}
