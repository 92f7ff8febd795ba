//! Reading the journal: what was revoked after a position, or that it does not tell.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jeton_verifier::event::Position;
use uuid::Uuid;

use super::line::{self, Batch, Begin, VERSION};
use super::segments;

/// What the journal tells about the time after a position.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// There is no journal.
    Absent,
    /// It does not know the position, or something behind it is damaged or missing. The last position
    /// that it reaches.
    Unconnected(Position),
    /// Everything that was appended since, in order.
    Complete {
        batches: Vec<Batch>,
        /// How often the database was restored since.
        restores: i64,
    },
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It was written for another database.
    #[error("the journal {} belongs to another database: move it to another folder", .0.display())]
    Foreign(PathBuf),
    /// A later version has written it.
    #[error("the journal {} was written by a newer version of jeton", .0.display())]
    Newer(PathBuf),
    /// It cannot be read.
    #[error("the journal {} cannot be read", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Reads all segments. The position may stand more than once in them, after a crash and where one
/// backup was restored twice: everything after the first time is told, since nothing is undone by
/// telling it again.
pub(super) fn after(folder: &Path, database: Uuid, at: Position) -> Result<History, JournalError> {
    let unreadable = |source| JournalError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let mut reader = Reader {
        at,
        seen: HashSet::new(),
        found: None,
        restores: 0,
        last: None,
    };
    for (_, path) in segments(folder).map_err(unreadable)? {
        let text = fs::read(&path).map_err(unreadable)?;
        let Some(begin) = begin(&text) else {
            // Torn at its very beginning: nothing in it was acknowledged, or it is damaged, which the
            // next segment shows by beginning at a position that nobody has seen.
            continue;
        };
        if begin.journal > VERSION {
            return Err(JournalError::Newer(folder.to_owned()));
        }
        if begin.database != database {
            return Err(JournalError::Foreign(folder.to_owned()));
        }
        reader.segment(&begin, &text);
    }
    Ok(match (reader.found, reader.last) {
        (Some(batches), _) => History::Complete {
            batches,
            restores: reader.restores,
        },
        (None, Some(last)) => History::Unconnected(last),
        (None, None) => History::Absent,
    })
}

struct Reader {
    at: Position,
    /// The positions from which everything that follows is known.
    seen: HashSet<Position>,
    /// What follows the position that is looked for, once it was found.
    found: Option<Vec<Batch>>,
    restores: i64,
    last: Option<Position>,
}

impl Reader {
    fn segment(&mut self, begin: &Begin, text: &[u8]) {
        let follows = [Some(begin.at), begin.restored_from];
        if !follows
            .iter()
            .flatten()
            .any(|position| self.seen.contains(position))
        {
            self.disconnect();
        }
        if self.found.is_some() && begin.restored_from.is_some() {
            self.restores += 1;
        }
        self.reach(begin.at);
        let mut lines = lines(text).skip(1).peekable();
        while let Some(line) = lines.next() {
            match line.whole.then(|| line::read::<Batch>(line.text)).flatten() {
                Some(batch) => {
                    if self.last != Some(batch.at) {
                        self.disconnect();
                    }
                    let reaches = batch.reaches;
                    if let Some(found) = &mut self.found {
                        found.push(batch);
                    }
                    self.reach(reaches);
                }
                // A torn end was never acknowledged.
                None if lines.peek().is_none() => {}
                None => self.disconnect(),
            }
        }
    }

    fn reach(&mut self, position: Position) {
        self.seen.insert(position);
        self.last = Some(position);
        if position == self.at && self.found.is_none() {
            self.found = Some(Vec::new());
        }
    }

    /// Something is missing here: nothing before it leads to what follows.
    fn disconnect(&mut self) {
        self.seen.clear();
        self.found = None;
        self.restores = 0;
    }
}

/// The first line of a segment.
pub(super) fn begin(text: &[u8]) -> Option<Begin> {
    let first = lines(text).next()?;
    first.whole.then(|| line::read(first.text)).flatten()
}

/// What can be read of a segment.
pub(super) fn batches(text: &[u8]) -> impl Iterator<Item = Batch> {
    lines(text).skip(1).filter_map(|line| line::read(line.text))
}

/// A segment without a flaw.
pub(super) fn whole(text: &[u8]) -> Option<(Begin, Vec<Batch>)> {
    let begin = begin(text)?;
    let batches = lines(text)
        .skip(1)
        .map(|line| line.whole.then(|| line::read(line.text)).flatten())
        .collect::<Option<_>>()?;
    Some((begin, batches))
}

struct Line<'a> {
    text: &'a [u8],
    /// Whether it has its end.
    whole: bool,
}

fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    text.split_inclusive(|byte| *byte == b'\n')
        .map(|line| match line.strip_suffix(b"\n") {
            Some(text) => Line { text, whole: true },
            None => Line {
                text: line,
                whole: false,
            },
        })
}
