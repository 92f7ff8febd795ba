//! A copy of the journal: a folder on another disk that has the same segments.
//!
//! It follows the journal: a revocation does not wait for it, and is not refused when that disk fails. Only lines
//! whose transaction is committed are copied, so that the copy never has a line that the writer takes back.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use jeton_verifier::event::Position;
use serde::Deserialize;

use crate::line;
use crate::{history, segments};
use jeton_core::clock::Timestamp;
use jeton_core::file_mode::{Exposed, Secret, SecretFolder};

/// The reason why the journal is not copied, or a copy not used.
#[derive(Debug, thiserror::Error)]
pub enum JournalCopyError {
    /// The folder of the copy is missing. It is not created: an unmounted disk would be replaced by a folder on
    /// the disk of the database.
    #[error("the folder {} does not exist: mount its disk, or create it with the mode 0700", .0.display())]
    Missing(PathBuf),
    /// Other users could change the copy.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The folder of the copy is that of the journal.
    #[error("{} is the journal itself: choose a folder on another disk", .0.display())]
    Same(PathBuf),
    /// The folder contains the journal of another database.
    #[error("{} contains the journal of another database: choose another folder", .0.display())]
    Foreign(PathBuf),
    /// The copy has lines that the journal lacks.
    #[error(
        "{} has lines that the journal {} does not have, so nothing is copied: if the journal was replaced by an older \
         one, restore a backup with `jeton restore --journal`; otherwise move the files of the copy away",
        copy.display(), journal.display()
    )]
    Ahead {
        /// The segment or folder of the copy.
        copy: PathBuf,
        /// The folder of the journal.
        journal: PathBuf,
    },
    /// The journal has lost segments that the copy still has, and that retention has not deleted.
    #[error(
        "the journal {} has lost its first segments. {} has them: everything later is copied, and these are kept. Make a \
         backup, and move them away when they are older than `tokens.retention`",
        journal.display(), copy.display()
    )]
    Lost {
        /// The first of these segments in the copy.
        copy: PathBuf,
        /// The folder of the journal.
        journal: PathBuf,
    },
    /// Another program changed the copy.
    #[error("{} was changed by another program, or its disk is gone", .0.display())]
    Changed(PathBuf),
    /// The database has a journal already.
    #[error(
        "the database has a journal, {}: restore without --journal, or move it away if the copy is newer",
        .0.display()
    )]
    Exists(PathBuf),
    /// There is no journal in a folder.
    #[error("there is no journal in {}", .0.display())]
    Nothing(PathBuf),
    /// The operating system refused an operation.
    #[error("{} cannot be {action}", path.display())]
    Io {
        /// The operation, as a participle.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// How far a copy is compared with the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reached {
    /// The device and the inode of the copy's folder.
    folder: (u64, u64),
    /// The first segment of the journal when the copy was last pruned.
    first: u64,
    /// The last segment that was copied, and how many of its bytes.
    number: u64,
    length: u64,
}

/// A folder that follows the journal of a database.
#[derive(Debug)]
pub struct JournalCopy {
    journal: PathBuf,
    copy: PathBuf,
    /// `None` before everything is compared, and again after a failure that leaves open what the copy has.
    reached: Option<Reached>,
}

impl JournalCopy {
    /// Prepares the copy of a journal into a folder, which is not accessed yet.
    pub fn new(journal: PathBuf, copy: PathBuf) -> Self {
        Self {
            journal,
            copy,
            reached: None,
        }
    }

    /// Refuses the folder of the journal itself. Neither folder need exist.
    ///
    /// # Errors
    ///
    /// [`JournalCopyError::Same`]
    pub fn check_folder(&self) -> Result<(), JournalCopyError> {
        match resolved(&self.journal) == resolved(&self.copy) {
            true => Err(JournalCopyError::Same(self.copy.clone())),
            false => Ok(()),
        }
    }

    /// Returns whether both folders are on the same disk, as far as they are accessible.
    pub fn is_on_same_disk(&self) -> bool {
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        device(&self.journal).is_some_and(|disk| device(&self.copy) == Some(disk))
    }

    /// Copies what the journal has and the copy lacks, up to a position that is committed, and syncs it. Removes
    /// segments that retention has removed from the journal: those with no entry recorded after `kept_since`. The first
    /// call, and each after the copy or the journal was changed by others, compares everything.
    ///
    /// # Errors
    ///
    /// [`JournalCopyError`]. Whole lines of the copy are never changed.
    pub fn follow(&mut self, committed: Position, kept_since: Timestamp) -> Result<(), JournalCopyError> {
        let followed = self.advance(committed, kept_since);
        match &followed {
            // What was copied before is known.
            Ok(()) | Err(JournalCopyError::Io { .. } | JournalCopyError::Lost { .. }) => {}
            Err(_) => self.reached = None,
        }
        followed
    }

    fn advance(&mut self, committed: Position, kept_since: Timestamp) -> Result<(), JournalCopyError> {
        let folder = self.identity()?;
        if self.reached.is_some_and(|before| before.folder != folder) {
            return Err(JournalCopyError::Changed(self.copy.clone()));
        }
        let originals = segments(&self.journal).map_err(io_error("read", &self.journal))?;
        let Some((first, _)) = originals.first() else {
            return match self.reached {
                None => self.check(&[]),
                Some(_) => Err(self.ahead(&self.copy)),
            };
        };
        match self.reached {
            None => self.check(&originals)?,
            Some(before) if originals.iter().all(|(number, _)| *number < before.number) => {
                return Err(self.ahead(&self.copy));
            }
            Some(_) => {}
        }
        let mut rest = originals.iter().peekable();
        while let Some((number, path)) = rest.next() {
            let known = match self.reached {
                Some(before) if *number < before.number => continue,
                Some(before) if *number == before.number => Some(before.length),
                Some(_) | None => None,
            };
            let length = self.segment(path, known, rest.peek().is_none().then_some(committed))?;
            self.reached = Some(Reached {
                folder,
                first: self.reached.map_or(0, |before| before.first),
                number: *number,
                length,
            });
        }
        if let Some(reached) = self.reached
            && reached.first < *first
        {
            self.prune(*first, kept_since)?;
            self.reached = Some(Reached {
                first: *first,
                ..reached
            });
        }
        Ok(())
    }

    /// Returns the device and the inode of the copy's folder.
    fn identity(&self) -> Result<(u64, u64), JournalCopyError> {
        let metadata = metadata(&self.copy)?;
        Ok((metadata.dev(), metadata.ino()))
    }

    /// Returns how many bytes of the journal the copy lacks. A folder that cannot be read lacks all of them.
    pub fn lag(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let originals = segments(&self.journal).unwrap_or_default();
        let lacks = originals
            .iter()
            .map(|(_, path)| size(path).saturating_sub(size(&self.counterpart(path))));
        lacks.sum()
    }

    /// Copies what a segment has and its copy lacks. Of the last segment, only lines up to `committed`. `known` is
    /// the length of a copy that was compared before. Returns the length of the copy.
    fn segment(
        &self,
        path: &Path,
        known: Option<u64>,
        committed: Option<Position>,
    ) -> Result<u64, JournalCopyError> {
        let skipped = known.unwrap_or(0);
        let target = self.counterpart(path);
        let length = fs::metadata(path).map_err(io_error("read", path))?.len();
        if length < skipped {
            return Err(self.ahead(&target));
        }
        let text = read_from(path, skipped).map_err(io_error("read", path))?;
        let ready = match committed {
            Some(committed) => committed_length(&text, skipped == 0, committed),
            None => text.len(),
        };
        let failed = io_error("written", &target);
        if known.is_some_and(|known| fs::metadata(&target).map_or(0, |metadata| metadata.len()) != known) {
            // The next call compares everything.
            return Err(JournalCopyError::Changed(target.clone()));
        }
        let same = match known {
            Some(_) => 0,
            None => self.compare(&text, &target)?,
        };
        let Some(missing) = text.get(same..ready).filter(|missing| !missing.is_empty()) else {
            return Ok(skipped + same as u64);
        };
        let length = skipped + same as u64;
        let is_new = length == 0;
        // A file that vanished must not begin in the middle.
        let mut options = OpenOptions::new();
        let file = options.write(true).create(is_new).mode(0o600).open(&target);
        let file = file.map_err(&failed)?;
        let written = (|| {
            file.set_len(length)?;
            file.write_all_at(missing, length)?;
            file.sync_data()?;
            match is_new {
                true => sync_folder(&self.copy),
                false => Ok(()),
            }
        })();
        if let Err(error) = written {
            // The next call writes it again: what a sync has failed for must not be taken for written. If it cannot be
            // taken back, the next call finds another length.
            let _ = file.set_len(length);
            return Err(failed(error));
        }
        Ok(length + missing.len() as u64)
    }

    /// Returns how many bytes of a segment its copy has. Bytes after them are what a crash has left: they contain
    /// no whole line.
    fn compare(&self, text: &[u8], target: &Path) -> Result<usize, JournalCopyError> {
        let copied = match fs::read(target) {
            Ok(copied) => copied,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(io_error("read", target)(error)),
        };
        let same = text
            .iter()
            .zip(&copied)
            .take_while(|(one, other)| one == other)
            .count();
        if same == copied.len() {
            return Ok(same);
        }
        let line = copied
            .iter()
            .take(same)
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let rest = copied.get(line..).unwrap_or_default();
        if rest.split(|byte| *byte == b'\n').any(line::is_intact) {
            return Err(self.ahead(target));
        }
        Ok(line)
    }

    /// Checks the folder of the copy, and that it belongs to this journal.
    fn check(&self, originals: &[(u64, PathBuf)]) -> Result<(), JournalCopyError> {
        self.check_folder()?;
        let copied = private_segments(&self.copy)?;
        let database = |path: &Path| -> Result<_, JournalCopyError> {
            let text = first_line(path).map_err(io_error("read", path))?;
            Ok(history::begin(&text).map(|begin| begin.database))
        };
        let mut own = None;
        for (_, path) in originals {
            own = own.or(database(path)?);
        }
        let last = originals.last().map(|(number, _)| *number);
        for (number, path) in copied {
            if database(&path)?.is_some_and(|found| own.is_some_and(|own| own != found)) {
                return Err(JournalCopyError::Foreign(self.copy.clone()));
            }
            if Some(number) > last {
                return Err(self.ahead(&path));
            }
        }
        Ok(())
    }

    /// Deletes segments before the first one of the journal, if their content is as old as what retention deletes from
    /// the journal. Others were lost, and the copy is all that has them.
    fn prune(&self, first: u64, kept_since: Timestamp) -> Result<(), JournalCopyError> {
        for (number, path) in segments(&self.copy).map_err(io_error("read", &self.copy))? {
            if number >= first {
                break;
            }
            let text = fs::read(&path).map_err(io_error("read", &path))?;
            if !crate::is_recorded_by(&text, kept_since) {
                return Err(JournalCopyError::Lost {
                    copy: path,
                    journal: self.journal.clone(),
                });
            }
            fs::remove_file(&path).map_err(io_error("deleted", &path))?;
        }
        Ok(())
    }

    fn ahead(&self, copy: &Path) -> JournalCopyError {
        JournalCopyError::Ahead {
            copy: copy.to_owned(),
            journal: self.journal.clone(),
        }
    }

    /// Returns the path of a segment's copy.
    fn counterpart(&self, path: &Path) -> PathBuf {
        self.copy.join(path.file_name().unwrap_or_default())
    }
}

/// Puts a copy of the journal in a folder into the place of a journal, which must be missing. Returns the number of its
/// segments.
///
/// # Errors
///
/// [`JournalCopyError`]. Nothing is in its place then.
pub fn install_journal(from: &Path, target: &Path) -> Result<usize, JournalCopyError> {
    if fs::symlink_metadata(target).is_ok() {
        return Err(JournalCopyError::Exists(target.to_owned()));
    }
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".restoring");
    let unfinished = PathBuf::from(unfinished);
    let failed = io_error("written", &unfinished);
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let found = match private_segments(from) {
        Err(JournalCopyError::Missing(_)) => Vec::new(),
        found => found?,
    };
    let Some((last, _)) = found.last() else {
        return Err(JournalCopyError::Nothing(from.to_owned()));
    };
    let installed = (|| {
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&unfinished)
            .map_err(&failed)?;
        for (number, path) in &found {
            let text = if number == last {
                read_lines(path)
            } else {
                fs::read(path)
            };
            let text = text.map_err(io_error("read", path))?;
            let target = unfinished.join(path.file_name().unwrap_or_default());
            write_new(&target, &text).map_err(io_error("written", &target))?;
        }
        sync_folder(&unfinished).map_err(&failed)?;
        fs::rename(&unfinished, target).map_err(&failed)?;
        sync_folder(parent_of(target)).map_err(&failed)?;
        Ok(found.len())
    })();
    if installed.is_err() {
        // The next attempt removes it too.
        let _ = fs::remove_dir_all(&unfinished);
    }
    installed
}

/// Takes back what [`install_journal`] did, after a restore that failed.
///
/// # Errors
///
/// [`JournalCopyError::Io`]
pub fn uninstall_journal(journal: &Path) -> Result<(), JournalCopyError> {
    fs::remove_dir_all(journal).map_err(io_error("deleted", journal))
}

/// The part of a line that tells whether it is committed.
#[derive(Deserialize)]
struct LineEnd {
    reaches: Position,
}

/// Returns the length of the lines that are committed: those of earlier epochs, and those that reach no further than
/// the position. A segment's first line counts only with the line after it: a segment that is taken back vanishes.
fn committed_length(text: &[u8], has_first_line: bool, committed: Position) -> usize {
    let mut read = 0;
    let mut ready = 0;
    for (index, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        read += line.len();
        if has_first_line && index == 0 {
            continue;
        }
        let end: Option<LineEnd> = line.strip_suffix(b"\n").and_then(line::read);
        match end {
            Some(LineEnd { reaches })
                if reaches.epoch != committed.epoch || reaches.sequence <= committed.sequence =>
            {
                ready = read;
            }
            _ => break,
        }
    }
    ready
}

fn read_from(path: &Path, offset: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(text)
}

/// Returns the path without symbolic links, also if it does not exist yet.
fn resolved(path: &Path) -> PathBuf {
    let in_its_folder = || {
        let folder = fs::canonicalize(parent_of(path)).ok()?;
        Some(folder.join(path.file_name()?))
    };
    let resolved = fs::canonicalize(path).ok().or_else(in_its_folder);
    resolved.unwrap_or_else(|| path.to_owned())
}

fn metadata(folder: &Path) -> Result<fs::Metadata, JournalCopyError> {
    match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(JournalCopyError::Missing(folder.to_owned()))
        }
        found => found.map_err(io_error("opened", folder)),
    }
}

/// Returns the segments of a journal in a folder. Refuses a folder or a segment that other users can change.
fn private_segments(folder: &Path) -> Result<Vec<(u64, PathBuf)>, JournalCopyError> {
    SecretFolder::Database.check(folder, metadata(folder)?.mode())?;
    let found = segments(folder).map_err(io_error("read", folder))?;
    for (_, path) in &found {
        let metadata = fs::metadata(path).map_err(io_error("read", path))?;
        Secret::Database.check_file(path, metadata.mode())?;
    }
    Ok(found)
}

/// Reads as much of a segment as its first line may have.
fn first_line(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(FIRST_LINE).read_to_end(&mut text)?;
    Ok(text)
}

/// More bytes than the first line of a segment has.
const FIRST_LINE: u64 = 4096;

/// Reads a segment that a server may be writing to: waits a moment for the end of the last line.
fn read_lines(path: &Path) -> io::Result<Vec<u8>> {
    for _ in 0..10 {
        let text = fs::read(path)?;
        if text.ends_with(b"\n") {
            return Ok(text);
        }
        thread::sleep(Duration::from_millis(20));
    }
    fs::read(path)
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all_at(text, 0)?;
    file.sync_all()
}

/// Returns the folder that a path is in.
fn parent_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> JournalCopyError {
    move |source| JournalCopyError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests;
