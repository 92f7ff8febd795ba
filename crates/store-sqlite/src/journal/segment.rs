//! The file at the end of the journal, and how a line of it is taken back.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use jeton_verifier::event::Position;

use super::line::{self, Batch};

/// How long a segment grows, in bytes. Old ones are removed whole.
const SEGMENT: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    end: End,
    /// Without what the open transaction has written. Of length 0 if that has begun the segment.
    committed: End,
}

/// Where a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    length: u64,
    reaches: Position,
}

impl Segment {
    /// A new one, which begins at a position.
    pub(super) fn create(path: PathBuf, at: Position) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self::of(path, file, 0, at))
    }

    /// One that was written to its end.
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

    /// Whether the next batch belongs here: nobody else has written to it or removed it.
    pub(super) fn ends(&self, at: Position) -> io::Result<bool> {
        let metadata = self.file.metadata()?;
        // One of length 0 was begun, undone, and could not be removed: its first line is missing.
        Ok(self.end.reaches == at
            && (1..SEGMENT).contains(&self.end.length)
            && metadata.len() == self.end.length
            && metadata.nlink() > 0)
    }

    /// Appends a line, and returns once it is on disk.
    pub(super) fn append(&mut self, batch: &Batch) -> io::Result<()> {
        self.write(&line::text(batch)?, batch.reaches)
    }

    /// Writes behind the end, and returns once it is on disk.
    pub(super) fn write(&mut self, text: &[u8], reaches: Position) -> io::Result<()> {
        let End { length, .. } = self.end;
        // Before anything is written, so that what is torn is taken back too.
        self.end = End {
            length: length + text.len() as u64,
            reaches,
        };
        self.file.write_all_at(text, length)?;
        self.file.sync_data()
    }

    /// The transaction that has written here is committed.
    pub(super) fn committed(&mut self) {
        self.committed = self.end;
    }

    /// Takes back what the open transaction has written, if anything.
    pub(super) fn undone(&mut self) {
        if self.end == self.committed {
            return;
        }
        // Where that fails the next batch does not find the end that it expects, and begins a segment.
        let _ = if self.committed.length == 0 {
            fs::remove_file(&self.path)
        } else {
            self.file.set_len(self.committed.length)
        };
        self.end = self.committed;
    }
}
