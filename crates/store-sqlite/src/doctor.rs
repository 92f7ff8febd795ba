//! The examination of a database that a server may be serving. It only reads.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use uuid::Uuid;

use crate::backup::{BackupError, failed, source, sum_flaw};
use crate::chain;
use crate::drill::Examination;
use crate::ended::{self, Source};
use crate::journal::{self, folder_of};
use crate::open;
use crate::reconcile::is_new;
use crate::values::{Bytes, get};
use jeton_core::clock::Timestamp;
use jeton_core::token::ListIndex;
use jeton_journal::History;
use jeton_store::KeyState;
use jeton_verifier::event::Position;

/// What a database and its journal were found to be.
#[derive(Debug)]
pub struct DatabaseExamined {
    /// The checks, each with a flaw or with what was found to be in order.
    pub checks: Vec<DatabaseCheck>,
    /// The id of the deployment.
    pub origin: Uuid,
    /// The issuer, if a server has started on it.
    pub issuer: Option<String>,
    /// The latest instant of an order.
    pub latest_at: Timestamp,
    /// The revoked tokens in effect by their status list indexes, of lists that exist.
    pub revoked: Vec<ListIndex>,
    /// The file of the WAL.
    pub wal: PathBuf,
}

/// A check of a database.
#[derive(Debug)]
pub struct DatabaseCheck {
    /// What is checked.
    pub part: DatabasePart,
    /// What was found.
    pub outcome: Result<String, String>,
}

/// A part of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabasePart {
    /// The structure of the file, and its indexes.
    File,
    /// The chain of hashes over the feed, without a gap.
    Feed,
    /// The records and the index of revoked tokens, by the sum over them.
    Revoked,
    /// There is a journal.
    JournalPresent,
    /// The journal can be read, and leads to the state of the database.
    Journal,
    /// Everything in the journal is in force.
    JournalInForce,
    /// The commits that the journal shows are there, of those that revoked nothing.
    Commits,
}

/// How often, and after which pause, the journal is read again if it does not agree: a line is in the journal before its
/// commit, and not yet whole while it is written.
const COMPARED: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// Examines a database beside its server. `in_effect_by` is the instant by which the returned revocations are in effect.
///
/// The files of the database are opened by SQLite alone, which takes the WAL into account, and the WAL stays as it is.
///
/// # Errors
///
/// [`BackupError`] if the file is none of ours, or cannot be read.
pub fn examine(
    database: &Path,
    now: Timestamp,
    in_effect_by: Timestamp,
) -> Result<DatabaseExamined, BackupError> {
    let database = &open::resolved(database)?;
    let connection = source(database)?;
    let (origin, issuer, latest_at) = connection
        .query_row("SELECT origin, issuer, latest_at FROM meta", (), |row| {
            Ok((get::<Bytes>(row, 0)?.0, get(row, 1)?, get(row, 2)?))
        })
        .map_err(|error| failed(database, error))?;
    let mut checks = vec![
        DatabaseCheck::new(DatabasePart::File, integrity(&connection)),
        DatabaseCheck::new(
            DatabasePart::Feed,
            judge(chain::flaw(&connection, u64::MAX), || {
                count(&connection, "revocations")
            }),
        ),
    ];
    let mut revoked = Vec::new();
    checks.push(DatabaseCheck::new(
        DatabasePart::Revoked,
        sums(&connection, in_effect_by, &mut revoked),
    ));
    let folder = folder_of(database);
    match absent(&connection, &folder) {
        Some(outcome) => checks.push(DatabaseCheck::new(DatabasePart::JournalPresent, outcome)),
        None => checks.extend([
            DatabaseCheck::new(DatabasePart::Journal, readable(&connection, &folder)),
            DatabaseCheck::new(DatabasePart::JournalInForce, in_force(&connection, &folder, now)),
            DatabaseCheck::new(DatabasePart::Commits, commits(&connection, &folder)),
        ]),
    }
    Ok(DatabaseExamined {
        checks,
        origin,
        issuer,
        latest_at,
        revoked,
        wal: open::beside(database, "-wal"),
    })
}

/// Returns the keys of a database beside its server and their states, the oldest first.
///
/// # Errors
///
/// [`BackupError`] if the file is none of ours, or cannot be read.
pub fn keys(database: &Path) -> Result<Vec<(String, KeyState)>, BackupError> {
    let database = &open::resolved(database)?;
    let read = |connection: &Connection| {
        connection
            .prepare("SELECT kid, state FROM keys ORDER BY id")?
            .query_map((), |row| Ok((get(row, 0)?, get(row, 1)?)))?
            .collect::<rusqlite::Result<_>>()
    };
    read(&source(database)?).map_err(|error| failed(database, error))
}

impl DatabaseCheck {
    fn new(part: DatabasePart, outcome: Result<String, String>) -> Self {
        Self { part, outcome }
    }
}

/// Turns a flaw, or an error that a damaged row causes, into an outcome.
fn judge(
    flaw: rusqlite::Result<Option<String>>,
    found: impl FnOnce() -> rusqlite::Result<String>,
) -> Result<String, String> {
    match flaw {
        Ok(None) => found().map_err(|error| error.to_string()),
        Ok(Some(flaw)) => Err(flaw),
        Err(error) => Err(error.to_string()),
    }
}

fn count(connection: &Connection, table: &str) -> rusqlite::Result<String> {
    let query = format!("SELECT count(*) FROM {table}");
    let rows: u64 = connection.query_row(&query, (), |row| get(row, 0))?;
    Ok(format!("{rows} rows"))
}

/// Checks the pages of the file, and each index against its table.
fn integrity(connection: &Connection) -> Result<String, String> {
    let found = connection.query_row("PRAGMA integrity_check(1)", (), |row| get::<String>(row, 0));
    judge(found.map(|found| (found != "ok").then_some(found)), || {
        count(connection, "tokens")
    })
}

/// Compares the records and the index of revoked tokens with the sum over them, and collects those in effect whose lists
/// exist.
fn sums(connection: &Connection, by: Timestamp, revoked: &mut Vec<ListIndex>) -> Result<String, String> {
    let mut read = || {
        // One instant: another process may be writing.
        let transaction = connection.unchecked_transaction()?;
        let is_kept = transaction.query_row("SELECT ended IS NOT NULL FROM meta", (), |row| get(row, 0))?;
        let flaw = match is_kept {
            true => sum_flaw(&transaction)?,
            // The first start computes it.
            false => None,
        };
        let mut query = transaction.prepare("SELECT id FROM status_lists WHERE retired_at IS NULL")?;
        let lists: HashSet<u32> = query
            .query_map((), |row| get(row, 0))?
            .collect::<rusqlite::Result<_>>()?;
        ended::scan(&transaction, Source::Table, |list_index, effective_at| {
            if effective_at <= by && lists.contains(&list_index.list) {
                revoked.push(list_index);
            }
        })?;
        Ok(flaw)
    };
    let flaw = read();
    let found = format!("{} in effect", revoked.len());
    judge(flaw, || Ok(found))
}

/// Judges a journal that does not exist; `None` if it does.
fn absent(connection: &Connection, folder: &Path) -> Option<Result<String, String>> {
    match (jeton_journal::is_absent(folder), is_new(connection)) {
        (Ok(false), _) => None,
        (Ok(true), Ok(true)) => Some(Ok(
            "there is none, and nothing was revoked: no server has started".to_owned(),
        )),
        (Ok(true), Ok(false)) => Some(Err(format!("{} is missing or empty", folder.display()))),
        (Err(error), _) => Some(Err(format!("{}: {error}", folder.display()))),
        (_, Err(failure)) => Some(Err(failure.to_string())),
    }
}

/// Returns the history of the journal after the state of the database.
fn history(connection: &Connection, folder: &Path) -> Result<History, String> {
    // First: the line of a commit is written before it.
    let (database, at) = connection
        .query_row("SELECT origin, epoch, sequence, hash FROM meta", (), |row| {
            let at = Position {
                epoch: get::<Bytes>(row, 1)?.0,
                sequence: get(row, 2)?,
                hash: get(row, 3)?,
            };
            Ok((get::<Bytes>(row, 0)?.0, at))
        })
        .map_err(|error| error.to_string())?;
    let (history, _) = jeton_journal::after(folder, database, at).map_err(|error| error.to_string())?;
    Ok(history)
}

/// Compares the database with what servers have given out by the journal, such as numbers of tokens: it lacks that if the
/// disk has lost commits that revoked nothing, or an older copy took its place.
fn commits(connection: &Connection, folder: &Path) -> Result<String, String> {
    let lacking = match history(connection, folder)? {
        History::Complete { given, .. } => {
            let held = journal::held(connection).map_err(|error| error.to_string())?;
            given.missing_in(&held)
        }
        History::Unconnected(_) | History::Absent => None,
    };
    match lacking {
        None => Ok("none is missing that the journal knows".to_owned()),
        Some(lacking) => Err(format!("the database lacks {lacking}")),
    }
}

/// Checks that every line of the journal can be read, and that it leads to the state of the database. A server may be
/// writing the last line.
fn readable(connection: &Connection, folder: &Path) -> Result<String, String> {
    let mut outcome = Err(String::new());
    for round in 0..COMPARED {
        if round > 0 {
            thread::sleep(PAUSE);
        }
        outcome = match jeton_journal::check(folder) {
            Ok(flaws) if flaws.is_empty() => match history(connection, folder) {
                Ok(History::Complete { .. }) => return Ok("every line can be read".to_owned()),
                Ok(_) => Err("it does not lead to the state of the database".to_owned()),
                Err(error) => Err(error),
            },
            Ok(flaws) => Err(flaws.join("; ")),
            Err(error) => Err(error.to_string()),
        };
    }
    outcome
}

/// Compares the database with its journal, from which a restore would repeat.
fn in_force(connection: &Connection, folder: &Path, now: Timestamp) -> Result<String, String> {
    let mut flaws = Vec::new();
    for round in 0..COMPARED {
        if round > 0 {
            thread::sleep(PAUSE);
        }
        let entries = jeton_journal::entries(folder, usize::MAX).map_err(|error| error.to_string())?;
        let examined = Examination::new(connection, now).of(&entries);
        let examined = examined.map_err(|failure| failure.to_string())?;
        if examined.not_in_force.is_empty() {
            return Ok(format!("{} revocations", examined.revocations));
        }
        flaws = examined.not_in_force;
    }
    let more = flaws.len().saturating_sub(3);
    flaws.truncate(3);
    let more = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(format!("not in the database: {}{more}", flaws.join("; ")))
}
