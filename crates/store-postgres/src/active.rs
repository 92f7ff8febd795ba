//! SQL for the active tokens of an owner. Apart, since guards, counts and lists share its conditions.

use std::sync::LazyLock;

use crate::connection::Connection;
use crate::cut_offs::{uncut, uncut_each};
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
    pub(super) async fn of(connection: &Connection, owner: &Owner) -> Result<Option<Self>, Failure> {
        let row = connection
            .optional(
                "SELECT organizations.id, teams.id, users.id FROM (SELECT 1) AS one
                 LEFT JOIN organizations ON organizations.public_id = $1
                 LEFT JOIN teams ON teams.public_id = $2
                 LEFT JOIN users ON users.public_id = $3
                 WHERE ($1 IS NULL OR organizations.id IS NOT NULL)
                     AND ($2 IS NULL OR teams.id IS NOT NULL) AND ($3 IS NULL OR users.id IS NOT NULL)",
                params![owner.organization(), owner.team(), owner.user()],
            )
            .await?;
        row.map(|row| Self::read(&mut Columns::of(&row))).transpose()
    }

    /// Reads the columns `organization`, `team` and `person`.
    pub(super) fn read(columns: &mut Columns<'_>) -> Result<Self, Failure> {
        Ok(Self {
            organization: columns.take()?,
            team: columns.take()?,
            user: columns.take()?,
        })
    }
}

/// Returns whether a token is active: no session, not expired, neither revoked nor in its grace period.
pub(super) async fn is_standing(
    connection: &Connection,
    id: TokenId,
    now: Timestamp,
) -> Result<bool, Failure> {
    let query = format!(
        "SELECT EXISTS (SELECT 1 FROM tokens WHERE id = $1 AND {})",
        standing("$2::bigint", "$3::bigint")
    );
    get(&connection.row(&query, params![id.0, now, EVER]).await?, 0)
}

/// Returns whether a credential is active: a token or a session that is neither expired nor revoked.
pub(super) async fn is_active(connection: &Connection, id: TokenId, now: Timestamp) -> Result<bool, Failure> {
    get(&connection.row(&ACTIVE, params![id.0, now]).await?, 0)
}

static ACTIVE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT EXISTS (SELECT 1 FROM tokens WHERE id = $1 AND (effective_at IS NULL OR effective_at > $2)
         AND (expires_at IS NULL OR expires_at / 1000 > $2::bigint / 1000) AND {})",
        uncut_each("$2::bigint")
    )
});

/// Returns the newest active token of an owner other than this one.
pub(super) async fn other_active(
    connection: &Connection,
    owner: &Owner,
    id: TokenId,
    now: Timestamp,
) -> Result<Option<TokenId>, Failure> {
    let owner = OwnerNumbers::of(connection, owner)
        .await?
        .ok_or(Failure::Unknown("an owner"))?;
    let query = format!(
        "SELECT id FROM tokens WHERE {} AND {} AND tokens.id <> $6 ORDER BY tokens.id DESC LIMIT 1",
        of_owner(owner),
        standing("$4::bigint", "$5::bigint")
    );
    let numbers = params![owner.organization, owner.team, owner.user, now, EVER, id.0];
    let row = connection.optional(&query, numbers).await?;
    row.map(|row| get(&row, 0).map(TokenId)).transpose()
}

/// Returns the use of a name among an owner's tokens.
pub(super) async fn name_use(
    connection: &Connection,
    owner: &Owner,
    name: &str,
    now: Timestamp,
) -> Result<NameUse, Failure> {
    let owner = OwnerNumbers::of(connection, owner)
        .await?
        .ok_or(Failure::Unknown("an owner"))?;
    let newest = connection.row("SELECT max(id) FROM tokens", &[]).await?;
    let query = format!(
        "SELECT id FROM tokens WHERE {} AND name = $6 AND {} LIMIT 3",
        of_owner(owner),
        standing("$4::bigint", "$5::bigint")
    );
    let numbers = params![owner.organization, owner.team, owner.user, now, EVER, name];
    let bearers = connection.rows(&query, numbers).await?;
    Ok(NameUse {
        bearers: bearers
            .iter()
            .map(|row| get(row, 0).map(TokenId))
            .collect::<Result<_, _>>()?,
        newest: get::<Option<i64>>(&newest, 0)?.map(TokenId),
    })
}

/// Returns a query for whether a token of an owner that is newer than the fourth parameter's has the fifth parameter's
/// name. Reads the newer tokens only.
pub(super) fn named_since(owner: OwnerNumbers) -> String {
    let of_owner = of_owner(owner);
    format!(
        "SELECT EXISTS (SELECT 1 FROM tokens
         WHERE {of_owner} AND id > coalesce($4::bigint, 0) AND name = $5 AND NOT session)"
    )
}

/// Returns a query for the number of an owner's tokens that a limit counts, and the instant at which the first
/// of them ends by itself.
pub(super) fn count(owner: OwnerNumbers) -> String {
    format!(
        "SELECT count(*), min(least(coalesce(effective_at, {EVER}), coalesce(expires_at / 1000 * 1000, {EVER})))
         FROM tokens WHERE {} AND {}",
        of_owner(owner),
        counted("$4::bigint", "$5::bigint")
    )
}

/// Returns a condition on `tokens`: they are of the owner with the numbers in the first three parameters. One for each
/// kind of owner, since an index is not used for `IS NOT DISTINCT FROM`. Each names all parameters.
pub(super) fn of_owner(owner: OwnerNumbers) -> &'static str {
    match owner {
        OwnerNumbers { team: Some(_), .. } => {
            "tokens.team = $2::bigint AND tokens.organization = $1::bigint AND $3::bigint IS NULL"
        }
        OwnerNumbers { user: Some(_), .. } => {
            "tokens.person = $3::bigint AND tokens.organization IS NOT DISTINCT FROM $1::bigint AND $2::bigint IS NULL"
        }
        OwnerNumbers {
            organization: Some(_),
            ..
        } => {
            "tokens.organization = $1::bigint AND tokens.team IS NULL AND tokens.person IS NULL
             AND coalesce($2::bigint, $3::bigint) IS NULL"
        }
        OwnerNumbers { .. } => {
            "tokens.organization IS NULL AND tokens.team IS NULL AND tokens.person IS NULL
             AND coalesce($1::bigint, $2::bigint, $3::bigint) IS NULL"
        }
    }
}

/// Includes scheduled cut-offs, which put tokens into their grace period.
pub(super) const EVER: i64 = i64::MAX;

/// Returns a condition on `tokens`: active and not in its grace period, by the parameters for this instant and
/// [`EVER`].
pub(super) fn standing(now: &str, ever: &str) -> String {
    let alive = alive(now, ever);
    format!("effective_at IS NULL AND {alive}")
}

/// Returns a condition on `tokens`: counted by a limit, by the same parameters. Expresses the rule
/// [`counts`](jeton_store::rules::limits::counts) in SQL, for counts and lists.
pub(super) fn counted(now: &str, ever: &str) -> String {
    let alive = alive(now, ever);
    let cut = uncut(ever).replace("tokens.", "successor.");
    format!(
        "(tokens.effective_at IS NULL OR tokens.effective_at > {now} AND EXISTS (
             SELECT 1 FROM tokens AS successor WHERE successor.rotated_from = tokens.id
             AND (successor.effective_at IS NOT NULL OR successor.expires_at / 1000 <= {now} / 1000
                 OR NOT ({cut}))))
         AND {alive}"
    )
}

fn alive(now: &str, ever: &str) -> String {
    let uncut = uncut(ever);
    format!("NOT session AND (expires_at IS NULL OR expires_at / 1000 > {now} / 1000) AND {uncut}")
}
