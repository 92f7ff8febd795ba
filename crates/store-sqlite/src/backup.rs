//! Backup and restore: a copy of the database at one instant, made while other processes write to it.

use crate::values::get;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::chain;
use crate::ended::{self, Source};
use crate::open::{self, OpenError, beside};
use crate::reconcile::{self, Missing, Restoring};
use jeton_core::clock::Timestamp;
use jeton_core::entropy::Entropy;
use jeton_journal::Replayed;

/// The ends of the names of a database's files.
const ENDS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// How many pages are copied between two reports of progress: 4 MiB.
const STEP: i32 = 1024;

/// After how many steps the copy is synced. One sync of a large file at the end would delay the syncs of commits.
const SYNCED: u64 = 4;

/// The progress of a copy, in pages of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The pages copied.
    pub done: u64,
    /// The pages in total.
    pub of: u64,
}

/// The reason why no copy was made. Existing files are unchanged.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file to write exists already.
    #[error("{} already exists and is not overwritten: move it away, or give another name", .0.display())]
    Exists(PathBuf),
    /// Another backup writes the same file, or one was interrupted.
    #[error(
        "{} exists: another backup is being written, or one was interrupted; remove the file if no backup runs",
        .0.display()
    )]
    Unfinished(PathBuf),
    /// The caller stopped the copy.
    #[error("the copy was stopped")]
    Stopped,
    /// The database to copy, or the copy, cannot be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The copy is damaged.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The flaw that was found.
        what: String,
    },
    /// A file could not be created, written or moved into place.
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// SQLite could not copy.
    #[error("{} cannot be copied", path.display())]
    Failed {
        /// The file that was read.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl BackupError {
    /// Returns whether the file to read is damaged, so that another copy must take its place.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Database(OpenError::Damaged { .. } | OpenError::NotADatabase(_)) => {
                true
            }
            Self::Failed { source, .. } => source
                .downcast_ref::<rusqlite::Error>()
                .and_then(rusqlite::Error::sqlite_error_code)
                .is_some_and(|code| matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)),
            Self::Exists(_)
            | Self::Unfinished(_)
            | Self::Stopped
            | Self::Database(_)
            | Self::Unwritable { .. } => false,
        }
    }
}

/// The end of the name of a backup that is being written.
const UNFINISHED: &str = ".unfinished";

/// Copies a database into a new file that only its owner can read, and marks it as a backup. Other processes
/// may read and write the database meanwhile: the copy shows the instant at which it was begun.
///
/// The file has its name once it is complete and on disk; until then its name ends with `.unfinished`.
/// `report` is called about every 4 MiB and can stop the copy.
pub fn backup(
    database: &Path,
    target: &Path,
    now: Timestamp,
    mut report: impl FnMut(Progress) -> ControlFlow<()>,
) -> Result<(), BackupError> {
    let source = source(database)?;
    let is_free = || match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(unwritable(target, source)),
        Ok(_) => Err(BackupError::Exists(target.to_owned())),
    };
    is_free()?;
    let unfinished = &beside(target, UNFINISHED);
    create(unfinished).map_err(|error| match error {
        BackupError::Exists(path) => BackupError::Unfinished(path),
        error => error,
    })?;
    let copied = (|| {
        let mut copy = copy(&source, database, unfinished, &mut report)?;
        // A server that stops closes its database meanwhile.
        drop(source);
        mark(&mut copy, now).map_err(|error| failed(database, error))?;
        drop(copy);
        sync(unfinished)?;
        is_free()?;
        fs::rename(unfinished, target).map_err(|source| unwritable(target, source))?;
        sync_folder(target).map_err(|source| unwritable(target, source))
    })();
    if copied.is_err() {
        remove(unfinished);
    }
    copied
}

/// Returns whether a file is what a killed [`backup`] with this target leaves.
pub fn is_remains(name: &str, target: &str) -> bool {
    let end = name
        .strip_prefix(target)
        .and_then(|rest| rest.strip_prefix(UNFINISHED));
    end.is_some_and(|end| ENDS.contains(&end))
}

/// Restores a missing database from a copy. Revocations since the copy was made are repeated from the journal;
/// see [`Missing`] for a journal that is incomplete. `newest` is the newest event that is known from elsewhere: a
/// journal that ends before it is refused.
///
/// The caller must hold the [`ServeLock`](crate::ServeLock) of the database.
pub fn restore(
    copy_of_it: &Path,
    database: &Path,
    missing: Missing,
    newest: Option<u64>,
    entropy: &dyn Entropy,
    mut report: impl FnMut(Progress),
) -> Result<Replayed, BackupError> {
    let database = &open::resolved(database)?;
    for path in [beside(database, ""), beside(database, "-wal")] {
        if path.exists() {
            return Err(BackupError::Exists(path));
        }
    }
    // The journal is there already.
    open::check_private(database)?;
    let restoring = Restoring { missing, newest };
    let source = source(copy_of_it)?;
    // An earlier attempt may have left its file.
    let target = beside(database, ".restoring");
    remove(&target);
    create(&target)?;
    let restored = (|| {
        let mut report = |progress| {
            report(progress);
            ControlFlow::Continue(())
        };
        drop(copy(&source, copy_of_it, &target, &mut report)?);
        let connection = open::writer(&target, entropy)?;
        check(&connection, copy_of_it)?;
        let (_, _, replayed) =
            reconcile::reconcile(copy_of_it, database, &connection, entropy, Some(restoring))?;
        // Closing moves the WAL's content into the file.
        drop(connection);
        sync(&target)?;
        fs::rename(&target, database).map_err(|source| unwritable(database, source))?;
        sync(database)?;
        Ok(replayed)
    })();
    if restored.is_err() {
        remove(&target);
    }
    restored
}

/// Opens a database for reading, and only by SQLite: it may be the one that this process serves. If a process closes a
/// file, the system drops all of the locks that SQLite has on it for that process, and other processes would take the
/// WAL away.
pub(super) fn source(path: &Path) -> Result<Connection, BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let inaccessible = |source: rusqlite::Error| OpenError::Inaccessible {
        path: path.to_owned(),
        source: Box::new(source),
    };
    let connection = Connection::open_with_flags(path, flags).map_err(inaccessible)?;
    connection
        .busy_timeout(open::BUSY_TIMEOUT)
        .map_err(|error| failed(path, error))?;
    // A WAL that others may have written must not be moved into the file, whatever the checks find.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|error| failed(path, error))?;
    open::expect_ours(path, &connection)?;
    Ok(connection)
}

fn copy(
    source: &Connection,
    path: &Path,
    target: &Path,
    report: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Connection, BackupError> {
    let failed = |error: rusqlite::Error| failed(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(target, flags).map_err(failed)?;
    // Held during the whole copy: otherwise each write of another process would restart it.
    let instant = source.unchecked_transaction().map_err(failed)?;
    instant
        .query_row("SELECT one FROM meta", (), |_| Ok(()))
        .map_err(failed)?;
    let written = File::open(target).map_err(|source| unwritable(target, source))?;
    let backup = Backup::new(&instant, &mut copy).map_err(failed)?;
    for steps in 1_u64.. {
        let step = backup.step(STEP).map_err(failed)?;
        if steps.is_multiple_of(SYNCED) {
            written.sync_data().map_err(|source| unwritable(target, source))?;
        }
        let pages = backup.progress();
        let of = u64::from(pages.pagecount.unsigned_abs());
        let progress = Progress {
            done: of.saturating_sub(u64::from(pages.remaining.unsigned_abs())),
            of,
        };
        if report(progress).is_break() {
            return Err(BackupError::Stopped);
        }
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            // Unreachable: no other process has the copy open, and a read waits for no lock.
            _ => return Err(failed(rusqlite::Error::InvalidQuery)),
        }
    }
    drop(backup);
    drop(instant);
    Ok(copy)
}

/// Marks a copy, and makes it a single file: moved without its WAL, a copy would lose its last changes.
fn mark(copy: &mut Connection, now: Timestamp) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    copy.pragma_update_and_check(None, "journal_mode", "delete", |_| Ok(()))?;
    open::migrate(copy)?;
    copy.execute("UPDATE meta SET backed_up_at = ?1", [now.millis()])?;
    Ok(())
}

/// Checks the whole copy, where a start checks only the end of the feed: a disk that has failed once may have
/// damaged it anywhere.
fn check(connection: &Connection, path: &Path) -> Result<(), BackupError> {
    let failed = |error: rusqlite::Error| failed(path, error);
    let found: String = connection
        .query_row("PRAGMA quick_check(1)", (), |row| get(row, 0))
        .map_err(failed)?;
    let what = match found.as_str() {
        "ok" => match chain::flaw(connection, u64::MAX).map_err(failed)? {
            None => sum_flaw(connection).map_err(failed)?,
            flaw => flaw,
        },
        _ => Some(found),
    };
    match what {
        Some(what) => Err(BackupError::Damaged {
            path: path.to_owned(),
            what,
        }),
        None => Ok(()),
    }
}

/// Compares the revoked tokens, in their records and in the index of them, with the sum over them.
pub(super) fn sum_flaw(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let kept = ended::kept(connection)?;
    for (source, what) in [
        (
            Source::Table,
            "the records of revoked tokens are not those that were revoked",
        ),
        (
            Source::Index,
            "the index of revoked tokens does not agree with their records",
        ),
    ] {
        if ended::scan(connection, source, |_, _| {})? != kept {
            return Ok(Some(what.to_owned()));
        }
    }
    Ok(None)
}

pub(super) fn create(path: &Path) -> Result<(), BackupError> {
    open::check_folders(path)?;
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    match created {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(BackupError::Exists(path.to_owned()))
        }
        Err(source) => Err(unwritable(path, source)),
    }
}

/// Syncs the folder of a database: closing the database removes its WAL, and ignores a failing sync of that.
pub fn sync_folder(database: &Path) -> io::Result<()> {
    File::open(open::folder_of(database))?.sync_all()
}

/// Syncs a file and its name to disk.
pub(super) fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .and_then(|()| sync_folder(path))
        .map_err(|source| unwritable(path, source))
}

/// Removes one of our files with the files that SQLite has put beside it. A file that cannot be removed
/// prevents only the next attempt, which reports it.
pub(super) fn remove(path: &Path) {
    for end in ENDS {
        let _ = fs::remove_file(beside(path, end));
    }
}

fn unwritable(path: &Path, source: io::Error) -> BackupError {
    BackupError::Unwritable {
        path: path.to_owned(),
        source,
    }
}

pub(super) fn failed(
    path: &Path,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> BackupError {
    BackupError::Failed {
        path: path.to_owned(),
        source: source.into(),
    }
}
