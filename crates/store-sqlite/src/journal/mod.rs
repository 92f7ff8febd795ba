//! The journal: a second record of every revocation, outside of the database.
//!
//! A database that is replaced by an older copy would accept tokens that were revoked since. The journal
//! preserves those revocations: it is a folder beside the database, and only ever appended to.
//!
//! A batch of the writer that revokes something is appended and synced as one line after its last statement and
//! before its commit, so that an acknowledged revocation is in both. A crash between the two leaves an extra
//! line: its orders were never answered, and carrying them out at the next start is harmless. The other order
//! would leave a revocation in the database alone.
//!
//! The folder contains *segments*, numbered files. The first line of a segment names the database and the
//! position in its history at which the segment begins; each further line contains the changes of a batch and
//! the position after it. Each line begins with a checksum. A torn line at the end of a segment was never
//! acknowledged; after it, as after any surprise, the next batch begins a new segment.

mod copy;
mod given;
mod history;
mod line;
mod segment;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jeton_verifier::event::Position;
use rusqlite::Connection;
use uuid::Uuid;

use crate::failure::Failure;
use crate::memory::Memory;
use crate::metrics::JournalMetrics;
use crate::open::beside;
use jeton_core::clock::Timestamp;

pub use copy::{JournalCopy, JournalCopyError, install_journal, uninstall_journal};
pub(super) use given::{Given, last_token};
pub use history::{End, Flaw, JournalError};
pub(super) use history::{History, after};
use line::{Batch, Begin, VERSION};
pub(super) use line::{Batch as JournalBatch, Entry, Order};
use segment::Segment;

/// The journal of a database, open for appending.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    database: Uuid,
    /// The last segment; `None` if the next batch begins a new one.
    segment: Option<Segment>,
    /// What servers have given out, by the last segment.
    pub(super) given: Given,
    /// The keys whose withdrawal is in the journal and committed.
    withdrawn: BTreeSet<String>,
    /// The keys that the open transaction withdraws. It may still fail and be retried.
    withdrawing: BTreeSet<String>,
    pub(super) metrics: JournalMetrics,
}

/// Returns the folder of a database's journal.
pub(super) fn folder_of(database: &Path) -> PathBuf {
    beside(database, ".revocations")
}

impl Journal {
    /// Opens the journal in a folder, which need not exist yet.
    pub(super) fn open(folder: PathBuf, database: Uuid, connection: &Connection) -> Result<Self, Failure> {
        let mut journal = Self {
            folder,
            database,
            segment: None,
            given: Given::default(),
            withdrawn: BTreeSet::new(),
            withdrawing: BTreeSet::new(),
            metrics: JournalMetrics::default(),
        };
        journal.newly_withdrawn(connection)?;
        journal.committed();
        Ok(journal)
    }

    /// Continues the last segment if it is intact and reaches exactly this position. Returns whether it does.
    pub(super) fn resume(&mut self, at: Position) -> io::Result<bool> {
        let Some((_, path)) = segments(&self.folder)?.pop() else {
            return Ok(false);
        };
        let text = fs::read(&path)?;
        let Some((begin, batches)) = history::whole(&text) else {
            return Ok(false);
        };
        let reaches = batches.last().map_or(begin.at, |batch| batch.reaches);
        if begin.database != self.database || reaches != at {
            return Ok(false);
        }
        self.given = Given::of(batches.iter().flat_map(|batch| &batch.entries));
        self.segment = Some(Segment::resume(path, text.len() as u64, reaches)?);
        Ok(true)
    }

    /// Returns the journal's history after a position.
    pub(super) fn history_after(&self, at: Position) -> Result<(History, End), JournalError> {
        after(&self.folder, self.database, at)
    }

    /// Marks the appended transaction as committed.
    pub(super) fn committed(&mut self) {
        self.withdrawn.append(&mut self.withdrawing);
        if let Some(segment) = &mut self.segment {
            segment.committed();
        }
    }

    /// Removes the lines of a transaction that was rolled back for certain. Otherwise every revocation that a
    /// full disk refuses would fill it further, and a restore would carry it out.
    pub(super) fn undone(&mut self) {
        if let Some(segment) = &mut self.segment {
            segment.undone();
        }
    }

    /// Appends what servers have given out in transactions that are committed, and returns once it is on disk.
    pub(super) fn note(&mut self, entries: Vec<Entry>, at: Position) -> Result<(), Failure> {
        for entry in &entries {
            self.given.note(entry);
        }
        self.append(&Batch {
            at,
            reaches: at,
            entries,
        })?;
        self.committed();
        Ok(())
    }

    /// Appends that the deployment moves, in the open transaction, and returns once it is on disk.
    pub(super) fn leave(&mut self, to: &str, at: Position) -> Result<(), Failure> {
        let entries = vec![Entry::Moved { to: to.to_owned() }];
        Ok(self.append(&Batch {
            at,
            reaches: at,
            entries,
        })?)
    }

    /// Appends the revocations of the open transaction, if any, and returns once they are on disk.
    pub(super) fn follow(&mut self, connection: &Connection, memory: &Memory) -> Result<(), Failure> {
        let (before, head) = (memory.committed(), memory.head);
        self.withdrawing.clear();
        let mut entries = Vec::new();
        if head.sequence != before.sequence {
            entries = line::events_after(connection, before.sequence)?;
        }
        if head.keys != before.keys {
            entries.extend(self.newly_withdrawn(connection)?);
        }
        if entries.is_empty() {
            return Ok(());
        }
        Ok(self.append(&Batch {
            at: before.position(memory.epoch),
            reaches: memory.position(),
            entries,
        })?)
    }

    /// Begins a segment with the revocations of the open transaction, if any: used if no line leads to the
    /// state of the database, or if it was restored from another position. `entries` precede the revocations.
    pub(super) fn begin_anew(
        &mut self,
        connection: &Connection,
        memory: &Memory,
        restored_from: Option<Position>,
        mut entries: Vec<Entry>,
    ) -> Result<(), Failure> {
        let before = memory.committed();
        entries.extend(line::events_after(connection, before.sequence)?);
        entries.extend(self.newly_withdrawn(connection)?);
        let batch = Batch {
            at: before.position(memory.epoch),
            reaches: memory.position(),
            entries,
        };
        let begun = self.begin(restored_from, &batch);
        if begun.is_err() {
            self.undone();
        }
        Ok(begun?)
    }

    fn append(&mut self, batch: &Batch) -> io::Result<()> {
        let written = match &mut self.segment {
            Some(segment) if segment.ends(batch.at)? => segment.append(batch),
            _ => self.begin(None, batch),
        };
        if written.is_err() {
            self.metrics.failures.inc();
            self.undone();
        } else {
            self.metrics.appends.inc();
        }
        written
    }

    fn begin(&mut self, restored_from: Option<Position>, batch: &Batch) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let last = segments(&self.folder)?.pop();
        let number = last.map_or(0, |(number, _)| number) + 1;
        let mut text = line::text(&Begin {
            journal: VERSION,
            database: self.database,
            at: batch.at,
            restored_from,
        })?;
        // A start reads the last segment only.
        let mut entries = self.given.entries();
        entries.extend_from_slice(&batch.entries);
        if !entries.is_empty() {
            text.extend(line::text(&Batch {
                entries,
                ..batch.clone()
            })?);
        }
        let path = self.folder.join(format!("{number:08}.log"));
        let segment = self.segment.insert(Segment::create(path, batch.at)?);
        segment.write(&text, batch.reaches)?;
        File::open(&self.folder)?.sync_all()?;
        match self.folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }

    fn newly_withdrawn(&mut self, connection: &Connection) -> Result<Vec<Entry>, Failure> {
        let mut found = line::withdrawn_keys(connection)?;
        found.retain(|(kid, _)| !self.withdrawn.contains(kid));
        self.withdrawing = found.iter().map(|(kid, _)| kid.clone()).collect();
        Ok(found.into_iter().map(|(_, entry)| entry).collect())
    }
}

/// Reads the whole journal in a folder, and returns its flaws: what a restore could not repeat.
pub(super) fn check(folder: &Path) -> io::Result<Vec<String>> {
    fs::metadata(folder)?;
    history::flaws(folder)
}

/// Returns whether a folder has no segment of a journal, or does not exist.
pub(super) fn is_absent(folder: &Path) -> io::Result<bool> {
    Ok(segments(folder)?.is_empty())
}

/// Returns all readable entries of the first segments of the journal in a folder, in order.
pub(super) fn entries(folder: &Path, count: usize) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (_, path) in segments(folder)?.into_iter().take(count) {
        let text = fs::read(path)?;
        entries.extend(history::batches(&text).flat_map(|batch| batch.entries));
    }
    Ok(entries)
}

/// Removes the oldest segments whose whole content was recorded by an instant, but never the last segment.
/// Returns their number.
pub(super) fn prune(folder: &Path, recorded_by: Timestamp) -> io::Result<usize> {
    let mut segments = segments(folder)?;
    segments.pop();
    let mut removed = 0;
    for (_, path) in segments {
        if !is_recorded_by(&fs::read(&path)?, recorded_by) {
            break;
        }
        fs::remove_file(path)?;
        removed += 1;
    }
    Ok(removed)
}

/// Returns whether no entry of a segment was recorded after an instant.
fn is_recorded_by(segment: &[u8], at: Timestamp) -> bool {
    let mut entries = history::batches(segment).flat_map(|batch| batch.entries);
    entries.all(|entry| entry.recorded_at() <= Some(at))
}

/// Returns the segments with their numbers, in order.
fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        if let Some(number) = number
            && path.extension().is_some_and(|extension| extension == "log")
        {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Reads bytes as a segment, and its lines with right checksums: what a fuzzer calls.
#[cfg(fuzzing)]
pub fn fuzz_journal(bytes: &[u8]) {
    let summed: Vec<u8> = bytes
        .split(|byte| *byte == b'\n')
        .flat_map(line::summed)
        .collect();
    for text in [bytes, &summed] {
        let readable: Vec<Batch> = history::batches(text).collect();
        if let Some((begin, batches)) = history::whole(text) {
            assert_eq!(batches, readable, "two readings of a segment without a flaw");
            let written = line::text(&begin).unwrap_or_default();
            assert_eq!(written.strip_suffix(b"\n").and_then(line::read), Some(begin));
        }
        for batch in readable {
            let written = line::text(&batch).unwrap_or_default();
            assert_eq!(written.strip_suffix(b"\n").and_then(line::read), Some(batch));
        }
    }
}

#[cfg(test)]
mod tests;
