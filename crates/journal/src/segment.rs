//! The last file of the journal, and the removal of an uncommitted line from it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use jeton_verifier::event::Position;

use super::line::{self, Batch};

/// The size in bytes at which a segment is full. Old segments are removed whole.
const SEGMENT: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    end: End,
    /// The end without the open transaction's lines. Length 0 if that transaction has begun the segment.
    committed: End,
}

/// The end of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    length: u64,
    reaches: Position,
}

impl Segment {
    /// Creates a segment that begins at a position.
    pub(super) fn create(path: PathBuf, at: Position) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self::of(path, file, 0, at))
    }

    /// Opens an intact segment for appending.
    pub(super) fn resume(path: PathBuf, length: u64, reaches: Position) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).open(&path)?;
        Ok(Self::of(path, file, length, reaches))
    }

    fn of(path: PathBuf, file: File, length: u64, reaches: Position) -> Self {
        let end = End { length, reaches };
        Self {
            path,
            file,
            end,
            committed: end,
        }
    }

    /// Returns whether the next batch belongs here: no other process has written to the file or removed it.
    pub(super) fn ends(&self, at: Position) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        // A segment of length 0 was begun, undone, and could not be removed: its first line is missing.
        Ok(self.end.reaches == at
            && (1..SEGMENT).contains(&self.end.length)
            && metadata.len() == self.end.length
            && metadata.nlink() > 0)
    }

    /// Appends lines, and returns once they are on disk.
    pub(super) fn append(&mut self, batches: &[Batch]) -> io::Result<()> {
        let mut text = Vec::new();
        for batch in batches {
            text.extend(line::text(batch)?);
        }
        let reaches = batches.last().map_or(self.end.reaches, |last| last.reaches);
        self.write(&text, reaches)
    }

    /// Appends a line without content after a committed one, and does not wait for the disk.
    pub(super) fn mark(&mut self) -> io::Result<()> {
        let End { length, reaches } = self.end;
        let text = line::text(&Batch {
            at: reaches,
            reaches,
            entries: Vec::new(),
        })?;
        self.end.length = length + text.len() as u64;
        let written = self.file.write_all_at(&text, length);
        match written.is_ok() {
            true => self.committed(),
            false => self.undone(),
        }
        written
    }

    /// Writes at the end, and returns once the text is on disk.
    pub(super) fn write(&mut self, text: &[u8], reaches: Position) -> io::Result<()> {
        let End { length, .. } = self.end;
        // Set before writing, so that a torn line is removed too.
        self.end = End {
            length: length + text.len() as u64,
            reaches,
        };
        self.file.write_all_at(text, length)?;
        self.file.sync_data()
    }

    /// Marks the written text as committed.
    pub(super) fn committed(&mut self) {
        self.committed = self.end;
    }

    /// Removes the text that the open transaction has written, if any.
    pub(super) fn undone(&mut self) {
        if self.end == self.committed {
            return;
        }
        // If that fails, the next batch finds another end than it expects, and begins a segment.
        let _ = if self.committed.length == 0 {
            fs::remove_file(&self.path)
        } else {
            self.file.set_len(self.committed.length)
        };
        self.end = self.committed;
    }
}
