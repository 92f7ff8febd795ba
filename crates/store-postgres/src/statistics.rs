//! Statistics: counts tokens by day, in portions after their commits, and returns the counts.
//!
//! The rows of `tokens` and `revocations` are counted in the order of their numbers, tokens first: so each token that a
//! cut-off covers is counted before it, since a token that a known cut-off covers is not recorded.

use std::sync::LazyLock;

use async_trait::async_trait;

use crate::PostgresStore;
use crate::connection::Connection;
use crate::covered::{Among, among};
use crate::cut_offs::{COVERS, earliest_cut_off};
use crate::failure::Failure;
use crate::values::{Bound, Columns, get, params};
use jeton_core::clock::{Day, Timestamp};
use jeton_core::directory::OrganizationId;
use jeton_core::token::{Refusals, TokenId};
use jeton_store::rules::statistics::{self, Change, Changes, Life, earliest};
use jeton_store::{DayCounts, Result, Statistics};

/// The most tokens that a portion counts, and the most events with the tokens of cut-offs.
const PORTION: i64 = 2_000;

/// The number of token ids that a portion scans if a cut-off names no owner.
const STRETCH: i64 = 20_000;

/// The organization of the rows that count all tokens.
const DEPLOYMENT: i64 = 0;

/// How far tokens and events are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) token: i64,
    pub(super) event: u64,
    /// Of the event after it, if that is a cut-off: the last token for which it is counted.
    pub(super) covered: i64,
}

impl Counted {
    /// Reads `statistics_tokens`, `statistics_revocations` and `statistics_covered`.
    pub(super) fn read(columns: &mut Columns<'_>) -> std::result::Result<Self, Failure> {
        Ok(Self {
            token: columns.take()?,
            event: columns.take()?,
            covered: columns.take()?,
        })
    }
}

#[async_trait]
impl Statistics for PostgresStore {
    async fn statistics(
        &self,
        organization: Option<OrganizationId>,
        from: Day,
        through: Day,
    ) -> Result<Vec<DayCounts>> {
        let mut connection = self.connections.read_at_once().await?;
        let counts = counts(&connection, organization, (from, through)).await?;
        connection.end().await?;
        Ok(counts)
    }
}

async fn counts(
    connection: &Connection,
    organization: Option<OrganizationId>,
    (from, through): (Day, Day),
) -> std::result::Result<Vec<DayCounts>, Failure> {
    let number: Option<i64> = match organization {
        Some(organization) => {
            let query = "SELECT (SELECT id FROM organizations WHERE public_id = $1)";
            get(&connection.row(query, params![organization]).await?, 0)?
        }
        None => Some(DEPLOYMENT),
    };
    let range = params![number, from.number(), through.number()];
    let active = "SELECT coalesce(sum(issued - revoked - expired), 0)::bigint FROM statistics
        WHERE organization = $1 AND day < $2";
    let active = connection.row(active, params![number, from.number()]).await?;
    let changes = "SELECT day, issued, revoked, expired FROM statistics
        WHERE organization = $1 AND day BETWEEN $2 AND $3";
    let changes = connection.rows(changes, range).await?;
    let refused = "SELECT day, refused FROM statistics_of_refusals
        WHERE organization = $1 AND day BETWEEN $2 AND $3";
    let refused = connection.rows(refused, range).await?;
    let changes = changes.iter().map(|row| {
        let columns = &mut Columns::of(row);
        let day = columns.take()?;
        let change = Change {
            issued: columns.take()?,
            revoked: columns.take()?,
            expired: columns.take()?,
        };
        Ok(Day::from_number(day).map(|day| (day, change)))
    });
    let refused = refused
        .iter()
        .map(|row| Ok(Day::from_number(get(row, 0)?).zip(Some(get(row, 1)?))));
    let changes: Vec<_> = changes.collect::<std::result::Result<_, Failure>>()?;
    let refused: Vec<_> = refused.collect::<std::result::Result<_, Failure>>()?;
    Ok(statistics::days(
        (from, through),
        get(&active, 0)?,
        changes.into_iter().flatten(),
        refused.into_iter().flatten(),
    ))
}

/// Counts the next tokens and events, and returns how far they are counted. All up to the last token and the last event
/// were committed at one instant.
pub(super) async fn count_portion(
    connection: &Connection,
    before: Counted,
    (last_token, last_event): (i64, u64),
) -> std::result::Result<Counted, Failure> {
    let mut reached = before;
    let mut changes = Changes::default();
    if reached.token < last_token {
        reached.token = count_tokens(connection, before.token, last_token, &mut changes).await?;
    }
    let mut left = PORTION;
    while reached.token >= last_token && reached.event < last_event && left > 0 {
        let next = "SELECT min(sequence) FROM revocations WHERE kind = 'cut_off' AND sequence > $1";
        let next: Option<u64> = get(&connection.row(next, params![reached.event]).await?, 0)?;
        left -= match next {
            Some(cut_off) if cut_off == reached.event + 1 => {
                count_cut_off(connection, &mut reached, left, &mut changes).await?
            }
            cut_off => {
                let through = cut_off.map_or(last_event, |cut_off| last_event.min(cut_off - 1));
                let through = through.min(reached.event.saturating_add(left.unsigned_abs()));
                count_revocations(connection, reached.event, through, &mut changes).await?;
                let done = through - reached.event;
                reached.event = through;
                i64::try_from(done).unwrap_or(i64::MAX)
            }
        };
    }
    add(connection, &changes).await?;
    Ok(reached)
}

/// The columns of [`life`].
const LIFE: &str = "tokens.organization, tokens.created_at, tokens.expires_at";

fn life(columns: &mut Columns<'_>) -> std::result::Result<Life<i64>, Failure> {
    Ok(Life {
        organization: columns.take()?,
        created_at: columns.take()?,
        expires_at: columns.take()?,
    })
}

/// Counts the next tokens after one and up to another, and returns the last. Events on them are counted later.
async fn count_tokens(
    connection: &Connection,
    after: i64,
    through: i64,
    changes: &mut Changes<i64>,
) -> std::result::Result<i64, Failure> {
    let rows = connection.rows(&TOKENS, params![after, through, PORTION]).await?;
    let mut last = through;
    for row in &rows {
        let columns = &mut Columns::of(row);
        let id = columns.take()?;
        if rows.len() as i64 == PORTION {
            last = id;
        }
        if !columns.take::<bool>()? {
            changes.issued(&life(columns)?, None);
        }
    }
    Ok(last)
}

static TOKENS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT tokens.id, tokens.session, {LIFE} FROM tokens
         WHERE tokens.id > $1 AND tokens.id <= $2 ORDER BY tokens.id LIMIT $3"
    )
});

/// Counts the revocations of tokens after one event and up to another. What was deleted had expired before.
async fn count_revocations(
    connection: &Connection,
    after: u64,
    through: u64,
    changes: &mut Changes<i64>,
) -> std::result::Result<(), Failure> {
    for row in connection.rows(&REVOCATIONS, params![after, through]).await? {
        count_end(&mut Columns::of(&row), changes)?;
    }
    Ok(())
}

static REVOCATIONS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT event.effective_at, event.effective_before, {LIFE}, {}
         FROM revocations AS event JOIN tokens ON tokens.id = event.token
         WHERE event.sequence > $1 AND event.sequence <= $2 AND event.kind = 'token' AND NOT tokens.session",
        earliest_cut_off("event.sequence")
    )
});

/// Counts an event of a token: reads when it takes effect, when the token's own revocation before it did, the token, and
/// when the first cut-off before it did.
fn count_end(columns: &mut Columns<'_>, changes: &mut Changes<i64>) -> std::result::Result<(), Failure> {
    let (effective_at, before) = (columns.take()?, columns.take()?);
    let life = life(columns)?;
    changes.revoked(&life, earliest([before, columns.take()?]), effective_at);
    Ok(())
}

/// Counts the next event, a cut-off, for some tokens that it covers. Returns how many it has read, and one for the
/// cut-off itself.
async fn count_cut_off(
    connection: &Connection,
    reached: &mut Counted,
    most: i64,
    changes: &mut Changes<i64>,
) -> std::result::Result<i64, Failure> {
    let cut_off = reached.event + 1;
    let among = among(connection, cut_off).await?.unwrap_or(Among::All);
    let through = match among {
        Among::All => {
            // Numbers leap when history was lost, and scanning the gap would take too long.
            let next = "SELECT min(id) FROM tokens WHERE id > $1";
            let next: Option<i64> = get(&connection.row(next, params![reached.covered]).await?, 0)?;
            let stretch = next.map_or(reached.token, |next| next.saturating_add(STRETCH));
            stretch.min(reached.token)
        }
        _ => reached.token,
    };
    let range = params![cut_off, reached.covered, through, most, among.owner()];
    let rows = connection.rows(&covered(among), range).await?;
    for row in &rows {
        count_end(&mut Columns::from(row, 1), changes)?;
    }
    match rows.last() {
        Some(last) if rows.len() as i64 == most => reached.covered = get(last, 0)?,
        _ if through < reached.token => reached.covered = through,
        _ => (reached.event, reached.covered) = (cut_off, 0),
    }
    Ok(match among {
        // Rows that do not match are read too.
        Among::All => most,
        _ => rows.len() as i64 + 1,
    })
}

/// Returns the query for tokens of the owner `$5` that the cut-off `$1` ends before their expiry: those after `$2` and up to
/// `$3`, at most `$4`. An event after the cut-off has changed the instant in the token's row, and kept the former one.
fn covered(among: Among) -> String {
    let owner = match among {
        Among::User(_) => "tokens.person = $5",
        Among::Team(_) => "tokens.team = $5",
        Among::Organization(_) => "tokens.organization = $5",
        Among::All => "$5::bigint IS NULL",
    };
    format!(
        "WITH later AS MATERIALIZED (
             SELECT DISTINCT ON (token) token, effective_before FROM revocations
             WHERE sequence > $1 AND kind = 'token' ORDER BY token, sequence)
         SELECT tokens.id, cut.effective_at,
             CASE WHEN later.token IS NULL THEN tokens.effective_at ELSE later.effective_before END, {LIFE}, {}
         FROM tokens JOIN revocations AS cut ON cut.sequence = $1 LEFT JOIN later ON later.token = tokens.id
         WHERE {owner} AND NOT tokens.session AND tokens.id > $2 AND tokens.id <= $3
             AND (tokens.expires_at IS NULL OR tokens.expires_at > cut.effective_at) AND {}
         ORDER BY tokens.id LIMIT $4",
        earliest_cut_off("$1"),
        *COVERS
    )
}

/// Adds to the counts.
async fn add(connection: &Connection, changes: &Changes<i64>) -> std::result::Result<(), Failure> {
    let days: Vec<_> = changes.days().collect();
    if days.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&(Option<i64>, Day, Change)) -> i64| Bound::array(days.iter().map(of));
    connection
        .execute(
            "INSERT INTO statistics (organization, day, issued, revoked, expired)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
             ON CONFLICT (organization, day) DO UPDATE SET issued = statistics.issued + excluded.issued,
                revoked = statistics.revoked + excluded.revoked, expired = statistics.expired + excluded.expired",
            params![
                column(|(organization, ..)| organization.unwrap_or(DEPLOYMENT)),
                column(|(_, day, _)| day.number()),
                column(|(.., change)| change.issued),
                column(|(.., change)| change.revoked),
                column(|(.., change)| change.expired),
            ],
        )
        .await?;
    Ok(())
}

/// Adds refusals of tokens, under the writers' lock.
pub(super) async fn add_refusals(
    connection: &Connection,
    refused: &[(TokenId, Refusals)],
) -> std::result::Result<(), Failure> {
    let days = refused
        .iter()
        .map(|(_, refusals)| Day::of(refusals.last_at).number());
    connection
        .execute(
            "INSERT INTO statistics_of_refusals (organization, day, refused)
             SELECT counted.organization, refused.day, sum(refused.count)::bigint
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS refused (token, day, count)
             JOIN tokens ON tokens.id = refused.token AND NOT tokens.session
             CROSS JOIN LATERAL (VALUES ($4::bigint), (tokens.organization)) AS counted (organization)
             WHERE counted.organization IS NOT NULL GROUP BY 1, 2
             ON CONFLICT (organization, day)
                DO UPDATE SET refused = statistics_of_refusals.refused + excluded.refused",
            params![
                Bound::array(refused.iter().map(|(token, _)| token)),
                Bound::array(days),
                Bound::array(refused.iter().map(|(_, refusals)| refusals.count)),
                DEPLOYMENT,
            ],
        )
        .await?;
    Ok(())
}

/// Returns when the first event was recorded that is not counted.
pub(super) async fn uncounted_since(
    connection: &Connection,
) -> std::result::Result<Option<Timestamp>, Failure> {
    let query = "SELECT (SELECT recorded_at FROM revocations
        WHERE sequence > (SELECT statistics_revocations FROM meta) ORDER BY sequence LIMIT 1)";
    get(&connection.row(query, &[]).await?, 0)
}
