//! SQL for the active tokens of an owner. Apart, since guards, counts and lists share its conditions.

use rusqlite::{Connection, OptionalExtension};

use crate::cut_offs::uncut;
use crate::failure::Failure;
use crate::values::{Columns, get, params};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Owner, TokenId};
use jeton_store::NameUse;

/// An owner by its row numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OwnerNumbers {
    pub(super) organization: Option<i64>,
    pub(super) team: Option<i64>,
    pub(super) user: Option<i64>,
}

impl OwnerNumbers {
    /// Looks up the row numbers by the public ids; `None` if one is unknown.
    pub(super) fn of(connection: &Connection, owner: &Owner) -> Result<Option<Self>, Failure> {
        Ok(connection
            .prepare_cached(
                "SELECT organizations.id, teams.id, users.id FROM (SELECT 1)
                 LEFT JOIN organizations ON organizations.public_id = ?1
                 LEFT JOIN teams ON teams.public_id = ?2
                 LEFT JOIN users ON users.public_id = ?3
                 WHERE (?1 IS NULL OR organizations.id IS NOT NULL)
                     AND (?2 IS NULL OR teams.id IS NOT NULL) AND (?3 IS NULL OR users.id IS NOT NULL)",
            )?
            .query_row(params![owner.organization(), owner.team(), owner.user()], |row| {
                Self::read(&mut Columns::of(row))
            })
            .optional()?)
    }

    /// Reads the columns `organization`, `team` and `user`.
    pub(super) fn read(columns: &mut Columns<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            organization: columns.take()?,
            team: columns.take()?,
            user: columns.take()?,
        })
    }
}

/// Returns whether a token is active: no session, not expired, neither revoked nor in its grace period.
pub(super) fn is_standing(connection: &Connection, id: TokenId, now: Timestamp) -> Result<bool, Failure> {
    let query = format!(
        "SELECT EXISTS (SELECT 1 FROM tokens WHERE id = ?1 AND {})",
        standing("?2", "?3")
    );
    Ok(connection
        .prepare_cached(&query)?
        .query_row(params![id.0, now, EVER], |row| get(row, 0))?)
}

/// Returns the newest active token of an owner other than this one.
pub(super) fn other_active(
    connection: &Connection,
    owner: &Owner,
    id: TokenId,
    now: Timestamp,
) -> Result<Option<TokenId>, Failure> {
    let owner = OwnerNumbers::of(connection, owner)?.ok_or(Failure::Unknown("an owner"))?;
    let numbers = params![owner.organization, owner.team, owner.user, now, EVER, id.0];
    Ok(connection
        .prepare_cached(&other(owner))?
        .query_row(numbers, |row| get(row, 0).map(TokenId))
        .optional()?)
}

/// Returns a query for an owner's newest active token other than the sixth parameter's. Bulk revocations revoke
/// the oldest first; from that end the query would scan all that they have revoked, each time.
pub(super) fn other(owner: OwnerNumbers) -> String {
    let (of_owner, standing) = (source(owner), standing("?4", "?5"));
    format!("SELECT id FROM {of_owner} AND {standing} AND tokens.id <> ?6 ORDER BY tokens.id DESC LIMIT 1")
}

/// Returns a query for the active tokens of an owner, the newest first. Bulk revocations revoke the oldest
/// first; from that end the query would scan all that they have revoked.
pub(super) fn active(owner: OwnerNumbers) -> String {
    let (of_owner, standing) = (source(owner), standing("?4", "?5"));
    format!("SELECT id FROM {of_owner} AND {standing} ORDER BY tokens.id DESC")
}

/// Returns the use of a name among an owner's tokens.
pub(super) fn name_use(
    connection: &Connection,
    owner: &Owner,
    name: &str,
    now: Timestamp,
) -> Result<NameUse, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let owner = OwnerNumbers::of(&transaction, owner)?.ok_or(Failure::Unknown("an owner"))?;
    let newest = transaction
        .prepare_cached("SELECT max(id) FROM tokens")?
        .query_row((), |row| Ok(get::<Option<i64>>(row, 0)?.map(TokenId)))?;
    let mut query = transaction.prepare_cached(&named(owner))?;
    let numbers = params![owner.organization, owner.team, owner.user, now, EVER, name];
    let bearers = query.query_map(numbers, |row| get(row, 0).map(TokenId))?;
    Ok(NameUse {
        bearers: bearers.collect::<rusqlite::Result<_>>()?,
        newest,
    })
}

/// Returns a query for three active tokens of an owner that have the sixth parameter's name.
pub(super) fn named(owner: OwnerNumbers) -> String {
    let (of_owner, standing) = (source(owner), standing("?4", "?5"));
    format!("SELECT id FROM {of_owner} AND name = ?6 AND {standing} LIMIT 3")
}

/// Returns a query for whether a token of an owner that is newer than the fourth parameter's has the fifth
/// parameter's name. Reads the newer tokens only.
pub(super) fn named_since(owner: OwnerNumbers) -> String {
    let of_owner = source(owner);
    format!(
        "SELECT EXISTS (SELECT 1 FROM {of_owner} AND tokens.id > coalesce(?4, 0) AND name = ?5 AND session = 0)"
    )
}

/// Returns a query for the number of an owner's tokens that a limit counts, and the instant at which the first
/// of them ends by itself.
pub(super) fn count(owner: OwnerNumbers) -> String {
    let (of_owner, counted) = (source(owner), counted("?4", "?5"));
    format!(
        "SELECT count(*),
            min(min(coalesce(effective_at, {EVER}), coalesce(expires_at / 1000 * 1000, {EVER})))
         FROM {of_owner} AND {counted}"
    )
}

fn source(owner: OwnerNumbers) -> &'static str {
    match owner {
        OwnerNumbers { team: Some(_), .. } => "tokens INDEXED BY tokens_by_team WHERE team = ?2",
        OwnerNumbers { user: Some(_), .. } => {
            "tokens INDEXED BY tokens_by_user WHERE user = ?3 AND organization IS ?1"
        }
        OwnerNumbers {
            organization: Some(_),
            ..
        } => {
            "tokens INDEXED BY tokens_by_organization
             WHERE organization = ?1 AND team IS NULL AND user IS NULL"
        }
        OwnerNumbers { .. } => "tokens WHERE organization IS NULL AND team IS NULL AND user IS NULL",
    }
}

/// Includes scheduled cut-offs, which put tokens into their grace period.
pub(super) const EVER: i64 = i64::MAX;

/// Returns a condition on `tokens`: active and not in its grace period, by the parameters for this instant and
/// [`EVER`].
fn standing(now: &str, ever: &str) -> String {
    let alive = alive(now, ever);
    format!("effective_at IS NULL AND {alive}")
}

/// Returns a condition on `tokens`: counted by a limit, by the same parameters. Expresses the rule
/// [`counts`](jeton_store::rules::limits::counts) in SQL, for counts and lists.
pub(super) fn counted(now: &str, ever: &str) -> String {
    let alive = alive(now, ever);
    let cut = uncut(ever).replace("tokens.", "successor.");
    format!(
        "(effective_at IS NULL OR effective_at > {now} AND EXISTS (
             SELECT 1 FROM tokens AS successor WHERE successor.rotated_from = tokens.id
             AND (successor.effective_at IS NOT NULL OR successor.expires_at / 1000 <= {now} / 1000
                 OR NOT ({cut}))))
         AND {alive}"
    )
}

fn alive(now: &str, ever: &str) -> String {
    let uncut = uncut(ever);
    format!("session = 0 AND (expires_at IS NULL OR expires_at / 1000 > {now} / 1000) AND {uncut}")
}
