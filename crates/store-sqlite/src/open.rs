//! Opening the database file: checks of the file, and the settings of a connection.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jeton_journal::{End, Flaw, JournalError};
use jeton_verifier::event::BEFORE_ALL;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};
use rusqlite_migration::{M, Migrations};

use crate::chain;
use crate::ended::{self, Source};
use crate::journal;
use crate::names;
use crate::statistics;
use crate::values::{Bytes, get, params};
use jeton_core::entropy::Entropy;
use jeton_core::file_mode::{Exposed, Secret, SecretFolder};

/// The application id that marks a file as ours: `jtn1`. The first migration writes it.
const APPLICATION_ID: i32 = 0x6a74_6e31;

/// How long a write waits for a write of another process.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The oldest safe SQLite: earlier versions can corrupt a WAL that two connections checkpoint at once.
const OLDEST_SQLITE: i32 = 3_051_003;

/// The version of the schema.
const VERSION: usize = 6;

fn migrations() -> [M<'static>; VERSION] {
    [
        M::up(include_str!("migrations/0001_begin.sql")),
        M::up(include_str!("migrations/0002_time.sql")),
        M::up(include_str!("migrations/0003_consent.sql")),
        M::up_with_hook(include_str!("migrations/0004_names.sql"), names::migrate),
        M::up(include_str!("migrations/0005_audit.sql")),
        M::up_with_hook(
            include_str!("migrations/0006_moving_statistics.sql"),
            statistics::migrate,
        ),
    ]
}

/// The reason why a database cannot be used. It was not changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder of the database is missing.
    #[error("the folder of the database {} does not exist: create it first", .0.display())]
    FolderMissing(PathBuf),
    /// The database cannot be opened for reading and writing.
    #[error("the database {} cannot be opened for reading and writing", path.display())]
    Inaccessible {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is not an SQLite database.
    #[error("{} is not an SQLite database", .0.display())]
    NotADatabase(PathBuf),
    /// The file is an SQLite database of another program.
    #[error("{} is the SQLite database of another program", .0.display())]
    Foreign(PathBuf),
    /// The file has no content: a first start was interrupted, or another program has created it.
    #[error("the database {} is empty", .0.display())]
    Empty(PathBuf),
    /// A later version of jeton has written the database.
    #[error("the database {} was written by a newer version of jeton (its schema is {found}, this version supports up to {known})", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its schema.
        found: i32,
        /// The last version that this program knows.
        known: usize,
    },
    /// The file is damaged.
    #[error("the database {} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The flaw that was found.
        what: String,
    },
    /// A power failure could lose committed data.
    #[error("cannot set {pragma} = {wanted} for the database {}: it stays {found}", path.display())]
    Unsafe {
        /// The file.
        path: PathBuf,
        /// The setting.
        pragma: &'static str,
        /// The required value.
        wanted: &'static str,
        /// The actual value.
        found: String,
    },
    /// The SQLite library is too old.
    #[error("SQLite {0} can corrupt a database: version 3.51.3 or later is needed")]
    OldSqlite(&'static str),
    /// The database is an older copy, and the journal lacks revocations since it was made.
    #[error(
        "the database {} is a backup or an older copy, and the journal {} does not have all revocations since: put \
         back the complete journal, or revoke every token with `jeton restore FILE --cut-off-missing`",
        path.display(), journal.display()
    )]
    Unreconciled {
        /// The file.
        path: PathBuf,
        /// The expected folder of its journal.
        journal: PathBuf,
    },
    /// The database has no journal, and revocations may be missing in it.
    #[error(
        "the database {} has been served, and its journal {} is missing: put it back with the database; if it is lost, \
         and this is the latest state of the database, begin another with `jeton journal begin`",
        path.display(), journal.display()
    )]
    JournalMissing {
        /// The file.
        path: PathBuf,
        /// The expected folder of its journal.
        journal: PathBuf,
    },
    /// The last line of the journal cannot be read.
    #[error(
        "the journal {} ends with a line that is {}, after the event {}{}: a crash leaves such a line, but revocations \
         may be missing after it. Compare with the newest event that a verifier knows; go on with \
         `--accept-torn-journal`, or revoke every token with `--cut-off-missing`",
        journal.display(), if end.flaw == Some(Flaw::Damaged) { "damaged" } else { "torn" }, end.sequence, at(end)
    )]
    JournalTorn {
        /// The folder.
        journal: PathBuf,
        /// Its end.
        end: End,
    },
    /// The journal ends before an event that is known.
    #[error(
        "the journal {} ends with the event {}{}, before the event {newest}: put back the complete journal, or revoke \
         every token with `--cut-off-missing`",
        journal.display(), end.sequence, at(end)
    )]
    JournalShort {
        /// The folder.
        journal: PathBuf,
        /// Its end.
        end: End,
        /// The newest known event.
        newest: u64,
    },
    /// The deployment has moved.
    #[error("the deployment in {} has moved to {to}, and nothing serves this database any more", path.display())]
    Moved {
        /// The file.
        path: PathBuf,
        /// The database to which it has moved.
        to: String,
    },
    /// The file has two names.
    #[error(
        "the database {} has several names (hard links), and the journal goes by the name: remove the others",
        .0.display()
    )]
    Linked(PathBuf),
    /// Other users could read the database, or replace one of its files.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The disk is full.
    #[error("the database {} cannot be opened: the disk is full", .0.display())]
    DiskFull(PathBuf),
    /// The journal of revocations cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// SQLite failed.
    #[error("the database {} cannot be prepared", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Returns when the journal ends, for a message.
fn at(end: &End) -> String {
    end.recorded_at.map_or_else(String::new, |at| format!(" of {at}"))
}

/// Returns the path without symbolic links: lock and journal stand beside the file itself, not beside a link to
/// it. Refuses a file with several names.
pub(super) fn resolved(path: &Path) -> Result<PathBuf, OpenError> {
    let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let resolved = match fs::canonicalize(path) {
        Ok(resolved) if is_link => resolved,
        // A missing file is created by the caller, or reported as missing.
        _ => path.to_owned(),
    };
    if fs::metadata(&resolved).is_ok_and(|metadata| metadata.is_file() && metadata.nlink() > 1) {
        return Err(OpenError::Linked(path.to_owned()));
    }
    Ok(resolved)
}

/// Refuses a database whose files, or those of its journal, other users can read or replace. None of them need exist.
pub fn check_private(database: &Path) -> Result<(), OpenError> {
    check_folders(database)?;
    for end in ["", "-wal", "-shm", "-journal"] {
        check_file(&beside(database, end))?;
    }
    let journal = journal::folder_of(database);
    let Some(metadata) = metadata(&journal)? else {
        return Ok(());
    };
    SecretFolder::Database.check(&journal, metadata.mode())?;
    let listed = |error| inaccessible(&journal, error);
    for segment in fs::read_dir(&journal).map_err(listed)? {
        check_file(&segment.map_err(listed)?.path())?;
    }
    Ok(())
}

/// Calls [`check_private`] before SQLite opens the file: closing it again would move its WAL into it, which others may
/// have written. [`inspect`] refuses a file of another program, and checks one that holds nothing yet but its header.
///
/// Must not be called in a process that has the database open: closing the file here drops the locks of SQLite.
fn check_before_opening(path: &Path) -> Result<(), OpenError> {
    // The application id is at the end of these bytes.
    let mut header = [0; 72];
    let read = fs::File::open(path).and_then(|mut file| file.read(&mut header));
    let is_ours = header.ends_with(&APPLICATION_ID.to_be_bytes());
    match read {
        Ok(length) if length == 0 || is_ours => check_private(path),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Refuses a folder in which other users could replace the file, or the link to it.
pub(super) fn check_folders(file: &Path) -> Result<(), OpenError> {
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    for file in [file, &target] {
        let folder = folder_of(file);
        if let Some(metadata) = metadata(folder)? {
            SecretFolder::Database.check(folder, metadata.mode())?;
        }
    }
    Ok(())
}

fn check_file(path: &Path) -> Result<(), OpenError> {
    match metadata(path)? {
        Some(metadata) => Ok(Secret::Database.check_file(path, metadata.mode())?),
        None => Ok(()),
    }
}

fn metadata(path: &Path) -> Result<Option<fs::Metadata>, OpenError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(inaccessible(path, error)),
    }
}

fn inaccessible(path: &Path, error: io::Error) -> OpenError {
    OpenError::Inaccessible {
        path: path.to_owned(),
        source: Box::new(error),
    }
}

/// Returns the folder of a file.
pub(super) fn folder_of(file: &Path) -> &Path {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Returns the path of a file that belongs to another one, beside it.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(end);
    PathBuf::from(beside)
}

/// Opens the writer's connection to one of our files, or creates the file; migrates its schema. The first connection of
/// a process to the file: the checks before it open and close the file, which drops the locks of SQLite.
pub(super) fn writer(path: &Path, entropy: &dyn Entropy) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(OpenError::OldSqlite(rusqlite::version()));
    }
    create_privately(path)?;
    check_before_opening(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(|error| failed(path, error))?;
    if inspect(path, &connection)? == Content::Ours {
        let flaw = chain::flaw(&connection, CHECKED).map_err(|error| failed(path, error))?;
        if let Some(what) = flaw {
            return Err(OpenError::Damaged {
                path: path.to_owned(),
                what,
            });
        }
    }
    configure(path, &connection)?;
    prepare(&mut connection, entropy).map_err(|source| OpenError::Failed {
        path: path.to_owned(),
        source,
    })?;
    let moved_to = connection.query_row("SELECT moved_to FROM meta", (), |row| get(row, 0));
    match moved_to.map_err(|error| failed(path, error))? {
        Some(to) => Err(OpenError::Moved {
            path: path.to_owned(),
            to,
        }),
        None => Ok(connection),
    }
}

/// Opens the checkpoint connection to a file that is prepared. It commits nothing.
pub(super) fn checkpointer(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // A checkpoint syncs by the setting of its own connection.
    connection.pragma_update(None, "synchronous", "full")?;
    Ok(connection)
}

/// Refuses a file that is not ours.
pub(super) fn expect_ours(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    match inspect(path, connection)? {
        Content::Ours => Ok(()),
        Content::Nothing => Err(OpenError::Empty(path.to_owned())),
    }
}

/// Migrates the schema to the latest version.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite_migration::Result<()> {
    // A table can be rebuilt only while foreign keys are not enforced; a migration that rebuilds one checks
    // them before its commit.
    connection.pragma_update(None, "foreign_keys", false)?;
    Migrations::from_slice(&migrations()).to_latest(connection)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}

/// Restricts a reader's connection to reading.
pub(super) fn configure_reader(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    prepare_once(connection)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "temp_store", "memory")
}

/// More than there are different statements.
const STATEMENTS: usize = 256;

/// Lets a connection prepare each statement once. By default SQLite prepares one again whenever a parameter changes that
/// could lead to another plan, such as that of a LIMIT.
fn prepare_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Creates the file readable only by its owner: it contains the hashes of passwords.
fn create_privately(path: &Path) -> Result<(), OpenError> {
    if !folder_of(path).is_dir() {
        return Err(OpenError::FolderMissing(path.to_owned()));
    }
    let inaccessible = |error| inaccessible(path, error);
    if !fs::exists(path).map_err(inaccessible)? {
        check_folders(path)?;
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map(drop)
            .or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            })
            .map_err(inaccessible)?;
    }
    // SQLite would open a write-protected file for reading only, and fail at the first write.
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map(drop)
        .map_err(inaccessible)
}

/// How many of the feed's last events are checked at each start, which must be fast.
const CHECKED: u64 = 10_000;

/// The content of a file that may be opened.
#[derive(PartialEq)]
enum Content {
    Nothing,
    Ours,
}

/// Refuses a file that is not ours, and then one that others can read, before anything is written.
fn inspect(path: &Path, connection: &Connection) -> Result<Content, OpenError> {
    let failed = |error| failed(path, error);
    let header = |pragma| connection.pragma_query_value(None, pragma, |row| get::<i32>(row, 0));
    let application_id = header("application_id").map_err(failed)?;
    let version = header("user_version").map_err(failed)?;
    let is_empty = connection
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", (), |row| {
            get::<bool>(row, 0)
        })
        .map_err(failed)?;
    if is_empty && application_id == 0 && version == 0 {
        check_private(path)?;
        return Ok(Content::Nothing);
    }
    if application_id != APPLICATION_ID {
        return Err(OpenError::Foreign(path.to_owned()));
    }
    if usize::try_from(version).is_ok_and(|version| version > VERSION) {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found: version,
            known: VERSION,
        });
    }
    check_private(path)?;
    Ok(Content::Ours)
}

/// Configures the writer's connection, and verifies the settings that durability depends on.
fn configure(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let failed = |error| failed(path, error);
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    prepare_once(connection).map_err(failed)?;
    // With NORMAL a power failure can undo the last commits: a revoked token would become valid again.
    for (pragma, set, wanted) in [
        ("journal_mode", "wal", "wal"),
        ("synchronous", "full", "2"),
        ("foreign_keys", "on", "1"),
        ("temp_store", "memory", "2"),
        // Done by `Checkpoints`, which detects a failing disk.
        ("wal_autocheckpoint", "0", "0"),
    ] {
        connection
            .pragma_update_and_check(None, pragma, set, |_| Ok(()))
            .or_else(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => Ok(()),
                error => Err(error),
            })
            .map_err(failed)?;
        let found = connection
            .pragma_query_value(None, pragma, |row| Ok(text(row.get_ref(0)?)))
            .map_err(failed)?;
        if found != wanted {
            return Err(OpenError::Unsafe {
                path: path.to_owned(),
                pragma,
                wanted: set,
                found,
            });
        }
    }
    connection
        .pragma_update_and_check(None, "journal_size_limit", WAL_KEPT, |_| Ok(()))
        .map_err(failed)
}

/// The size in bytes to which the WAL is truncated after a surge.
const WAL_KEPT: i64 = 64 * 1024 * 1024;

fn text(value: rusqlite::types::ValueRef<'_>) -> String {
    match value {
        rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        rusqlite::types::ValueRef::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// Migrates the schema, and gives a new database its identity.
fn prepare(
    connection: &mut Connection,
    entropy: &dyn Entropy,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    migrate(connection)?;
    let is_named = connection.query_row("SELECT EXISTS (SELECT 1 FROM meta)", (), |row| {
        get::<bool>(row, 0)
    })?;
    if !is_named {
        connection.execute(
            "INSERT INTO meta (one, epoch, origin, edits, generation, sequence, hash) VALUES (1, ?1, ?1, 1, 1, 0, ?2)
             ON CONFLICT DO NOTHING",
            params![Bytes(entropy.uuid_v4()), BEFORE_ALL],
        )?;
    }
    let has_sum = connection.query_row("SELECT ended IS NOT NULL FROM meta", (), |row| {
        get::<bool>(row, 0)
    })?;
    if !has_sum {
        let sum = ended::scan(connection, Source::Table, |_, _| {})?;
        connection.execute("UPDATE meta SET ended = ?1 WHERE ended IS NULL", params![sum.0])?;
    }
    Ok(())
}

/// Returns whether an error says that the disk is full. The shared memory beside the file has its own code.
fn is_full(error: &rusqlite::Error) -> bool {
    let extended = error.sqlite_error().map(|error| error.extended_code);
    error.sqlite_error_code() == Some(ErrorCode::DiskFull) || extended == Some(ffi::SQLITE_IOERR_SHMSIZE)
}

fn failed(path: &Path, error: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        _ if is_full(&error) => OpenError::DiskFull(path),
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase(path),
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged {
            path,
            what: error.to_string(),
        },
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            OpenError::Inaccessible {
                path,
                source: Box::new(error),
            }
        }
        _ => OpenError::Failed {
            path,
            source: Box::new(error),
        },
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::chance::SystemEntropy;

    #[test]
    fn a_commit_is_on_disk_before_it_is_answered() {
        let folder = tempfile::tempdir().unwrap();
        let connection = writer(&folder.path().join("jeton.db"), &SystemEntropy).unwrap();
        let read = |pragma| connection.pragma_query_value(None, pragma, |row| Ok(text(row.get_ref(0)?)));
        assert_eq!(read("journal_mode").unwrap(), "wal");
        assert_eq!(read("synchronous").unwrap(), "2", "FULL");
        assert_eq!(read("foreign_keys").unwrap(), "1");
        assert_eq!(read("busy_timeout").unwrap(), "5000");
    }

    #[test]
    fn a_reader_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jeton.db");
        drop(writer(&path, &SystemEntropy).unwrap());
        let reader = Connection::open(&path).unwrap();
        configure_reader(&reader).unwrap();
        reader.execute_batch("UPDATE meta SET edits = 2").unwrap_err();
    }

    #[test]
    fn settings_that_do_not_hold_are_noticed() {
        // A database in memory has no WAL: the pragma answers, and changes nothing.
        let connection = Connection::open_in_memory().unwrap();
        let refused = configure(Path::new("memory"), &connection);
        assert!(matches!(
            refused,
            Err(OpenError::Unsafe {
                pragma: "journal_mode",
                ..
            })
        ));
    }
}
