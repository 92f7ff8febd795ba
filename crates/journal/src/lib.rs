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
mod replayed;
mod segment;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jeton_verifier::event::Position;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use uuid::Uuid;

pub use copy::{JournalCopy, JournalCopyError, install_journal, uninstall_journal};
pub use given::{Given, Held};
pub use history::{End, Flaw, History, JournalError, Reading, after, is_older, read};
use jeton_core::clock::Timestamp;
pub use line::{Batch, Entry, InvalidId, Order};
use line::{Begin, VERSION};
pub use replayed::{GIVEN_OUT, LOST, REPLAYED, Replayed, beyond};
use segment::Segment;

/// The journal of a database, open for appending.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    database: Uuid,
    /// The last segment; `None` if the next batch begins a new one.
    segment: Option<Segment>,
    /// What servers have given out, by the last segment.
    pub given: Given,
    /// The keys whose withdrawal is in the journal and committed.
    withdrawn: BTreeSet<String>,
    /// The keys that the open transaction withdraws. It may still fail and be retried.
    withdrawing: BTreeSet<String>,
    pub metrics: JournalMetrics,
}

/// What was appended to the journal.
#[derive(Debug, Clone, Default)]
pub struct JournalMetrics {
    /// The transactions that were appended.
    pub appends: Counter,
    /// Those that could not be.
    pub failures: Counter,
}

impl JournalMetrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_journal_appends",
            "Lines appended to the journal of revocations and synced",
            self.appends.clone(),
        );
        registry.register(
            "jeton_journal_failures",
            "Lines that could not be appended to the journal of revocations; those revocations failed",
            self.failures.clone(),
        );
    }
}

impl Journal {
    /// Prepares the journal in a folder, which need not exist yet. It has the withdrawal of these keys, or need not have
    /// it.
    pub fn new(folder: PathBuf, database: Uuid, withdrawn: impl IntoIterator<Item = String>) -> Self {
        Self {
            folder,
            database,
            segment: None,
            given: Given::default(),
            withdrawn: withdrawn.into_iter().collect(),
            withdrawing: BTreeSet::new(),
            metrics: JournalMetrics::default(),
        }
    }

    /// Continues the last segment if it is intact and reaches exactly this position. Returns whether it does.
    pub fn resume(&mut self, at: Position) -> io::Result<bool> {
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
    pub fn history_after(&self, at: Position) -> Result<(History, End), JournalError> {
        after(&self.folder, self.database, at)
    }

    /// Marks the appended transaction as committed.
    pub fn committed(&mut self) {
        self.withdrawn.append(&mut self.withdrawing);
        if let Some(segment) = &mut self.segment {
            segment.committed();
        }
    }

    /// Removes the lines of a transaction that was rolled back for certain. Otherwise every revocation that a
    /// full disk refuses would fill it further, and a restore would carry it out.
    pub fn undone(&mut self) {
        if let Some(segment) = &mut self.segment {
            segment.undone();
        }
    }

    /// Begins a new segment with the next batch: it is unknown whether the transaction of the last line is committed, so
    /// that neither the line goes nor another one follows it.
    pub fn unsure(&mut self) {
        self.segment = None;
    }

    /// Appends what servers have given out in transactions that are committed, and returns once it is on disk.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn note(&mut self, entries: Vec<Entry>, at: Position) -> io::Result<()> {
        for entry in &entries {
            self.given.note(entry);
        }
        self.append(&[Batch {
            at,
            reaches: at,
            entries,
        }])?;
        self.committed();
        Ok(())
    }

    /// Appends that the deployment moves, in the open transaction, and returns once it is on disk.
    ///
    /// # Errors
    ///
    /// If it cannot be written. Nothing of it stays then.
    pub fn leave(&mut self, to: &str, at: Position) -> io::Result<()> {
        self.append(&[Batch {
            at,
            reaches: at,
            entries: vec![Entry::Moved { to: to.to_owned() }],
        }])
    }

    /// Says, behind the last line, that its transaction is committed. Does not wait for the disk: after a power failure
    /// the line is one that may not be committed.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn mark_committed(&mut self) -> io::Result<()> {
        self.committed();
        match &mut self.segment {
            Some(segment) => segment.mark(),
            None => Ok(()),
        }
    }

    /// Appends the revocations of the open transaction, each batch a line, and the withdrawal of keys that the journal does
    /// not have; returns once they are on disk. Appends nothing if there is nothing.
    ///
    /// # Errors
    ///
    /// If it cannot be written. Nothing of it stays then.
    pub fn follow(&mut self, mut batches: Vec<Batch>, withdrawn: Vec<Entry>) -> io::Result<()> {
        let withdrawn = self.newly_withdrawn(withdrawn);
        if let Some(last) = batches.last_mut() {
            last.entries.extend(withdrawn);
        }
        batches.retain(|batch| !batch.entries.is_empty());
        match batches.is_empty() {
            true => Ok(()),
            false => self.append(&batches),
        }
    }

    /// Begins a segment with these batches, and the withdrawal of keys that the journal does not have: used if no line
    /// leads to the state of the database, or if it was restored from another position.
    ///
    /// # Errors
    ///
    /// If it cannot be written. Nothing of it stays then.
    pub fn begin_anew(
        &mut self,
        restored_from: Option<Position>,
        mut batches: Vec<Batch>,
        withdrawn: Vec<Entry>,
    ) -> io::Result<()> {
        let withdrawn = self.newly_withdrawn(withdrawn);
        if let Some(last) = batches.last_mut() {
            last.entries.extend(withdrawn);
        }
        let begun = self.begin(restored_from, &batches);
        if begun.is_err() {
            self.undone();
        }
        begun
    }

    fn append(&mut self, batches: &[Batch]) -> io::Result<()> {
        let Some(first) = batches.first() else {
            return Ok(());
        };
        let written = match &mut self.segment {
            Some(segment) if segment.ends(first.at)? => segment.append(batches),
            _ => self.begin(None, batches),
        };
        if written.is_err() {
            self.metrics.failures.inc();
            self.undone();
        } else {
            self.metrics.appends.inc();
        }
        written
    }

    fn begin(&mut self, restored_from: Option<Position>, batches: &[Batch]) -> io::Result<()> {
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
            return Ok(());
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let newest = segments(&self.folder)?.pop();
        let number = newest.map_or(0, |(number, _)| number) + 1;
        let mut text = line::text(&Begin {
            journal: VERSION,
            database: self.database,
            at: first.at,
            restored_from,
        })?;
        // A start reads the last segment only.
        let given = self.given.entries();
        for (index, batch) in batches.iter().enumerate() {
            let mut batch = batch.clone();
            if index == 0 {
                batch.entries.splice(0..0, given.iter().cloned());
            }
            if !batch.entries.is_empty() {
                text.extend(line::text(&batch)?);
            }
        }
        let path = self.folder.join(format!("{number:08}.log"));
        let segment = self.segment.insert(Segment::create(path, first.at)?);
        segment.write(&text, last.reaches)?;
        File::open(&self.folder)?.sync_all()?;
        match self.folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// Returns the keys of these that the journal does not have as withdrawn.
    fn newly_withdrawn(&mut self, mut found: Vec<Entry>) -> Vec<Entry> {
        found.retain(|entry| entry.withdrawn().is_some_and(|kid| !self.withdrawn.contains(kid)));
        self.withdrawing = found
            .iter()
            .filter_map(|entry| entry.withdrawn().map(str::to_owned))
            .collect();
        found
    }
}

/// Reads the whole journal in a folder, and returns its flaws: what a restore could not repeat.
pub fn check(folder: &Path) -> io::Result<Vec<String>> {
    fs::metadata(folder)?;
    history::flaws(folder)
}

/// Returns whether a folder has no segment of a journal, or does not exist.
pub fn is_absent(folder: &Path) -> io::Result<bool> {
    Ok(segments(folder)?.is_empty())
}

/// Returns all readable entries of the first segments of the journal in a folder, in order.
pub fn entries(folder: &Path, count: usize) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (_, path) in segments(folder)?.into_iter().take(count) {
        let text = fs::read(path)?;
        entries.extend(history::batches(&text).flat_map(|batch| batch.entries));
    }
    Ok(entries)
}

/// Removes the oldest segments whose whole content was recorded by an instant, but never the last segment.
/// Returns their number.
pub fn prune(folder: &Path, recorded_by: Timestamp) -> io::Result<usize> {
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
