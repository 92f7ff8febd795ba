//! The tokens that a cut-off covers, read a portion at a time.

use crate::values::{get, params};
use rusqlite::{Connection, OptionalExtension};

use crate::cut_offs::COVERS;
use crate::failure::Failure;
use jeton_core::clock::Timestamp;
use jeton_core::token::{ListIndex, TokenId};
use jeton_store::Covered;

/// The number of tokens in a portion if the cut-off names an owner.
const PORTION: i64 = 2_000;

/// The number of token ids that a portion scans if the cut-off names no owner.
const STRETCH: i64 = 20_000;

/// The set in which a cut-off's tokens are searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Among {
    User,
    Team,
    Organization,
    All,
}

impl Among {
    /// Returns the query for a portion: of the cut-off `?1`, after token `?2`, unexpired at second `?3`, up to
    /// the number `?4`, at most `?5`.
    pub(super) fn statement(self) -> String {
        // Sessions have no organization and no team, and have an index of their own.
        let one = |condition: &str| {
            format!(
                "SELECT tokens.id, tokens.status_list, tokens.status_index
                 FROM revocations AS cut CROSS JOIN tokens
                 WHERE cut.sequence = ?1 {condition} AND tokens.id > ?2 AND tokens.id <= ?4
                 AND (tokens.expires_at IS NULL OR tokens.expires_at / 1000 > ?3) AND {COVERS}"
            )
        };
        let all = match self {
            Self::User => format!(
                "{} UNION ALL {}",
                one("AND tokens.user = cut.user AND tokens.session = 0"),
                one("AND tokens.user = cut.user AND tokens.session = 1")
            ),
            Self::Team => one("AND tokens.team = cut.team AND tokens.session = 0"),
            Self::Organization => one("AND tokens.organization = cut.organization AND tokens.session = 0"),
            Self::All => one(""),
        };
        format!("{all} ORDER BY 1 LIMIT ?5")
    }
}

/// Implements [`Revocations::covered`](jeton_store::Revocations::covered).
pub(super) fn covered(
    connection: &Connection,
    cut_off: u64,
    after: TokenId,
    now: Timestamp,
) -> Result<Covered, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let nothing = Covered {
        list_indexes: Vec::new(),
        last: None,
    };
    let Some(among) = among(&transaction, cut_off)? else {
        return Ok(nothing);
    };
    let newest: i64 = transaction
        .prepare_cached("SELECT coalesce(max(id), 0) FROM tokens")?
        .query_row((), |row| get(row, 0))?;
    let (through, limit) = match among {
        Among::All => {
            // Numbers leap at a restore, and scanning the gap would take too long.
            let next: Option<i64> = transaction
                .prepare_cached("SELECT min(id) FROM tokens WHERE id > ?1")?
                .query_row(params![after.0], |row| get(row, 0))?;
            (next.map_or(newest, |next| next.saturating_add(STRETCH)), STRETCH)
        }
        _ => (newest, PORTION),
    };
    let rows: Vec<(i64, ListIndex)> = transaction
        .prepare_cached(&among.statement())?
        .query_map(params![cut_off, after.0, now.seconds(), through, limit], |row| {
            let list_index = ListIndex {
                list: get(row, 1)?,
                index: get(row, 2)?,
            };
            Ok((get(row, 0)?, list_index))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let last = match among {
        Among::All => (through < newest).then_some(TokenId(through)),
        _ if rows.len() as i64 == PORTION => rows.last().map(|(id, _)| TokenId(*id)),
        _ => None,
    };
    Ok(Covered {
        list_indexes: rows.into_iter().map(|(_, list_index)| list_index).collect(),
        last,
    })
}

/// Returns where the tokens of a cut-off are searched; `None` if there is no such cut-off.
pub(super) fn among(connection: &Connection, cut_off: u64) -> Result<Option<Among>, Failure> {
    let names = connection
        .prepare_cached(
            "SELECT user IS NOT NULL, team IS NOT NULL, organization IS NOT NULL FROM revocations
             WHERE sequence = ?1 AND kind = 'cut_off'",
        )?
        .query_row(params![cut_off], |row| {
            Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?))
        })
        .optional()?;
    Ok(names.map(|names| match names {
        (true, _, _) => Among::User,
        (_, true, _) => Among::Team,
        (_, _, true) => Among::Organization,
        _ => Among::All,
    }))
}
