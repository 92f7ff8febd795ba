//! SQL for cut-offs in queries over tokens.

use rusqlite::{Connection, OptionalExtension};

use crate::failure::Failure;
use crate::values::{Columns, get, params};
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOff, NewToken, Reach, RevocationNote, TokenId, TokenKind};
use jeton_store::rules::statistics::earliest;

/// A condition on `tokens` and `revocations AS cut`: the cut-off covers the token.
pub(super) const COVERS: &str = "cut.issued_through_seconds >= tokens.created_at / 1000 \
     AND (cut.organization IS NULL OR cut.organization = tokens.organization) \
     AND (cut.team IS NULL OR cut.team = tokens.team) \
     AND (cut.user IS NULL OR cut.user = tokens.user) \
     AND (cut.project IS NULL \
         OR EXISTS (SELECT 1 FROM json_each(tokens.projects) WHERE value = cut.project)) \
     AND (cut.kid IS NULL OR cut.kid = (SELECT kid FROM keys WHERE keys.id = tokens.key)) \
     AND (cut.session IS NULL OR cut.session = tokens.session)";

/// The cut-offs that can cover a row of `tokens`: an index, and a condition on `revocations AS cut` for which it is used.
/// Cut-offs are looked up by the narrowest owner that they name, so that a token is compared only with the few that
/// can cover it.
const BY_OWNER: [(&str, &str); 4] = [
    ("cut_offs_by_user", "cut.user = tokens.user"),
    ("cut_offs_by_team", "cut.team = tokens.team AND cut.user IS NULL"),
    (
        "cut_offs_by_organization",
        "cut.organization = tokens.organization AND cut.team IS NULL AND cut.user IS NULL",
    ),
    (
        "cut_offs_of_all",
        "cut.kind = 'cut_off' AND cut.organization IS NULL AND cut.team IS NULL AND cut.user IS NULL",
    ),
];

/// Returns a condition on `tokens`: no cut-off in effect at an instant, given as SQL, covers the token. Expresses the
/// rule [`CutOff::ends`] in SQL.
pub(super) fn uncut(instant: &str) -> String {
    BY_OWNER
        .map(|(index, condition)| {
            format!(
                "NOT EXISTS (SELECT 1 FROM revocations AS cut INDEXED BY {index} WHERE {condition}
                 AND cut.effective_at <= {instant} AND {COVERS})"
            )
        })
        .join(" AND ")
}

/// Returns the same condition for a scan over many tokens. It looks up cut-offs only for tokens that are old enough for
/// the last of all, and those that name no owner only for tokens that are old enough for the last of these.
pub(super) fn uncut_in_scan(instant: &str) -> String {
    let [by_user, by_team, by_organization, of_all] = BY_OWNER;
    let last_of_all =
        "(SELECT coalesce(max(issued_through_seconds), -1) FROM revocations INDEXED BY cut_offs_of_all
         WHERE kind = 'cut_off' AND organization IS NULL AND team IS NULL AND user IS NULL)";
    let last =
        "(SELECT coalesce(max(issued_through_seconds), -1) FROM revocations INDEXED BY cut_offs_by_instant
         WHERE kind = 'cut_off')";
    let uncut = [
        (by_user, "tokens.user IS NULL".to_owned()),
        (by_team, "tokens.team IS NULL".to_owned()),
        (by_organization, "tokens.organization IS NULL".to_owned()),
        (of_all, format!("tokens.created_at / 1000 > {last_of_all}")),
    ]
    .map(|((index, condition), is_none)| {
        format!(
            "({is_none} OR NOT EXISTS (SELECT 1 FROM revocations AS cut INDEXED BY {index} WHERE {condition}
             AND cut.effective_at <= {instant} AND {COVERS}))"
        )
    })
    .join(" AND ");
    format!("(tokens.created_at / 1000 > {last} OR {uncut})")
}

/// Returns columns of a query over `tokens`, for [`earliest_of`]: when the first of the cut-offs that cover the token takes
/// effect. Only those before an event, given as SQL, count.
pub(super) fn earliest_cut_off(event: &str) -> String {
    BY_OWNER
        .map(|(index, condition)| {
            format!(
                "(SELECT min(cut.effective_at) FROM revocations AS cut INDEXED BY {index}
                  WHERE {condition} AND cut.sequence < {event} AND {COVERS})"
            )
        })
        .join(", ")
}

/// Reads the columns of [`earliest_cut_off`].
pub(super) fn earliest_of(columns: &mut Columns<'_>) -> rusqlite::Result<Option<Timestamp>> {
    let instants: [Option<Timestamp>; BY_OWNER.len()] =
        [columns.take()?, columns.take()?, columns.take()?, columns.take()?];
    Ok(earliest(instants))
}

/// Returns who ended each of these tokens by a cut-off, and why: of several cut-offs the first to take effect. Tokens
/// that no cut-off has ended at this instant are left out.
pub(super) fn notes(
    connection: &Connection,
    tokens: &[TokenId],
    now: Timestamp,
) -> Result<Vec<(TokenId, RevocationNote)>, Failure> {
    let covering = BY_OWNER.map(|(index, condition)| {
        format!(
            "SELECT cut.sequence, cut.recorded_at, cut.effective_at, cut.actor, cut.reason
             FROM tokens, revocations AS cut INDEXED BY {index}
             WHERE tokens.id = ?1 AND {condition} AND cut.effective_at <= ?2 AND {COVERS}"
        )
    });
    let query = format!(
        "SELECT recorded_at, effective_at, actor, reason FROM ({}) ORDER BY effective_at, sequence LIMIT 1",
        covering.join(" UNION ALL ")
    );
    let mut query = connection.prepare_cached(&query)?;
    let mut notes = Vec::new();
    for token in tokens {
        let note = query.query_row(params![token.0, now], |row| {
            Ok(RevocationNote {
                revoked_at: get(row, 0)?,
                effective_at: get(row, 1)?,
                revoked_by: get(row, 2)?,
                reason: get(row, 3)?,
            })
        });
        notes.extend(note.optional()?.map(|note| (*token, note)));
    }
    Ok(notes)
}

/// The columns of a cut-off, of `revocations AS event` joined with [`REACH_JOINS`].
pub(super) const CUT_OFF_COLUMNS: &str = "organizations.public_id, teams.public_id, users.public_id, \
     event.project, event.kid, event.session, event.issued_through_seconds, event.effective_at";

/// The joins for the public ids of a cut-off's reach.
pub(super) const REACH_JOINS: &str = "LEFT JOIN organizations ON organizations.id = event.organization \
     LEFT JOIN teams ON teams.id = event.team LEFT JOIN users ON users.id = event.user";

/// Reads [`CUT_OFF_COLUMNS`].
pub(super) fn cut_off(columns: &mut Columns<'_>) -> rusqlite::Result<CutOff> {
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
pub(super) fn issued_through(connection: &Connection, token: &NewToken) -> Result<Option<i64>, Failure> {
    let issued = token.created_at.seconds();
    let query = format!(
        "SELECT {CUT_OFF_COLUMNS} FROM revocations AS event {REACH_JOINS}
         WHERE event.kind = 'cut_off' AND event.issued_through_seconds >= ?1"
    );
    let mut query = connection.prepare_cached(&query)?;
    let mut rows = query.query(params![issued])?;
    let mut through = None;
    while let Some(row) = rows.next()? {
        let cut_off = cut_off(&mut Columns::of(row))?;
        if cut_off.reach.covers(token) {
            through = through.max(Some(cut_off.issued_through));
        }
    }
    Ok(through)
}

/// Returns all cut-offs with the positions of their events.
pub(super) fn all(connection: &Connection) -> Result<Vec<(u64, CutOff)>, Failure> {
    let query = format!(
        "SELECT event.sequence, {CUT_OFF_COLUMNS} FROM revocations AS event {REACH_JOINS}
         WHERE event.kind = 'cut_off' ORDER BY event.sequence"
    );
    let mut query = connection.prepare_cached(&query)?;
    let rows = query.query_map((), |row| {
        let columns = &mut Columns::of(row);
        Ok((columns.take()?, cut_off(columns)?))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
