//! SQL for cut-offs in queries over tokens.

use std::sync::LazyLock;

use uuid::Uuid;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::values::{Bound, Columns, get, params};
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, NewToken, Reach, RevocationNote, TokenId, TokenKind};

/// A condition on `tokens` and `revocations AS cut`: the token is in the reach of the cut-off.
const REACHES: &str = "(cut.organization IS NULL OR cut.organization = tokens.organization) \
     AND (cut.team IS NULL OR cut.team = tokens.team) \
     AND (cut.person IS NULL OR cut.person = tokens.person) \
     AND (cut.project IS NULL OR coalesce(tokens.projects::jsonb @> to_jsonb(cut.project), false)) \
     AND (cut.kid IS NULL OR cut.kid = (SELECT kid FROM keys WHERE keys.id = tokens.key)) \
     AND (cut.session IS NULL OR cut.session = tokens.session)";

/// A condition on the same: the cut-off covers the token.
pub(super) static COVERS: LazyLock<String> =
    LazyLock::new(|| format!("cut.issued_through_seconds >= tokens.created_at / 1000 AND {REACHES}"));

/// Conditions on `revocations AS cut` and a row of `tokens`, each with an index of its own. Cut-offs are looked up by the
/// narrowest owner that they name, so that a token is compared only with the few that can cover it.
const BY_OWNER: [&str; 4] = [
    "cut.person = tokens.person",
    "cut.team = tokens.team AND cut.person IS NULL",
    "cut.organization = tokens.organization AND cut.team IS NULL AND cut.person IS NULL",
    "cut.kind = 'cut_off' AND cut.organization IS NULL AND cut.team IS NULL AND cut.person IS NULL",
];

/// Returns a condition on `tokens`: no cut-off in effect at an instant, given as SQL, covers the token. Expresses the
/// rule [`CutOff::ends`] in SQL.
pub(super) fn uncut(instant: &str) -> String {
    no_cut_off(instant, "")
}

/// Returns the same condition for few tokens. PostgreSQL joins the other one with all revocations, however many there are;
/// this one, with an offset, it evaluates token by token, by the indexes of cut-offs.
pub(super) fn uncut_each(instant: &str) -> String {
    no_cut_off(instant, "OFFSET 0")
}

fn no_cut_off(instant: &str, end: &str) -> String {
    BY_OWNER
        .map(|condition| {
            format!(
                "NOT EXISTS (SELECT 1 FROM revocations AS cut WHERE {condition}
                 AND cut.effective_at <= {instant} AND {} {end})",
                *COVERS
            )
        })
        .join(" AND ")
}

/// Returns a query for the ids of the tokens of a relation `tokens` that a cut-off in effect at an instant, given as SQL,
/// covers. For many tokens: the few cut-offs are joined with all of them.
pub(super) fn cut(instant: &str) -> String {
    BY_OWNER
        .map(|condition| {
            format!(
                "SELECT tokens.id FROM tokens JOIN revocations AS cut ON {condition}
                 WHERE cut.effective_at <= {instant} AND {}",
                *COVERS
            )
        })
        .join(" UNION ")
}

/// Returns a column of a query over `tokens`: when the first of the cut-offs that cover the token takes effect. Only those
/// before an event, given as SQL, count.
pub(super) fn earliest_cut_off(event: &str) -> String {
    let earliest = BY_OWNER.map(|condition| {
        format!(
            "(SELECT min(cut.effective_at) FROM revocations AS cut
              WHERE {condition} AND cut.sequence < {event} AND {})",
            *COVERS
        )
    });
    format!("least({})", earliest.join(", "))
}

/// Returns who ended each of these tokens by a cut-off, and why: of several cut-offs the first to take effect. Tokens
/// that no cut-off has ended at this instant are left out.
pub(super) async fn notes(
    connection: &Connection,
    tokens: &[TokenId],
    now: Timestamp,
) -> Result<Vec<(TokenId, RevocationNote)>, Failure> {
    let covering = BY_OWNER.map(|condition| {
        format!(
            "SELECT tokens.id, cut.sequence, cut.recorded_at, cut.effective_at, cut.actor, cut.reason
             FROM tokens, revocations AS cut
             WHERE tokens.id = ANY($1) AND {condition} AND cut.effective_at <= $2 AND {}",
            *COVERS
        )
    });
    let query = format!(
        "SELECT DISTINCT ON (id) id, recorded_at, effective_at, actor, reason FROM ({}) AS covering
         ORDER BY id, effective_at, sequence",
        covering.join(" UNION ALL ")
    );
    let ids = Bound::array(tokens);
    let rows = connection.rows(&query, params![ids, now]).await?;
    rows.iter()
        .map(|row| {
            let columns = &mut Columns::of(row);
            let token = TokenId(columns.take()?);
            let note = RevocationNote {
                revoked_at: columns.take()?,
                effective_at: columns.take()?,
                revoked_by: columns.take()?,
                reason: columns.take()?,
            };
            Ok((token, note))
        })
        .collect()
}

/// Returns the tokens in the reach of a cut-off that are recorded with a later second than it covers, and that do not end
/// before it takes effect. There are some if it covers everything until now, and a server whose clock is ahead has issued
/// them.
pub(super) async fn issued_later(
    connection: &Connection,
    sequence: u64,
    cut_off: &CutOff,
) -> Result<Vec<TokenId>, Failure> {
    // The first 48 bits of a `jti` are the instant of the issue (RFC 9562, section 5.7).
    let first = cut_off.issued_through.saturating_add(1).saturating_mul(1_000);
    let first = Uuid::from_u128(u128::try_from(first).unwrap_or_default() << 80);
    let query = format!(
        "SELECT tokens.id FROM tokens, revocations AS cut WHERE cut.sequence = $1 AND tokens.jti >= $2
             AND tokens.created_at / 1000 > cut.issued_through_seconds
             AND (tokens.effective_at IS NULL OR tokens.effective_at > cut.effective_at) AND {REACHES}
         ORDER BY tokens.id"
    );
    let rows = connection.rows(&query, params![sequence, first]).await?;
    rows.iter().map(|row| get(row, 0).map(TokenId)).collect()
}

/// The columns of a cut-off, of `revocations AS event` joined with [`REACH_JOINS`].
pub(super) const CUT_OFF_COLUMNS: &str = "organizations.public_id, teams.public_id, users.public_id, \
     event.project, event.kid, event.session, event.issued_through_seconds, event.effective_at";

/// The joins for the public ids of a cut-off's reach.
pub(super) const REACH_JOINS: &str = "LEFT JOIN organizations ON organizations.id = event.organization \
     LEFT JOIN teams ON teams.id = event.team LEFT JOIN users ON users.id = event.person";

/// Reads [`CUT_OFF_COLUMNS`].
pub(super) fn cut_off(columns: &mut Columns<'_>) -> Result<CutOff, Failure> {
    Ok(CutOff {
        reach: Reach {
            organization: columns.take()?,
            team: columns.take()?,
            user: columns.take()?,
            project: columns.take()?,
            kid: columns.take()?,
            kind: columns.take::<Option<bool>>()?.map(token_kind),
        },
        issued_through: columns.take()?,
        effective_at: columns.take()?,
    })
}

/// Returns the token kind for a value of the column `session`.
pub(super) fn token_kind(session: bool) -> TokenKind {
    if session {
        TokenKind::Session
    } else {
        TokenKind::Api
    }
}

/// Returns the last second that cut-offs over a token about to be recorded cover, if any covers it.
pub(super) async fn issued_through(
    connection: &Connection,
    token: &NewToken,
) -> Result<Option<i64>, Failure> {
    let query = format!(
        "SELECT {CUT_OFF_COLUMNS} FROM revocations AS event {REACH_JOINS}
         WHERE event.kind = 'cut_off' AND event.issued_through_seconds >= $1"
    );
    let issued = token.created_at.seconds();
    let mut through = None;
    for row in connection.rows(&query, params![issued]).await? {
        let cut_off = cut_off(&mut Columns::of(&row))?;
        if cut_off.reach.covers(token) {
            through = through.max(Some(cut_off.issued_through));
        }
    }
    Ok(through)
}

/// Returns all cut-offs with the positions of their events.
pub(super) async fn all(connection: &Connection) -> Result<Vec<(u64, CutOff)>, Failure> {
    let query = format!(
        "SELECT event.sequence, {CUT_OFF_COLUMNS} FROM revocations AS event {REACH_JOINS}
         WHERE event.kind = 'cut_off' ORDER BY event.sequence"
    );
    let rows = connection.rows(&query, &[]).await?;
    rows.iter()
        .map(|row| Ok((get(row, 0)?, cut_off(&mut Columns::from(row, 1))?)))
        .collect()
}
