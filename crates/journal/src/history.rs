//! Reading the journal: the revocations after a position, or that the journal is incomplete.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jeton_verifier::event::Position;
use uuid::Uuid;

use super::given::Given;
use super::line::{self, Batch, Begin, Entry, VERSION};
use super::segments;
use jeton_core::clock::Timestamp;

/// The journal's answer for the time after a position.
#[derive(Debug, PartialEq, Eq)]
pub enum History {
    /// There is no journal.
    Absent,
    /// The journal lacks the position, or something after it is damaged or missing. Contains the last position
    /// that the journal reaches.
    Unconnected(Position),
    /// All batches appended since the position, in order.
    Complete {
        batches: Vec<Batch>,
        /// How often the database was restored since.
        restores: i64,
        /// What servers have given out since the last restore.
        given: Given,
    },
}

/// The reason why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The journal was written for another database.
    #[error("the journal {} belongs to another database: move it to another folder", .0.display())]
    Foreign(PathBuf),
    /// A later version of jeton has written the journal.
    #[error("the journal {} was written by a newer version of jeton", .0.display())]
    Newer(PathBuf),
    /// The journal cannot be read.
    #[error("the journal {} cannot be read", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// The end of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// The number of the last event that can be read, 0 if there is none.
    pub sequence: u64,
    /// When it was recorded.
    pub recorded_at: Option<Timestamp>,
    /// What is wrong with the bytes after it, if anything.
    pub flaw: Option<Flaw>,
}

/// A flaw at the end of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The last line has no end: a crash has left it, or the end of the file is missing.
    Torn,
    /// The last line has its end and is not what was written.
    Damaged,
}

/// Returns the history of a journal after a position of a database, and its end. Reads all segments. The position may
/// occur more than once, after a crash or if one backup was restored twice: everything after its first occurrence is
/// returned, since repeating a revocation is harmless.
pub fn after(folder: &Path, database: Uuid, at: Position) -> Result<(History, End), JournalError> {
    let unreadable = |source| JournalError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let mut reader = Reader {
        at,
        seen: HashSet::new(),
        found: None,
        restores: 0,
        given: Given::default(),
        last: None,
        end: End::default(),
    };
    for (_, path) in segments(folder).map_err(unreadable)? {
        let text = fs::read(&path).map_err(unreadable)?;
        let Some(begin) = checked_begin(&text, folder, database)? else {
            reader.end.flaw = match text.contains(&b'\n') {
                true => Some(Flaw::Damaged),
                // A segment that was undone and could not be removed is empty.
                false => (!text.is_empty()).then_some(Flaw::Torn),
            };
            // Torn at its beginning: either none of it was acknowledged, or it is damaged. Damage shows in the
            // next segment, which begins at a position that is not known.
            continue;
        };
        reader.segment(&begin, &text);
    }
    let end = reader.end;
    let history = match (reader.found, reader.last) {
        (Some(batches), _) => History::Complete {
            batches,
            restores: reader.restores,
            given: reader.given,
        },
        (None, Some(last)) => History::Unconnected(last),
        (None, None) => History::Absent,
    };
    Ok((history, end))
}

/// Returns the first line of a segment, if it can be read and is of this database's journal.
fn checked_begin(text: &[u8], folder: &Path, database: Uuid) -> Result<Option<Begin>, JournalError> {
    let Some(begin) = begin(text) else {
        return Ok(None);
    };
    if begin.journal > VERSION {
        return Err(JournalError::Newer(folder.to_owned()));
    }
    if begin.database != database {
        return Err(JournalError::Foreign(folder.to_owned()));
    }
    Ok(Some(begin))
}

/// All that can be read of a journal.
#[derive(Debug, Default)]
pub struct Reading {
    /// The positions that the journal reaches, in the order of its lines.
    pub positions: Vec<Position>,
    /// The keys whose withdrawal it has.
    pub withdrawn: Vec<String>,
    /// When the last of its revocations was recorded.
    pub recorded_at: Option<Timestamp>,
}

/// Reads the journal of a database, which need not exist.
///
/// # Errors
///
/// [`JournalError`]
pub fn read(folder: &Path, database: Uuid) -> Result<Reading, JournalError> {
    let unreadable = |source| JournalError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let mut reading = Reading::default();
    for (_, path) in segments(folder).map_err(unreadable)? {
        let text = fs::read(&path).map_err(unreadable)?;
        if let Some(begin) = checked_begin(&text, folder, database)? {
            reading.positions.push(begin.at);
            for batch in batches(&text) {
                reading.positions.push(batch.reaches);
                let withdrawn = batch.entries.iter().filter_map(Entry::withdrawn);
                reading.withdrawn.extend(withdrawn.map(str::to_owned));
                let recorded_at = batch.entries.iter().filter_map(Entry::recorded_at).max();
                reading.recorded_at = reading.recorded_at.max(recorded_at);
            }
        }
    }
    Ok(reading)
}

/// Returns whether more has happened since a position than a crash can leave: lines at this very position, one by each
/// process that ended before its commit.
pub fn is_older(batches: &[Batch], at: Position) -> bool {
    batches.iter().any(|batch| batch.at != at && batch.reaches != at)
}

struct Reader {
    at: Position,
    /// The positions from which all that follows is known.
    seen: HashSet<Position>,
    /// The batches after the wanted position, once it was found.
    found: Option<Vec<Batch>>,
    restores: i64,
    given: Given,
    last: Option<Position>,
    end: End,
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
        if begin.restored_from.is_some() {
            self.given = Given::default();
        }
        self.reach(begin.at);
        self.end.flaw = None;
        let mut lines = lines(text).skip(1).peekable();
        while let Some(line) = lines.next() {
            match line.whole.then(|| line::read::<Batch>(line.text)).flatten() {
                Some(batch) => {
                    if self.last != Some(batch.at) {
                        self.disconnect();
                    }
                    let reaches = batch.reaches;
                    batch.entries.iter().for_each(|entry| self.given.note(entry));
                    let recorded_at = batch.entries.iter().filter_map(Entry::recorded_at).max();
                    self.end.recorded_at = self.end.recorded_at.max(recorded_at);
                    if let Some(found) = &mut self.found {
                        found.push(batch);
                    }
                    self.reach(reaches);
                }
                // A torn end was never acknowledged, if nothing is missing after it.
                None if lines.peek().is_none() => {
                    self.end.flaw = Some(if line.whole { Flaw::Damaged } else { Flaw::Torn });
                }
                None => self.disconnect(),
            }
        }
    }

    fn reach(&mut self, position: Position) {
        self.seen.insert(position);
        self.end.sequence = position.sequence;
        self.last = Some(position);
        if position == self.at && self.found.is_none() {
            self.found = Some(Vec::new());
        }
    }

    /// Records a gap: no line before it leads to what follows.
    fn disconnect(&mut self) {
        self.seen.clear();
        self.found = None;
        self.restores = 0;
    }
}

/// Returns the first line of a segment.
pub(crate) fn begin(text: &[u8]) -> Option<Begin> {
    let first = lines(text).next()?;
    first.whole.then(|| line::read(first.text)).flatten()
}

/// Returns the readable batches of a segment.
pub(crate) fn batches(text: &[u8]) -> impl Iterator<Item = Batch> {
    lines(text).skip(1).filter_map(|line| line::read(line.text))
}

/// Returns a segment that has no flaw.
pub(crate) fn whole(text: &[u8]) -> Option<(Begin, Vec<Batch>)> {
    let begin = begin(text)?;
    let batches = lines(text)
        .skip(1)
        .map(|line| line.whole.then(|| line::read(line.text)).flatten())
        .collect::<Option<_>>()?;
    Some((begin, batches))
}

/// Returns what is wrong with each segment, in words. A crash may have torn the end of each.
pub(crate) fn flaws(folder: &Path) -> io::Result<Vec<String>> {
    let mut flaws = Vec::new();
    // A segment continues any position before it: a crash leaves lines without a commit, and a restore goes back.
    let mut seen: HashSet<Position> = HashSet::new();
    for (_, path) in segments(folder)? {
        let text = fs::read(&path)?;
        let name = path.display();
        let Some(begin) = begin(&text) else {
            if !text.is_empty() {
                flaws.push(format!("the first line of {name} cannot be read"));
            }
            continue;
        };
        let mut follows = [Some(begin.at), begin.restored_from].into_iter().flatten();
        if !seen.is_empty() && !follows.any(|position| seen.contains(&position)) {
            flaws.push(format!("{name} does not continue the segments before it"));
        }
        let mut last = begin.at;
        seen.insert(last);
        let mut lines = lines(&text).skip(1).peekable();
        let mut line_number = 1;
        while let Some(line) = lines.next() {
            line_number += 1;
            match line.whole.then(|| line::read::<Batch>(line.text)).flatten() {
                Some(batch) => {
                    if last != batch.at {
                        flaws.push(format!("lines before line {line_number} of {name} are missing"));
                    }
                    last = batch.reaches;
                    seen.insert(last);
                }
                // Torn by a crash. If more is missing, the next segment does not continue what was read.
                None if !line.whole && lines.peek().is_none() => {}
                None => flaws.push(format!("line {line_number} of {name} cannot be read")),
            }
        }
    }
    Ok(flaws)
}

struct Line<'a> {
    text: &'a [u8],
    /// Whether the line has its end.
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
