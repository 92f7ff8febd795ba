//! The journal: every revocation a second time, outside of the database.
//!
//! Whoever puts an older copy of the database in place would make tokens live again that were revoked
//! since. The journal remembers them: it is a folder beside the database, and what it holds is only
//! ever appended to.
//!
//! A batch of the writer that revokes something is appended and synced as one line after its last
//! statement and before its commit, so that nothing is acknowledged that does not stand in both. A
//! crash between the two leaves a line too many: its orders were never answered, and carrying them out
//! at the next start is harmless. The other order would leave a revocation in the database alone.
//!
//! The folder holds *segments*, numbered files. The first line of a segment says at which position in
//! the history of which database it begins; each further one says what was done and what position that
//! has reached. Each line begins with a checksum. A torn line at the end of a segment was never
//! acknowledged; after it, as after any surprise, the next batch begins a segment of its own.

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
use jeton_core::clock::Timestamp;

pub(super) use history::History;
pub use history::JournalError;
use line::{Batch, Begin, VERSION};
pub(super) use line::{Batch as JournalBatch, Entry, Order};
use segment::Segment;

/// The journal of a database, at its end.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    database: Uuid,
    /// `None` if the next batch is to begin a segment.
    segment: Option<Segment>,
    /// The keys whose withdrawal stands in it and is committed.
    withdrawn: BTreeSet<String>,
    /// The keys that the open transaction withdraws. It may still fail, and be tried again.
    withdrawing: BTreeSet<String>,
}

/// Where the journal of a database is.
pub(super) fn folder_of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(".revocations");
    PathBuf::from(path)
}

impl Journal {
    /// The journal in a folder, whether there is one yet or not.
    pub(super) fn open(folder: PathBuf, database: Uuid, connection: &Connection) -> Result<Self, Failure> {
        let mut journal = Self {
            folder,
            database,
            segment: None,
            withdrawn: BTreeSet::new(),
            withdrawing: BTreeSet::new(),
        };
        journal.newly_withdrawn(connection)?;
        journal.committed();
        Ok(journal)
    }

    /// Goes on with the last segment if it has been written to its end and reaches just this position.
    /// Says whether it does.
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
        self.segment = Some(Segment::resume(path, text.len() as u64, reaches)?);
        Ok(true)
    }

    /// What stands in it after a position.
    pub(super) fn history_after(&self, at: Position) -> Result<History, JournalError> {
        history::after(&self.folder, self.database, at)
    }

    /// The transaction that it has followed is committed.
    pub(super) fn committed(&mut self) {
        self.withdrawn.append(&mut self.withdrawing);
        if let Some(segment) = &mut self.segment {
            segment.committed();
        }
    }

    /// The transaction that it has followed is undone for certain: what it has appended is taken back.
    /// Otherwise a full disk would be filled further by every revocation that it refuses, and a restore
    /// would carry them out.
    pub(super) fn undone(&mut self) {
        if let Some(segment) = &mut self.segment {
            segment.undone();
        }
    }

    /// Appends what the open transaction has revoked, if anything, and returns once it is on disk.
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

    /// Begins a segment, with what the open transaction has revoked, if anything: where no line leads to
    /// the state of the database, or where it was restored from another position.
    pub(super) fn begin_anew(
        &mut self,
        connection: &Connection,
        memory: &Memory,
        restored_from: Option<Position>,
    ) -> Result<(), Failure> {
        let before = memory.committed();
        let mut entries = line::events_after(connection, before.sequence)?;
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
            self.undone();
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
        if !batch.entries.is_empty() {
            text.extend(line::text(batch)?);
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

/// Removes the oldest segments, as far as all that they hold was recorded by an instant, but not the
/// last one. Says how many.
pub(super) fn prune(folder: &Path, recorded_by: Timestamp) -> io::Result<usize> {
    let mut segments = segments(folder)?;
    segments.pop();
    let mut removed = 0;
    for (_, path) in segments {
        if history::batches(&fs::read(&path)?)
            .flat_map(|batch| batch.entries)
            .any(|entry| entry.recorded_at() > recorded_by)
        {
            break;
        }
        fs::remove_file(path)?;
        removed += 1;
    }
    Ok(removed)
}

/// The segments with their numbers, in order.
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

#[cfg(test)]
mod tests;
