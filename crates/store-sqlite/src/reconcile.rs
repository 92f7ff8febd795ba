//! Reconciliation: makes a database and its journal agree before it is served.
//!
//! They differ after a crash between a line of the journal and its commit, or if the file is an older copy: a
//! backup, or a file that was put in place by hand. Then everything that was revoked since the copy was made is
//! revoked again, or the start is refused. An older copy also begins a new epoch, with new status lists and
//! numbers beyond all that were assigned since, so that nothing issued from the lost state is mistaken for
//! something else.

use std::io;
use std::path::Path;

use jeton_journal::{
    Batch as JournalBatch, End, GIVEN_OUT, Given, History, Journal, Replayed, beyond, is_older,
};
use jeton_verifier::event::Position;
use rusqlite::Connection;

use crate::failure::Failure;
use crate::feed::OrderedFrom;
use crate::journal::{self, folder_of, held, opened};
use crate::memory::Memory;
use crate::open::{self, OpenError};
use crate::replay::Replay;
use crate::values::{Bytes, get, params};
use crate::writer::Batch;
use jeton_core::clock::Timestamp;
use jeton_core::entropy::Entropy;
use jeton_core::token::{Actor, CutOff, Reach};
use jeton_store::rules::audit::{Action, RESTORED};
use jeton_store::{Cause, Realm};

/// The demands of a restore on the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Restoring {
    pub(super) missing: Missing,
    /// The newest event that is known from elsewhere.
    pub(super) newest: Option<u64>,
}

impl Restoring {
    /// Checks the end of the journal.
    fn check(&self, end: &End, journal: &Path) -> Result<(), OpenError> {
        if let Missing::CutOff(_) = self.missing {
            return Ok(());
        }
        if let Some(newest) = self.newest.filter(|newest| *newest > end.sequence) {
            return Err(OpenError::JournalShort {
                journal: journal.to_owned(),
                end: end.clone(),
                newest,
            });
        }
        match (end.flaw, self.missing) {
            (Some(_), Missing::Refuse) => Err(OpenError::JournalTorn {
                journal: journal.to_owned(),
                end: end.clone(),
            }),
            _ => Ok(()),
        }
    }
}

/// The reaction of a restore to a journal that lacks revocations since the copy was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Refuse the restore.
    Refuse,
    /// Refuse the restore if the journal does not lead from the copy to its end, but accept that its last line
    /// cannot be read.
    AcceptTorn,
    /// Revoke every token that was issued up to this instant, and withdraw every key: a key that was withdrawn
    /// since could sign again otherwise.
    CutOff(Timestamp),
}

/// Prepares a database for a server or a command.
pub(super) fn served(
    database: &Path,
    connection: &Connection,
    entropy: &dyn Entropy,
) -> Result<(Memory, Journal), OpenError> {
    let failed = |failure: Failure| OpenError::Failed {
        path: database.to_owned(),
        source: Box::new(failure),
    };
    let memory = Memory::read(connection).map_err(failed)?;
    let folder = folder_of(database);
    let mut journal = opened(folder, memory.origin, connection).map_err(failed)?;
    let at = memory.position();
    // Without a lock: a concurrent write makes the two differ for a moment, and the thorough check below waits
    // for it.
    if !is_backup(connection).map_err(failed)? && resume(&mut journal, at, connection).map_err(failed)? {
        refuse_moved(database, &journal.given)?;
        return Ok((memory, journal));
    }
    let (memory, journal, replayed) = reconcile(database, database, connection, entropy, None)?;
    warn(&replayed);
    Ok((memory, journal))
}

/// Refuses a database, also an older copy of it, whose journal says that the deployment has moved.
fn refuse_moved(database: &Path, given: &Given) -> Result<(), OpenError> {
    match &given.moved_to {
        Some(to) => Err(OpenError::Moved {
            path: database.to_owned(),
            to: to.clone(),
        }),
        None => Ok(()),
    }
}

/// Continues the journal if it leads to the state of the database and the database lacks nothing of it.
fn resume(journal: &mut Journal, at: Position, connection: &Connection) -> Result<bool, Failure> {
    Ok(journal.resume(at)? && journal.given.missing_in(&held(connection)?).is_none())
}

/// Logs a replay at a start. No operator requested it, so the log must name the accounts to check.
fn warn(replayed: &Replayed) {
    let Replayed {
        tokens,
        cut_offs,
        addresses,
        keys,
        journal: _,
    } = replayed;
    if *tokens == 0 && cut_offs.is_empty() && *keys == 0 {
        return;
    }
    let cut_off = cut_offs.len();
    tracing::warn!(
        tokens,
        cut_off,
        keys,
        "repeated revocations that the journal has and this database did not; if the database is an older copy, users, \
         teams and organizations deleted or disabled since it was made exist again"
    );
    for CutOff { reach, .. } in cut_offs {
        let email = reach
            .user
            .as_ref()
            .and_then(|user| addresses.get(&user.to_string()));
        let email = email.map(tracing::field::display);
        tracing::warn!(%reach, email, "cut-off repeated");
    }
}

/// Makes database and journal agree, in one transaction. `restoring` says that the file is an older copy, even
/// if it does not look like one.
pub(super) fn reconcile(
    file: &Path,
    database: &Path,
    connection: &Connection,
    entropy: &dyn Entropy,
    restoring: Option<Restoring>,
) -> Result<(Memory, Journal, Replayed), OpenError> {
    let failed = |failure: Failure| OpenError::Failed {
        path: file.to_owned(),
        source: Box::new(failure),
    };
    let begin = || connection.execute_batch("BEGIN IMMEDIATE").map_err(Failure::from);
    begin().map_err(failed)?;
    let reconciled = in_transaction(file, database, connection, entropy, restoring);
    let (end, outcome) = match reconciled {
        Ok(done) => ("COMMIT", Ok(done)),
        Err(error) => ("ROLLBACK", Err(error)),
    };
    let ended = connection.execute_batch(end).map_err(Failure::from);
    let mut done = outcome?;
    ended.map_err(failed)?;
    done.1.committed();
    Ok(done)
}

fn in_transaction(
    file: &Path,
    database: &Path,
    connection: &Connection,
    entropy: &dyn Entropy,
    restoring: Option<Restoring>,
) -> Result<(Memory, Journal, Replayed), OpenError> {
    let failed = |failure: Failure| OpenError::Failed {
        path: file.to_owned(),
        source: Box::new(failure),
    };
    let memory = Memory::read(connection).map_err(failed)?;
    let folder = folder_of(database);
    let mut journal = opened(folder.clone(), memory.origin, connection).map_err(failed)?;
    let at = memory.position();
    let is_copy = restoring.is_some() || is_backup(connection).map_err(failed)?;
    if !is_copy && resume(&mut journal, at, connection).map_err(failed)? {
        refuse_moved(database, &journal.given)?;
        return Ok((memory, journal, Replayed::default()));
    }
    let (history, end) = jeton_journal::after(&folder, memory.origin, at)?;
    if let Some(restoring) = &restoring {
        restoring.check(&end, &folder)?;
    }
    let plan = match history {
        History::Complete {
            batches,
            restores,
            given,
        } => {
            refuse_moved(database, &given)?;
            let held = held(connection).map_err(|error| failed(error.into()))?;
            let missing = given.missing_in(&held);
            if let Some(missing) = missing.as_ref().filter(|_| !is_copy) {
                tracing::warn!(
                    missing,
                    "the database is an older copy or has lost commits: it lacks what the journal has. A new epoch \
                     begins, with new numbers of tokens and status lists; what was issued since is lost"
                );
            }
            if is_copy || missing.is_some() || is_older(&batches, at) {
                Plan::Restore {
                    batches,
                    restores,
                    starts: given.starts,
                }
            } else {
                journal.given = given;
                Plan::GoOn(batches)
            }
        }
        History::Absent if !is_copy && is_new(connection).map_err(failed)? => {
            tracing::info!(journal = %folder.display(), "journal of revocations created");
            Plan::GoOn(Vec::new())
        }
        History::Absent if !is_copy => {
            return Err(OpenError::JournalMissing {
                path: file.to_owned(),
                journal: folder,
            });
        }
        History::Unconnected(end) if !is_copy && at.sequence > end.sequence => {
            tracing::warn!(
                journal = %folder.display(),
                "the journal of revocations is behind the database: a new journal is started, and backups made before \
                 now cannot be completed from it"
            );
            Plan::GoOn(Vec::new())
        }
        History::Absent | History::Unconnected(_) => match restoring.map(|restoring| restoring.missing) {
            Some(Missing::CutOff(now)) => Plan::CutOff(now),
            Some(Missing::Refuse | Missing::AcceptTorn) | None => {
                return Err(OpenError::Unreconciled {
                    path: file.to_owned(),
                    journal: folder,
                });
            }
        },
    };
    let mut reconciling = Reconciling {
        connection,
        entropy,
        memory,
        journal,
    };
    let replayed = Replayed {
        journal: end,
        ..reconciling.carry_out(plan, at).map_err(failed)?
    };
    Ok((reconciling.memory, reconciling.journal, replayed))
}

/// Returns whether the database has neither events nor starts of servers, so that it needs no journal yet.
pub(super) fn is_new(connection: &Connection) -> Result<bool, Failure> {
    let query = "SELECT sequence = 0 AND starts = 0 FROM meta";
    Ok(connection.query_row(query, (), |row| get(row, 0))?)
}

/// Reads the whole journal of a database, which need not exist any more, and returns its flaws: what a restore could
/// not repeat.
pub fn check_journal(database: &Path) -> io::Result<Vec<String>> {
    let database = open::resolved(database).map_err(io::Error::other)?;
    open::check_private(&database).map_err(io::Error::other)?;
    jeton_journal::check(&folder_of(&database))
}

/// Begins a journal for a database that has lost its own. Returns `false` if it has one.
pub fn begin_journal(database: &Path, entropy: &dyn Entropy) -> Result<bool, OpenError> {
    let database = &open::resolved(database)?;
    let failed = |failure: Failure| OpenError::Failed {
        path: database.to_owned(),
        source: Box::new(failure),
    };
    let connection = open::writer(database, entropy)?;
    let memory = Memory::read(&connection).map_err(failed)?;
    let mut journal = opened(folder_of(database), memory.origin, &connection).map_err(failed)?;
    if jeton_journal::after(&folder_of(database), memory.origin, memory.position())?.0 != History::Absent {
        return Ok(false);
    }
    begin_anew(&mut journal, None, &connection, &memory).map_err(failed)?;
    Ok(true)
}

/// Begins a segment with the revocations of the open transaction.
fn begin_anew(
    journal: &mut Journal,
    restored_from: Option<Position>,
    connection: &Connection,
    memory: &Memory,
) -> Result<(), Failure> {
    let revocations = journal::batch(connection, memory)?;
    Ok(journal.begin_anew(restored_from, vec![revocations], journal::withdrawn(connection)?)?)
}

fn is_backup(connection: &Connection) -> Result<bool, Failure> {
    Ok(connection.query_row("SELECT backed_up_at IS NOT NULL FROM meta", (), |row| get(row, 0))?)
}

/// The steps that make database and journal agree.
enum Plan {
    /// The same database as before; a crash may have left lines.
    GoOn(Vec<JournalBatch>),
    /// An older copy, all revocations since, and how often an older copy was restored since.
    Restore {
        batches: Vec<JournalBatch>,
        restores: i64,
        /// The last start of a server.
        starts: i64,
    },
    /// An older copy whose revocations since are unknown.
    CutOff(Timestamp),
}

struct Reconciling<'a> {
    connection: &'a Connection,
    entropy: &'a dyn Entropy,
    memory: Memory,
    journal: Journal,
}

impl Reconciling<'_> {
    fn carry_out(&mut self, plan: Plan, at: Position) -> Result<Replayed, Failure> {
        let restores = match &plan {
            Plan::GoOn(_) => None,
            Plan::Restore { restores, starts, .. } => Some((*restores, *starts)),
            // Everything that was issued from the lost state is revoked at once.
            Plan::CutOff(_) => Some((0, 0)),
        };
        if let Some((restores, starts)) = restores {
            self.begin_epoch(restores, starts)?;
            // The database lacks it, and never gets it: the numbers of the new epoch begin beyond.
            self.journal.given = Given::default();
        }
        let mut changes = Vec::new();
        let mut batch = Batch::new(self.connection, &mut self.memory, self.entropy, &mut changes);
        let replayed = match &plan {
            Plan::GoOn(batches) | Plan::Restore { batches, .. } => {
                let mut replay = Replay::new(&mut batch)?;
                for entry in batches.iter().flat_map(|batch: &JournalBatch| &batch.entries) {
                    replay.entry(entry)?;
                }
                replay.into_replayed()
            }
            Plan::CutOff(now) => end_everything(&mut batch, *now)?,
        };
        if restores.is_some() {
            self.connection.execute(
                "UPDATE meta SET restored_through = ?1",
                [self.memory.head.sequence],
            )?;
            self.record_restore(&plan, &replayed)?;
        }
        let restored_from = restores.map(|_| at);
        begin_anew(&mut self.journal, restored_from, self.connection, &self.memory)?;
        self.memory.write(self.connection)?;
        Ok(replayed)
    }

    /// Records the restore as an action, at the latest instant that the database knows: what was recorded after the copy
    /// was made is lost, the audit of it too.
    fn record_restore(&mut self, plan: &Plan, replayed: &Replayed) -> Result<(), Failure> {
        let at = match plan {
            Plan::CutOff(now) => *now,
            Plan::GoOn(_) | Plan::Restore { .. } => self.memory.head.latest,
        };
        let action = Action {
            action: RESTORED,
            after: Some(replayed.text()),
            ..Action::default()
        };
        let mut changes = Vec::new();
        Batch::new(self.connection, &mut self.memory, self.entropy, &mut changes)
            .note_action(&action, &Cause::operator(at))
    }

    fn begin_epoch(&mut self, restores: i64, starts: i64) -> Result<(), Failure> {
        let epoch = self.entropy.uuid_v4();
        self.connection.execute(
            "UPDATE meta SET epoch = ?1, backed_up_at = NULL, starts = max(starts, ?2)",
            params![Bytes(epoch), starts],
        )?;
        self.memory.epoch = epoch;
        for (table, step) in GIVEN_OUT {
            self.connection.execute(
                "INSERT INTO sqlite_sequence (name, seq)
                 SELECT ?1, 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
                [table],
            )?;
            let last = self.connection.query_row(
                "SELECT seq FROM sqlite_sequence WHERE name = ?1",
                [table],
                |row| get(row, 0),
            )?;
            self.connection.execute(
                "UPDATE sqlite_sequence SET seq = ?2 WHERE name = ?1",
                params![table, beyond(last, step, restores)],
            )?;
        }
        Ok(())
    }
}

fn end_everything(batch: &mut Batch<'_>, now: Timestamp) -> Result<Replayed, Failure> {
    let operator = Actor {
        name: "operator".to_owned(),
        user: None,
    };
    let cut_off = CutOff {
        reach: Reach::default(),
        issued_through: now.seconds(),
        effective_at: now,
    };
    let reason = Some("restored from a backup");
    batch.cut_off(cut_off.clone(), &operator, reason, now, OrderedFrom::default())?;
    let keys = batch.connection.execute(
        "UPDATE keys SET state = 'withdrawn', changed_at = ?1 WHERE state <> 'withdrawn'",
        [now.millis()],
    )?;
    batch.changed(vec![Realm::Keys])?;
    Ok(Replayed {
        tokens: 0,
        cut_offs: vec![cut_off],
        keys,
        ..Replayed::default()
    })
}
