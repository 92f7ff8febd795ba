//! Verifying the audit: the chain, the rows that its lines seal, and the heads that were signed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction};

use super::{STATUS, entries, rows, status};
use crate::backup::{self, BackupError};
use crate::failure::Failure;
use crate::values::{get, params};
use jeton_core::clock::Timestamp;
use jeton_store::{AuditHead, AuditLine, AuditSource, Checkpoint, KeyState, SignedHead};

/// A database that is open for verifying its audit. Others may write to it meanwhile; only SQLite opens and closes the
/// file, so that its locks stay.
#[derive(Debug)]
pub struct AuditReader {
    path: PathBuf,
    connection: Connection,
}

/// A signing key as the database knows it.
#[derive(Debug, Clone)]
pub struct KeyOfCheckpoint {
    /// Its id.
    pub kid: String,
    /// The public key as a JWK.
    pub public_jwk: String,
    /// Its state.
    pub state: KeyState,
    /// Since when it is in this state.
    pub changed_at: Timestamp,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditExamined {
    /// The number of lines that are kept and in order.
    pub lines: u64,
    /// The last line.
    pub head: AuditHead,
    /// The last line that was deleted.
    pub pruned: AuditHead,
    /// The rows that were compared with their lines.
    pub rows: u64,
    /// The rows that have no line yet.
    pub unsealed: u64,
    /// The signed heads whose lines are kept, or whose line was the last to be deleted. The others have nothing to be
    /// compared with.
    pub compared: u64,
    /// The instant of the oldest of them.
    pub unsealed_since: Option<Timestamp>,
    /// The first flaw.
    pub flaw: Option<AuditFlaw>,
}

/// A flaw of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFlaw {
    /// The number of the line.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

impl AuditReader {
    /// Opens a database, or a backup of one.
    ///
    /// # Errors
    ///
    /// Returns [`BackupError`] if it cannot be read, or is not a database of this version.
    pub fn open(path: &Path) -> Result<Self, BackupError> {
        let connection = backup::source(path)?;
        let version: usize = connection
            .pragma_query_value(None, "user_version", |row| get(row, 0))
            .map_err(|error| backup::failed(path, error))?;
        if version < FIRST_VERSION {
            return Err(backup::failed(
                path,
                "it was written by a version of jeton without an audit: start this version once",
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            connection,
        })
    }

    /// Returns the checkpoints that the database keeps, and its signing keys.
    ///
    /// # Errors
    ///
    /// Returns [`BackupError`] if they cannot be read.
    pub fn checkpoints(&self) -> Result<(Vec<Checkpoint>, Vec<KeyOfCheckpoint>), BackupError> {
        let read = || -> Result<_, Failure> {
            let mut query = self
                .connection
                .prepare("SELECT size, hash, signed_at, kid, note FROM audit_checkpoints ORDER BY size")?;
            let checkpoints = query.query_map((), entries::checkpoint)?;
            let mut keys = self
                .connection
                .prepare("SELECT kid, public_jwk, state, changed_at FROM keys ORDER BY id")?;
            let keys = keys.query_map((), |row| {
                Ok(KeyOfCheckpoint {
                    kid: get(row, 0)?,
                    public_jwk: get(row, 1)?,
                    state: get(row, 2)?,
                    changed_at: get(row, 3)?,
                })
            })?;
            Ok((
                checkpoints.collect::<rusqlite::Result<_>>()?,
                keys.collect::<rusqlite::Result<_>>()?,
            ))
        };
        read().map_err(|failure| backup::failed(&self.path, failure))
    }

    /// Returns the issuer that is pinned in the database, if one is.
    ///
    /// # Errors
    ///
    /// Returns [`BackupError`] if it cannot be read.
    pub fn issuer(&self) -> Result<Option<String>, BackupError> {
        self.connection
            .query_row("SELECT issuer FROM meta", (), |row| get(row, 0))
            .map_err(|error| backup::failed(&self.path, error))
    }

    /// Compares each line with the line before and with its row, and the chain with heads that were signed. Ends at the
    /// first flaw. Only lines made by the instant `ended_by` may be deleted.
    ///
    /// # Errors
    ///
    /// Returns [`BackupError`] if the database cannot be read.
    pub fn examine(&self, signed: &[SignedHead], ended_by: Timestamp) -> Result<AuditExamined, BackupError> {
        examine(&self.connection, signed, ended_by).map_err(|failure| backup::failed(&self.path, failure))
    }
}

/// The first version of the schema that has an audit.
const FIRST_VERSION: usize = 5;

/// The number of lines that are read at once.
const PORTION: u32 = 1_000;

fn examine(
    connection: &Connection,
    signed: &[SignedHead],
    ended_by: Timestamp,
) -> Result<AuditExamined, Failure> {
    // One instant: a server may be sealing.
    let instant = connection.unchecked_transaction()?;
    let known = instant.prepare(STATUS)?.query_row((), status)?;
    let mut examined = AuditExamined {
        lines: 0,
        head: known.head,
        pruned: known.pruned,
        rows: 0,
        unsealed: unsealed(&instant)?,
        compared: signed
            .iter()
            .filter(|signed| signed.head.sequence >= known.pruned.sequence)
            .count() as u64,
        unsealed_since: known.unsealed_since,
        flaw: None,
    };
    let mut chain = Chain::new(&instant, known.pruned, signed)?;
    chain.contradicting = chain
        .contradicting
        .or_else(|| deleted_early(known.pruned, signed, ended_by));
    chain.dangling = dangling(&instant)?;
    chain.unlisted = unlisted(&instant)?;
    let mut query = instant.prepare(&entries::later())?;
    loop {
        let lines = query.query_map(params![chain.last.sequence, PORTION], entries::line)?;
        let lines: Vec<AuditLine> = lines.collect::<rusqlite::Result<_>>()?;
        let is_last = lines.len() < PORTION as usize;
        for line in lines {
            let flaw = chain.add(&line)?;
            (examined.lines, examined.rows) = (chain.lines, chain.rows);
            if let Some(what) = flaw {
                examined.flaw = Some(AuditFlaw {
                    line: line.sequence.min(chain.last.sequence + 1),
                    what,
                });
                return Ok(examined);
            }
        }
        if is_last {
            break;
        }
    }
    examined.flaw = chain.end(known.head)?;
    Ok(examined)
}

/// Returns the flaw of deleted lines that no signature covers, or that were to be kept for longer. A checkpoint was
/// signed before the clock was set back if a later one has an earlier instant: its instants tell nothing.
fn deleted_early(pruned: AuditHead, signed: &[SignedHead], ended_by: Timestamp) -> Option<AuditFlaw> {
    let mut signed: Vec<&SignedHead> = signed.iter().collect();
    signed.sort_by_key(|signed| signed.head.sequence);
    let newest = signed.last().map_or(0, |newest| newest.head.sequence);
    if newest < pruned.sequence {
        return Some(AuditFlaw {
            line: pruned.sequence,
            what: format!("all signed lines are deleted: the newest checkpoint is of {newest} lines"),
        });
    }
    let mut earliest = Timestamp::LAST;
    let mut early = None;
    for SignedHead {
        head,
        made_at,
        signed_at,
    } in signed.into_iter().rev()
    {
        earliest = earliest.min(*signed_at);
        if head.sequence <= pruned.sequence && *made_at > ended_by && earliest > ended_by {
            early = Some((head.sequence, made_at));
        }
    }
    let (line, made_at) = early?;
    Some(AuditFlaw {
        line,
        what: format!(
            "the line of {made_at} was deleted before its retention ended: the beginning of the chain was cut off, or \
             `retention` in [audit] was shorter when it was deleted"
        ),
    })
}

/// The chain up to a line.
struct Chain<'a> {
    names: rows::Names<'a>,
    last: AuditHead,
    /// The last row of each table that has a line.
    numbers: [i64; 3],
    /// The last event that was pruned: a cut-off of an earlier event may have been changed by accepting the clock.
    pruned_events: i64,
    /// The records of tokens that had ended by this instant may be deleted.
    purged_through: i64,
    /// Whether the first line is kept.
    begins: bool,
    /// The heads that were signed and not reached yet.
    heads: BTreeMap<u64, [u8; 32]>,
    contradicting: Option<AuditFlaw>,
    /// The first line that names a number of nothing.
    dangling: Option<u64>,
    /// The first line that lists between two instants may leave out.
    unlisted: Option<u64>,
    /// The last row of each table that has a line, as the database says.
    sealed: [i64; 3],
    /// The last line that accepts the clock: what was purged before depends on instants that were lowered.
    clock_accepted: u64,
    lines: u64,
    rows: u64,
}

impl<'a> Chain<'a> {
    fn new(instant: &'a Transaction<'_>, pruned: AuditHead, signed: &[SignedHead]) -> Result<Self, Failure> {
        let (pruned_events, purged_through) =
            instant.query_row("SELECT pruned_through, purged_through FROM meta", (), |row| {
                Ok((get(row, 0)?, get(row, 1)?))
            })?;
        let (sealed, pruned_action, clock_accepted) = instant.query_row(
            "SELECT audit_tokens, audit_revocations, audit_actions, audit_actions_pruned,
                (SELECT coalesce(max(sequence), 0) FROM audit WHERE action = 'clock.accept')
             FROM meta",
            (),
            |row| {
                let sealed = [get(row, 0)?, get(row, 1)?, get(row, 2)?];
                Ok((sealed, get(row, 3)?, get(row, 4)?))
            },
        )?;
        let mut heads = BTreeMap::new();
        let mut contradicting = None;
        let kept = signed.iter().map(|signed| signed.head);
        for head in kept.filter(|head| head.sequence >= pruned.sequence) {
            let other = heads.insert(head.sequence, head.hash);
            if other.is_some_and(|other| other != head.hash) {
                contradicting = contradicting.or(Some(AuditFlaw {
                    line: head.sequence,
                    what: "two checkpoints of this number of lines contradict each other".to_owned(),
                }));
            }
        }
        let mut chain = Self {
            names: rows::Names::new(instant),
            last: pruned,
            numbers: [0, 0, pruned_action],
            pruned_events,
            purged_through,
            begins: pruned.sequence == 0,
            heads,
            contradicting,
            dangling: None,
            unlisted: None,
            sealed,
            clock_accepted,
            lines: 0,
            rows: 0,
        };
        if let Some(what) = chain.signed(pruned) {
            chain.contradicting = Some(AuditFlaw {
                line: pruned.sequence,
                what,
            });
        }
        Ok(chain)
    }

    /// Returns what is wrong with the next line, if anything is.
    fn add(&mut self, line: &AuditLine) -> Result<Option<String>, Failure> {
        if line.sequence != self.last.sequence + 1 {
            return Ok(Some("the line is missing".to_owned()));
        }
        let record = &line.record;
        if record.hash(&self.last.hash, line.sequence) != line.hash {
            return Ok(Some(
                "the line was altered, or is not the one that followed the line before".to_owned(),
            ));
        }
        if self.dangling == Some(line.sequence) {
            return Ok(Some(
                "the line names an organization or a person that does not exist".to_owned(),
            ));
        }
        if self.unlisted == Some(line.sequence) {
            return Ok(Some(
                "lists of this instant leave the line out: its row of audit_instants was altered".to_owned(),
            ));
        }
        let table = record.source.table();
        for (source, last) in AuditSource::ALL.into_iter().zip(&mut self.numbers) {
            if source == record.source {
                if *last >= record.number {
                    return Ok(Some(format!(
                        "row {} of {table} has a second line",
                        record.number
                    )));
                }
                if (*last > 0 || self.begins) && record.number > *last + 1 {
                    let skipped = rows::between(self.names.connection, source, *last + 1, record.number)?;
                    if let Some(skipped) = skipped {
                        return Ok(Some(format!("row {skipped} of {table} has no line")));
                    }
                }
                *last = record.number;
            }
        }
        match rows::row(&mut self.names, record.source, record.number)? {
            Some(_) if record.source == AuditSource::Event && record.number <= self.pruned_events => {}
            Some(row) if row.record.content != record.content => {
                return Ok(Some(format!("row {} of {table} was altered", record.number)));
            }
            Some(_) => self.rows += 1,
            None if self.must_exist(line) => {
                return Ok(Some(format!("row {} of {table} is missing", record.number)));
            }
            None => {}
        }
        self.last = line.head();
        self.lines += 1;
        Ok(self.signed(self.last))
    }

    /// Returns whether the row of a line cannot have been deleted yet: an action, and an event that is not pruned. That
    /// of a token is not known without its expiry, unless no record was ever deleted.
    fn must_exist(&self, line: &AuditLine) -> bool {
        match line.record.source {
            AuditSource::Action => true,
            AuditSource::Event => line.record.number > self.pruned_events,
            AuditSource::Token => {
                line.record.at.millis() > self.purged_through && line.sequence > self.clock_accepted
            }
        }
    }

    /// Compares a head with the one that was signed.
    fn signed(&mut self, head: AuditHead) -> Option<String> {
        let signed = self.heads.remove(&head.sequence)?;
        (signed != head.hash).then(|| {
            "a checkpoint has another hash: lines up to this one were replaced after it was signed".to_owned()
        })
    }

    /// Returns what is wrong at the end of the chain.
    fn end(self, head: AuditHead) -> Result<Option<AuditFlaw>, Failure> {
        if self.contradicting.is_some() {
            return Ok(self.contradicting);
        }
        let what = if self.last != head {
            Some(format!(
                "lines are missing: the database counts {}",
                head.sequence
            ))
        } else if let Some((size, _)) = self.heads.last_key_value() {
            Some(format!(
                "lines are missing: a checkpoint of {size} lines was signed; an older copy of the database was restored, \
                 or the end was cut off"
            ))
        } else {
            self.skipped()?
        };
        Ok(what.map(|what| AuditFlaw {
            line: self.last.sequence + 1,
            what,
        }))
    }

    /// Names a row without a line that the sequencer will not read: after the last row of its table that has one, up to
    /// the one that the database says is the last, or before the first number.
    fn skipped(&self) -> Result<Option<String>, Failure> {
        for ((source, last), sealed) in AuditSource::ALL.into_iter().zip(self.numbers).zip(self.sealed) {
            let found = match rows::between(self.names.connection, source, i64::MIN, 1)? {
                None if last > 0 || self.begins => {
                    rows::between(self.names.connection, source, last + 1, sealed.saturating_add(1))?
                }
                found => found,
            };
            if let Some(number) = found {
                return Ok(Some(format!("row {number} of {} has no line", source.table())));
            }
        }
        Ok(None)
    }
}

/// Returns the first line with the number of an organization or person that does not exist: its hash is over public ids,
/// and would be that of a line without one.
fn dangling(connection: &Connection) -> Result<Option<u64>, Failure> {
    Ok(connection.query_row(
        "SELECT min(line.sequence) FROM audit AS line
         LEFT JOIN organizations ON organizations.id = line.organization LEFT JOIN users ON users.id = line.actor_user
         WHERE line.organization IS NOT NULL AND organizations.id IS NULL
            OR line.actor_user IS NOT NULL AND users.id IS NULL",
        (),
        |row| get(row, 0),
    )?)
}

/// Returns the first line whose instant is not in the row of its block.
fn unlisted(connection: &Connection) -> Result<Option<u64>, Failure> {
    Ok(connection.query_row(
        "SELECT min(line.sequence) FROM audit AS line
         LEFT JOIN audit_instants AS instants ON instants.block = line.sequence / 256
         WHERE instants.block IS NULL OR line.at NOT BETWEEN instants.earliest AND instants.latest",
        (),
        |row| get(row, 0),
    )?)
}

/// Counts the rows without a line.
fn unsealed(connection: &Connection) -> Result<u64, Failure> {
    Ok(connection.query_row(
        "SELECT (SELECT count(*) FROM tokens WHERE id > audit_tokens)
            + (SELECT count(*) FROM revocations WHERE revocations.sequence > audit_revocations)
            + (SELECT count(*) FROM actions WHERE id > audit_actions) FROM meta",
        (),
        |row| get(row, 0),
    )?)
}
