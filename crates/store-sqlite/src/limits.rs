//! How many active tokens an owner has.

use crate::values::{get, params};
use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use crate::cut_offs::uncut;
use crate::failure::Failure;
use jeton_core::clock::Timestamp;
use jeton_core::token::TokenId;

/// An owner by the numbers of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct OwnerNumbers {
    pub(super) organization: Option<i64>,
    pub(super) team: Option<i64>,
    pub(super) user: Option<i64>,
}

impl OwnerNumbers {
    /// Whose tokens count where an organization limits the owner: a person's that are good everywhere
    /// are good there too.
    pub(super) fn counted_in(self, organization: i64) -> Vec<Self> {
        let here = Self {
            organization: Some(organization),
            ..self
        };
        let everywhere = Self {
            organization: None,
            ..self
        };
        match self.user {
            Some(_) => vec![here, everywhere],
            None => vec![here],
        }
    }
}

/// Counts of owners that have a limit. Too high until counted anew, never too low: only issuing
/// raises them (what counts again when its successor ends takes the place of that in the count), and
/// only when one says full are the tokens themselves counted.
#[derive(Default)]
pub(super) struct Counts {
    of: HashMap<OwnerNumbers, Count>,
}

struct Count {
    active: u32,
    /// The feed's last event when the tokens were counted: only a later one can have ended any.
    counted_at: u64,
    /// The second in which the first of them ends without an event.
    first_end: i64,
}

/// How many owners are remembered.
const KEPT: usize = 50_000;

impl Counts {
    /// Whether owners together have fewer active tokens than they may have. What is revoked or past its
    /// end does not count, nor does a session; nor what is in its grace, unless its successor has ended.
    pub(super) fn has_room(
        &mut self,
        connection: &Connection,
        owners: &[OwnerNumbers],
        most: u32,
        sequence: u64,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let known = owners
            .iter()
            .map(|owner| self.of.get(owner).map(|count| count.active));
        let known: Option<u32> = known.sum();
        if known.is_some_and(|active| active < most) {
            return Ok(true);
        }
        if self.of.len() >= KEPT {
            self.of.clear();
        }
        let mut active: u32 = 0;
        for owner in owners {
            let count = match self.of.remove(owner) {
                // Counting reads every token the owner ever had: not again while nothing can have ended.
                Some(count) if count.counted_at == sequence && now.seconds() < count.first_end => count,
                _ => count(connection, *owner, sequence, now)?,
            };
            active = active.saturating_add(count.active);
            self.of.insert(*owner, count);
        }
        Ok(active < most)
    }

    /// Notes a token that was recorded.
    pub(super) fn add(&mut self, owner: OwnerNumbers, expires_at: Option<Timestamp>) {
        if let Some(count) = self.of.get_mut(&owner) {
            count.active = count.active.saturating_add(1);
            count.first_end = count
                .first_end
                .min(expires_at.map_or(i64::MAX, Timestamp::seconds));
        }
    }
}

/// Whether a token is one of its owner's active ones: no session, not expired, neither revoked nor in
/// its grace.
pub(super) fn is_standing(connection: &Connection, id: TokenId, now: Timestamp) -> Result<bool, Failure> {
    let query = format!(
        "SELECT EXISTS (SELECT 1 FROM tokens WHERE id = ?1 AND {})",
        standing("?2", "?3")
    );
    Ok(connection
        .prepare_cached(&query)?
        .query_row(params![id.0, now, EVER], |row| get(row, 0))?)
}

/// Whether the owner of a token has another active one.
pub(super) fn has_other(connection: &Connection, id: TokenId, now: Timestamp) -> Result<bool, Failure> {
    let owner = connection
        .prepare_cached("SELECT organization, team, user FROM tokens WHERE id = ?1")?
        .query_row(params![id.0], |row| {
            Ok(OwnerNumbers {
                organization: get(row, 0)?,
                team: get(row, 1)?,
                user: get(row, 2)?,
            })
        })
        .optional()?;
    let Some(owner) = owner else { return Ok(false) };
    let numbers = params![owner.organization, owner.team, owner.user, now, EVER, id.0];
    let has_other = connection
        .prepare_cached(&other(owner))?
        .query_row(numbers, |_| Ok(()))
        .optional()?;
    Ok(has_other.is_some())
}

/// Any other active token of an owner than the sixth parameter's. The newest first: revocations of many
/// go the other way, and would otherwise pass by all that they have revoked, each time.
pub(super) fn other(owner: OwnerNumbers) -> String {
    let (of_owner, standing) = (source(owner), standing("?4", "?5"));
    format!("SELECT 1 FROM {of_owner} AND {standing} AND tokens.id <> ?6 ORDER BY tokens.id DESC LIMIT 1")
}

/// The active tokens of an owner. The newest first: revocations of many go the other way, and would
/// otherwise pass by all that they have revoked.
pub(super) fn active(owner: OwnerNumbers) -> String {
    let (of_owner, standing) = (source(owner), standing("?4", "?5"));
    format!("SELECT id FROM {of_owner} AND {standing} ORDER BY tokens.id DESC")
}

/// The active tokens of an owner that have the sixth parameter's name.
pub(super) fn named(owner: OwnerNumbers) -> String {
    let (of_owner, standing) = (source(owner), standing("?4", "?5"));
    format!("SELECT id FROM {of_owner} AND name = ?6 AND {standing}")
}

fn count(
    connection: &Connection,
    owner: OwnerNumbers,
    sequence: u64,
    now: Timestamp,
) -> Result<Count, Failure> {
    let numbers = params![owner.organization, owner.team, owner.user, now, EVER];
    Ok(connection
        .prepare_cached(&statement(owner))?
        .query_row(numbers, |row| {
            Ok(Count {
                active: get(row, 0)?,
                counted_at: sequence,
                first_end: get::<Option<i64>>(row, 1)?.unwrap_or(i64::MAX),
            })
        })?)
}

pub(super) fn statement(owner: OwnerNumbers) -> String {
    let (of_owner, counted) = (source(owner), counted("?4", "?5"));
    format!(
        "SELECT count(*), min(min(coalesce(effective_at, {EVER}), coalesce(expires_at, {EVER}))) / 1000
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

/// Cut-offs that are yet to be obeyed put tokens into their grace.
pub(super) const EVER: i64 = i64::MAX;

/// A condition on `tokens`: active and not in its grace, by the parameters for this instant and [`EVER`].
fn standing(now: &str, ever: &str) -> String {
    let alive = alive(now, ever);
    format!("effective_at IS NULL AND {alive}")
}

/// A condition on `tokens`: what a limit counts, by the same parameters. What is in its grace counts
/// again once its successor has ended, or is ordered to: otherwise rotating and revoking what comes of it
/// would be a way around the limit.
pub(super) fn counted(now: &str, ever: &str) -> String {
    let alive = alive(now, ever);
    // A cut-off that covers the successor covers this one too.
    format!(
        "(effective_at IS NULL OR effective_at > {now} AND EXISTS (
             SELECT 1 FROM tokens AS successor WHERE successor.rotated_from = tokens.id
             AND (successor.effective_at IS NOT NULL OR successor.expires_at / 1000 <= {now} / 1000)))
         AND {alive}"
    )
}

fn alive(now: &str, ever: &str) -> String {
    let uncut = uncut(ever);
    format!("session = 0 AND (expires_at IS NULL OR expires_at / 1000 > {now} / 1000) AND {uncut}")
}
