//! Lowering the latest recorded instant after the clock was ahead: ends what was issued meanwhile.

use rusqlite::Connection;

use crate::audit;
use crate::ended::Who;
use crate::failure::Failure;
use crate::feed::OrderedFrom;
use crate::revocable::{self, Revocable};
use crate::statistics;
use crate::values::{Bytes, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Actor, ListIndex, Revocation};
use jeton_store::rules::audit::{self as rules, Action, CLOCK_ACCEPTED};
use jeton_store::{Cause, KeyState, Realm};

/// The actor and the reason of the revocations of what was issued while the clock was ahead.
const OPERATOR: &str = "operator";
const REASON: &str = "issued while the clock was ahead";
const REASON_OF_KEYS: &str = "created while the clock was ahead";

/// Makes no recorded instant later than this one, and returns the number of tokens that it revokes.
pub(super) fn lower(batch: &mut Batch<'_>, now: Timestamp) -> Result<usize, Failure> {
    // Events are deleted, and those of cut-offs altered.
    audit::seal_all(batch.connection)?;
    let counted = statistics::take_back(batch.connection)?;
    prune_feed(batch.connection)?;
    let retired: Vec<(String, KeyState)> = batch
        .connection
        .prepare(
            "SELECT kid, state FROM keys WHERE created_at > ?1 AND state IN ('published', 'signing') ORDER BY id",
        )?
        .query_map(params![now], |row| Ok((get(row, 0)?, get(row, 1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for statement in STATEMENTS {
        batch.connection.execute(statement, params![now])?;
    }
    lower_lost(batch, now)?;
    // They contain instants, and are counted again on demand.
    batch.connection.execute("DELETE FROM owner_counts", ())?;
    batch.changed(vec![Realm::Keys])?;
    let mut revoked = 0;
    for token in issued_or_revoked_after(batch.connection, now)? {
        let stands = token.revocation.as_ref();
        let (grace, by, reason) = match stands.filter(|stands| stands.revoked_at > now) {
            // What was scheduled keeps its grace period.
            Some(stands) => (
                stands.effective_at.millis() - stands.revoked_at.millis(),
                stands.revoked_by.clone(),
                stands.reason.clone(),
            ),
            None => (0, OPERATOR.to_owned(), Some(REASON.to_owned())),
        };
        let revocation = Revocation {
            revoked_at: now,
            effective_at: now.plus_millis(grace),
            revoked_by: Actor { name: by, user: None },
            reason,
        };
        batch.revoke(&token, &revocation, OrderedFrom::default())?;
        revoked += 1;
    }
    statistics::recount(batch.connection, counted)?;
    for (kid, before) in retired {
        let change = rules::key_changed(&kid, Some(before), KeyState::Retired);
        let cause = Cause::operator(now).because(Some(REASON_OF_KEYS.to_owned()));
        batch.note_action(&change, &cause)?;
    }
    let accepted = Action {
        action: CLOCK_ACCEPTED,
        ..Action::default()
    };
    batch.note_action(&accepted, &Cause::operator(now))?;
    batch.memory.head.latest = now;
    Ok(revoked)
}

/// Lowers the instants of revoked tokens without a record.
fn lower_lost(batch: &mut Batch<'_>, now: Timestamp) -> Result<(), Failure> {
    let connection = batch.connection;
    let mut query = connection.prepare(
        "SELECT jti, effective_at, status_list, status_index FROM lost_tokens WHERE effective_at > ?1",
    )?;
    let mut rows = query.query(params![now])?;
    while let Some(row) = rows.next()? {
        let who = Who::Lost(get::<Bytes>(row, 0)?.0);
        let list_index = ListIndex {
            list: get(row, 2)?,
            index: get(row, 3)?,
        };
        batch.memory.toggle_ended(who, get(row, 1)?, list_index);
        batch.memory.toggle_ended(who, now, list_index);
    }
    connection.execute(
        "UPDATE lost_tokens SET effective_at = ?1 WHERE effective_at > ?1",
        params![now],
    )?;
    Ok(())
}

/// Prunes all events: followers of a new epoch start from a snapshot, and a cut-off can be changed only without
/// its event.
fn prune_feed(connection: &Connection) -> Result<(), Failure> {
    connection.execute(
        "UPDATE meta SET pruned_through = event.sequence, pruned_hash = event.hash
         FROM (SELECT sequence, hash FROM revocations ORDER BY sequence DESC LIMIT 1) AS event
         WHERE pruned_through < event.sequence",
        (),
    )?;
    connection.execute("DELETE FROM revocations WHERE kind = 'token'", ())?;
    Ok(())
}

/// Statements that lower instants to the parameter.
const STATEMENTS: [&str; 7] = [
    "UPDATE meta SET settled_at = min(settled_at, ?1), purged_through = min(purged_through, ?1),
        jwks_copies_until = min(jwks_copies_until, ?1)",
    // That of a withdrawn key stays: it covers tokens whenever they were issued.
    "UPDATE revocations SET
        issued_through_seconds = CASE issued_through_seconds WHEN 253402300799 THEN 253402300799
            ELSE min(issued_through_seconds, ?1 / 1000) END,
        effective_at = CASE WHEN recorded_at > ?1 THEN ?1 + effective_at - recorded_at ELSE effective_at END,
        recorded_at = min(recorded_at, ?1)
     WHERE kind = 'cut_off' AND (issued_through_seconds > ?1 / 1000 OR recorded_at > ?1)",
    "UPDATE bulk_revocations SET effective_at = ?1 + effective_at - ordered_at, ordered_at = ?1
     WHERE ordered_at > ?1",
    // Nothing that such a key signed remains, and it would wait for its instant.
    "UPDATE keys SET state = 'retired', changed_at = ?1
     WHERE created_at > ?1 AND state IN ('published', 'signing')",
    "UPDATE tokens SET last_used_at = min(last_used_at, ?1), last_refused_at = min(last_refused_at, ?1)
     WHERE (last_used_at > ?1 OR last_refused_at > ?1)",
    "UPDATE reporting_audiences SET first_reported_at = min(first_reported_at, ?1),
        last_reported_at = min(last_reported_at, ?1)",
    "UPDATE users SET disabled_at = min(disabled_at, ?1) WHERE disabled_at > ?1",
];

fn issued_or_revoked_after(connection: &Connection, now: Timestamp) -> Result<Vec<Revocable>, Failure> {
    let condition = "revoked_at > ?1 OR created_at > ?1 AND (effective_at IS NULL OR effective_at > ?1)";
    let mut query = connection.prepare(&revocable::select(&format!("{condition} ORDER BY id")))?;
    let found = query.query_map(params![now], revocable::revocable)?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
