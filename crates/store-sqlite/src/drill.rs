//! A restore drill: a folder for a restore that is thrown away, and the comparison of the result with the journal.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jeton_journal::{Entry, JournalCopyError, install_journal};
use rusqlite::{Connection, OptionalExtension};
use uuid::Uuid;

use crate::backup::{BackupError, failed, source};
use crate::cut_offs;
use crate::failure::Failure;
use crate::journal;
use crate::lock::{LockError, ServeLock};
use crate::open::{self, OpenError, beside};
use crate::retention::oldest_record;
use crate::values::{Bytes, get, params};
use jeton_core::clock::Timestamp;
use jeton_core::token::CutOff;
use jeton_store::rules::retention::is_idle;

/// The reason why no drill can take place.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// Another drill of this database is running.
    #[error("another drill is running in {}", .0.display())]
    Running(PathBuf),
    /// The folder cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The database's path cannot be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The folder cannot be prepared.
    #[error("{} cannot be written", path.display())]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// A folder beside a database, in which a backup is restored for a drill. It is deleted when this is dropped; what
/// a killed drill has left is deleted by the next one.
#[derive(Debug)]
pub struct DrillFolder {
    path: PathBuf,
    /// The journal of the database that the drill is for.
    journal: PathBuf,
    /// How many segments of it were copied; the restore adds another.
    segments: usize,
    _lock: ServeLock,
}

impl DrillFolder {
    /// Creates the folder beside a database, which need not exist.
    ///
    /// # Errors
    ///
    /// [`DrillError`]
    pub fn create(database: &Path) -> Result<Self, DrillError> {
        let database = &open::resolved(database)?;
        let path = beside(database, ".drill");
        let unwritable = |source| DrillError::Unwritable {
            path: path.clone(),
            source,
        };
        open::check_folders(&path)?;
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(unwritable(error)),
            _ => {}
        }
        open::check_folders(&path.join(DATABASE))?;
        let lock = ServeLock::acquire(&path.join(DATABASE)).map_err(|error| match error {
            LockError::Taken(_) => DrillError::Running(path.clone()),
            error => DrillError::Lock(error),
        })?;
        let drill = Self {
            path,
            journal: journal::folder_of(database),
            segments: 0,
            _lock: lock,
        };
        drill.clear().map_err(|source| DrillError::Unwritable {
            path: drill.path.clone(),
            source,
        })?;
        Ok(drill)
    }

    /// Returns the path of the database to restore.
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Copies the journal into the folder: that in `from`, or that of the database. A server may append to it
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// [`JournalCopyError`]
    pub fn install_journal(&mut self, from: Option<&Path>) -> Result<(), JournalCopyError> {
        self.segments = install_journal(
            from.unwrap_or(&self.journal),
            &journal::folder_of(&self.database()),
        )?;
        Ok(())
    }

    /// Checks that everything in the journal is in force in the restored database.
    ///
    /// # Errors
    ///
    /// [`BackupError`] if the database or the journal cannot be read.
    pub fn examine(&self, now: Timestamp) -> Result<Examined, BackupError> {
        let database = self.database();
        let connection = source(&database)?;
        let folder = journal::folder_of(&database);
        let entries =
            jeton_journal::entries(&folder, self.segments).map_err(|error| failed(&folder, error))?;
        Examination::new(&connection, now)
            .of(&entries)
            .map_err(|failure| failed(&database, failure))
    }

    /// Removes everything in the folder but the lock.
    fn clear(&self) -> io::Result<()> {
        let lock = beside(&self.database(), ".lock");
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            match entry.path() {
                path if path == lock => {}
                path if entry.file_type()?.is_dir() => fs::remove_dir_all(path)?,
                path => fs::remove_file(path)?,
            }
        }
        Ok(())
    }
}

impl Drop for DrillFolder {
    fn drop(&mut self) {
        // What cannot be removed is reported by the next drill.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// The database in the folder of a drill.
const DATABASE: &str = "jeton.db";

/// A database compared with its journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Examined {
    /// The number of records of tokens and sessions.
    pub tokens: u64,
    /// The number of revocations, cut-offs and withdrawn keys in the journal.
    pub revocations: u64,
    /// Those that are not in force, in words.
    pub not_in_force: Vec<String>,
}

/// Returns the instant of a backup; `None` for a database that is not marked as one.
///
/// # Errors
///
/// [`BackupError`] if the file is none of ours, or cannot be read.
pub fn backed_up_at(backup: &Path) -> Result<Option<Timestamp>, BackupError> {
    let connection = source(backup)?;
    connection
        .query_row("SELECT backed_up_at FROM meta", (), |row| get(row, 0))
        .map_err(|error| failed(backup, error))
}

/// Returns the issuer of a database, if its first start has set it. The database may be served by another process.
///
/// # Errors
///
/// If it cannot be read.
pub fn issuer(database: &Path) -> Result<Option<String>, BackupError> {
    let connection = source(database)?;
    connection
        .query_row("SELECT issuer FROM meta", (), |row| row.get(0))
        .map_err(|error| failed(database, error))
}

/// The cut-offs that retention can have deleted: those that cover no record and whose events are pruned. Read from the
/// database, since the configured retention may have been shorter when it deleted them.
struct Deletable {
    /// Whether events are pruned.
    is_pruned: bool,
    /// When the oldest event that is not pruned was recorded.
    oldest_event: Option<Timestamp>,
    oldest_record: Option<Timestamp>,
}

impl Deletable {
    /// Must be read after the cut-offs: what is deleted in between is included.
    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let (is_pruned, oldest_event) = connection.query_row(
            "SELECT pruned_through > 0, (SELECT recorded_at FROM revocations
             WHERE sequence > (SELECT pruned_through FROM meta) ORDER BY sequence LIMIT 1) FROM meta",
            (),
            |row| Ok((get(row, 0)?, get(row, 1)?)),
        )?;
        Ok(Self {
            is_pruned,
            oldest_event,
            oldest_record: oldest_record(connection)?,
        })
    }

    fn includes(&self, cut_off: &CutOff, recorded_at: Timestamp) -> bool {
        self.is_pruned
            && self.oldest_event.is_none_or(|oldest| recorded_at <= oldest)
            && is_idle(cut_off, self.oldest_record)
    }
}

/// The comparison of a database with the entries of a journal.
pub(super) struct Examination<'a> {
    connection: &'a Connection,
    now: Timestamp,
    /// The cut-offs of the journal, each with the instant at which it was recorded.
    cut_offs: Vec<(CutOff, Timestamp)>,
    examined: Examined,
}

impl<'a> Examination<'a> {
    pub(super) fn new(connection: &'a Connection, now: Timestamp) -> Self {
        Self {
            connection,
            now,
            cut_offs: Vec::new(),
            examined: Examined::default(),
        }
    }

    /// Returns what of the entries is not in force.
    pub(super) fn of(mut self, entries: &[Entry]) -> Result<Examined, Failure> {
        for entry in entries {
            self.entry(entry)?;
        }
        let known: Vec<CutOff> = cut_offs::all(self.connection)?
            .into_iter()
            .map(|(_, cut_off)| cut_off)
            .collect();
        let deletable = Deletable::read(self.connection)?;
        for (cut_off, recorded_at) in &self.cut_offs {
            if !known.contains(cut_off) && !deletable.includes(cut_off, *recorded_at) {
                let reach = &cut_off.reach;
                self.examined
                    .not_in_force
                    .push(format!("the cut-off of {reach}, ordered at {recorded_at}"));
            }
        }
        self.examined.tokens = self
            .connection
            .query_row("SELECT count(*) FROM tokens", (), |row| get(row, 0))?;
        Ok(self.examined)
    }

    fn entry(&mut self, entry: &Entry) -> Result<(), Failure> {
        let missing = match entry {
            Entry::Token {
                jti,
                expires_at,
                order,
                ..
            } => {
                let is_in_force = self.is_revoked(*jti, *expires_at, order.effective_at)?;
                (!is_in_force).then(|| {
                    format!(
                        "the revocation of the token {jti}, ordered at {}",
                        order.recorded_at
                    )
                })
            }
            Entry::CutOff { order, .. } => {
                if let Some(cut_off) = entry.cut_off()? {
                    self.cut_offs.push((cut_off, order.recorded_at));
                }
                None
            }
            Entry::Withdrawn { kid, .. } => {
                let is_withdrawn = self
                    .connection
                    .prepare_cached("SELECT state = 'withdrawn' FROM keys WHERE kid = ?1")?
                    .query_row(params![kid], |row| get(row, 0))
                    .optional()?;
                (is_withdrawn != Some(true)).then(|| format!("the withdrawal of the key {kid}"))
            }
            Entry::ClockAccepted { recorded_at } => {
                // Those of a later instant were lowered, and are others now.
                let through = recorded_at.seconds();
                self.cut_offs
                    .retain(|(cut_off, at)| cut_off.issued_through <= through && at <= recorded_at);
                return Ok(());
            }
            Entry::Started { .. } | Entry::Indexes { .. } | Entry::Stopped { .. } | Entry::Moved { .. } => {
                return Ok(());
            }
        };
        self.examined.revocations += 1;
        self.examined.not_in_force.extend(missing);
        Ok(())
    }

    /// Returns whether a token is revoked from an instant on, or has expired.
    fn is_revoked(
        &self,
        jti: Uuid,
        expires_at: Option<Timestamp>,
        effective_at: Timestamp,
    ) -> Result<bool, Failure> {
        let recorded: Option<Option<Timestamp>> = self
            .connection
            .prepare_cached("SELECT effective_at FROM tokens WHERE jti = ?1")?
            .query_row(params![Bytes(jti)], |row| get(row, 0))
            .optional()?;
        let lost = || {
            self.connection
                .prepare_cached("SELECT effective_at FROM lost_tokens WHERE jti = ?1")?
                .query_row(params![Bytes(jti)], |row| get::<Timestamp>(row, 0))
                .optional()
        };
        let is_gone = expires_at.is_some_and(|expires_at| expires_at <= self.now);
        Ok(match recorded {
            Some(revoked) => revoked.is_some_and(|at| at <= effective_at),
            None => lost()?.map_or(is_gone, |at| at <= effective_at),
        })
    }
}
