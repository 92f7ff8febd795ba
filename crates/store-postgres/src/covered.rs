//! The tokens that a cut-off covers, read a portion at a time.

use crate::connection::Connection;
use crate::cut_offs::COVERS;
use crate::failure::Failure;
use crate::values::{get, params};
use jeton_core::clock::Timestamp;
use jeton_core::token::{ListIndex, TokenId};
use jeton_store::Covered;

/// The number of tokens in a portion if the cut-off names an owner.
const PORTION: i64 = 2_000;

/// The number of token ids that a portion scans if the cut-off names no owner.
const STRETCH: i64 = 20_000;

/// The set in which a cut-off's tokens are searched, by the number of their owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    User(i64),
    Team(i64),
    Organization(i64),
    All,
}

impl Among {
    /// Returns the query for a portion: of the cut-off `$1`, after token `$2`, unexpired at second `$3`, up to
    /// the number `$4`, at most `$5`, of the owner `$6`.
    fn statement(self) -> String {
        let covers = &*COVERS;
        // The owner is a parameter and not a column of the cut-off, so that an index gives the tokens in order.
        let one = |condition: &str| {
            format!(
                "SELECT tokens.id, tokens.status_list, tokens.status_index
                 FROM tokens JOIN revocations AS cut ON cut.sequence = $1
                 WHERE {condition} AND tokens.id > $2 AND tokens.id <= $4
                 AND (tokens.expires_at IS NULL OR tokens.expires_at / 1000 > $3) AND {covers}"
            )
        };
        // Sessions have no organization and no team, and have an index of their own.
        let all = match self {
            Self::User(_) => format!(
                "{} UNION ALL {}",
                one("tokens.person = $6 AND NOT tokens.session"),
                one("tokens.person = $6 AND tokens.session")
            ),
            Self::Team(_) => one("tokens.team = $6 AND NOT tokens.session"),
            Self::Organization(_) => one("tokens.organization = $6 AND NOT tokens.session"),
            Self::All => one("$6::bigint IS NULL"),
        };
        format!("{all} ORDER BY 1 LIMIT $5")
    }

    /// Returns the number of the owner.
    pub(super) fn owner(self) -> Option<i64> {
        match self {
            Self::User(owner) | Self::Team(owner) | Self::Organization(owner) => Some(owner),
            Self::All => None,
        }
    }
}

/// Implements [`Revocations::covered`](jeton_store::Revocations::covered), on a connection whose queries read one
/// instant.
pub(super) async fn covered(
    connection: &Connection,
    cut_off: u64,
    after: TokenId,
    now: Timestamp,
) -> Result<Covered, Failure> {
    let Some(among) = among(connection, cut_off).await? else {
        return Ok(Covered {
            list_indexes: Vec::new(),
            last: None,
        });
    };
    let row = connection
        .row(
            // Numbers leap at a restore, and scanning the gap would take too long.
            "SELECT coalesce(max(id), 0), (SELECT min(id) FROM tokens WHERE id > $1) FROM tokens",
            params![after.0],
        )
        .await?;
    let (newest, next): (i64, Option<i64>) = (get(&row, 0)?, get(&row, 1)?);
    let (through, limit) = match among {
        Among::All => (next.map_or(newest, |next| next.saturating_add(STRETCH)), STRETCH),
        _ => (newest, PORTION),
    };
    let rows = connection
        .rows(
            &among.statement(),
            params![cut_off, after.0, now.seconds(), through, limit, among.owner()],
        )
        .await?;
    let last = match among {
        Among::All => (through < newest).then_some(TokenId(through)),
        _ if rows.len() as i64 == PORTION => rows.last().map(|row| get(row, 0).map(TokenId)).transpose()?,
        _ => None,
    };
    let list_index = |row| {
        Ok(ListIndex {
            list: get(row, 1)?,
            index: get(row, 2)?,
        })
    };
    Ok(Covered {
        list_indexes: rows.iter().map(list_index).collect::<Result<_, Failure>>()?,
        last,
    })
}

/// Returns where the tokens of a cut-off are searched; `None` if there is no such cut-off.
pub(super) async fn among(connection: &Connection, cut_off: u64) -> Result<Option<Among>, Failure> {
    let row = connection
        .optional(
            "SELECT person, team, organization FROM revocations WHERE sequence = $1 AND kind = 'cut_off'",
            params![cut_off],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let owner: (Option<i64>, Option<i64>, Option<i64>) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
    Ok(Some(match owner {
        (Some(user), _, _) => Among::User(user),
        (_, Some(team), _) => Among::Team(team),
        (_, _, Some(organization)) => Among::Organization(organization),
        _ => Among::All,
    }))
}
