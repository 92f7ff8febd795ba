//! Backups by schedule: the folder of backups, when the next is due, and which are deleted. Metrics of backups and of
//! the journal's copy.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use uuid::Uuid;

use crate::backend::{self, BackupError, JournalCopy, JournalCopyError, Progress};
use crate::config;
use jeton_core::clock::{Clock, Timestamp};
use jeton_core::file_mode::{Exposed, SecretFolder};

/// The beginning and the end of a backup's name. Between them is its instant, so that names sort by time.
const PREFIX: &str = "jeton-";
const SUFFIX: &str = ".db";

/// The file in the folder with the instant of the last restore drill that succeeded.
const LAST_DRILL: &str = "last-drill";

/// The beginning of the name of an empty file that says to which database the folder belongs: its origin follows.
const OWNER: &str = "database-";

/// The reason why no backup was made, or an old one not deleted.
#[derive(Debug, thiserror::Error)]
pub enum BackupsError {
    /// Other users could replace a backup.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The path is a file.
    #[error("the folder of backups {} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The folder is missing. It is not created: if its disk is not mounted, the backups would be on the disk of the
    /// database.
    #[error("the folder of backups {} does not exist: mount its disk, or create it with the mode 0700", .0.display())]
    Missing(PathBuf),
    /// The folder has the backups of another database, which would be deleted.
    #[error(
        "{} has the backups of another database: choose another folder, or, if that database is not used any more, \
         move its backups away and delete the file {other}",
        folder.display()
    )]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// The file that says so.
        other: String,
    },
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
    /// The database could not be copied.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// The metrics of scheduled backups.
#[derive(Debug, Clone, Default)]
pub struct BackupMetrics {
    interval: Gauge,
    last_success: Gauge,
    duration: Gauge<f64, AtomicU64>,
    failures: Counter,
    kept: Gauge,
    last_drill: Gauge,
}

impl BackupMetrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_backup_interval_seconds",
            "The configured time between two backups",
            self.interval.clone(),
        );
        registry.register(
            "jeton_backup_last_success_seconds",
            "When the newest backup in the folder was begun, in seconds since the Unix epoch; 0 if there is none",
            self.last_success.clone(),
        );
        registry.register(
            "jeton_backup_duration_seconds",
            "How long the last backup of this server took",
            self.duration.clone(),
        );
        registry.register(
            "jeton_backup_failures",
            "Attempts to make a backup, or to delete an old one, that failed",
            self.failures.clone(),
        );
        registry.register(
            "jeton_backups",
            "The number of scheduled backups in the folder",
            self.kept.clone(),
        );
        registry.register(
            "jeton_backup_last_drill_seconds",
            "When a restore drill of the newest backup last succeeded, in seconds since the Unix epoch; 0 if never",
            self.last_drill.clone(),
        );
    }
}

/// The metrics of the journal's copy.
#[derive(Debug, Clone, Default)]
pub struct JournalCopyMetrics {
    lag: Gauge,
    failures: Counter,
    last_success: Gauge<f64, AtomicU64>,
}

impl JournalCopyMetrics {
    /// Adds the metrics to a registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_journal_copy_lag_bytes",
            "How much of the journal its copy lacked after the last attempt",
            self.lag.clone(),
        );
        registry.register(
            "jeton_journal_copy_failures",
            "Attempts to copy the journal that failed",
            self.failures.clone(),
        );
        registry.register(
            "jeton_journal_copy_last_success_seconds",
            "When the copy last had all of the journal, in seconds since the Unix epoch; 0 if never",
            self.last_success.clone(),
        );
    }

    /// Records the outcome of an attempt.
    pub fn record(&self, copied: &Result<(), JournalCopyError>, copy: &JournalCopy, now: Timestamp) {
        match copied {
            Ok(()) => {
                self.lag.set(0);
                self.last_success.set(now.millis() as f64 / 1000.0);
            }
            Err(_) => {
                self.failures.inc();
                self.lag.set(i64::try_from(copy.lag()).unwrap_or(i64::MAX));
            }
        }
    }
}

/// A folder of backups, and the schedule by which they are made.
#[derive(Debug)]
pub struct Backups {
    database: PathBuf,
    /// Identifies the database, also after a restore.
    origin: Uuid,
    settings: config::Backups,
    metrics: BackupMetrics,
}

impl Backups {
    /// Returns the schedule of a database.
    pub fn new(database: PathBuf, origin: Uuid, settings: config::Backups) -> Self {
        let metrics = BackupMetrics::default();
        let seconds = settings.every.seconds();
        metrics.interval.set(i64::try_from(seconds).unwrap_or(i64::MAX));
        Self {
            database,
            origin,
            settings,
            metrics,
        }
    }

    /// Refuses a folder that other users can change, and a file in its place. A folder that is missing or not accessible,
    /// such as on a disk that is not mounted, does not keep a server from starting.
    ///
    /// # Errors
    ///
    /// [`BackupsError::Exposed`] and [`BackupsError::NotAFolder`]
    pub fn check(settings: &config::Backups) -> Result<(), BackupsError> {
        match check_folder(&settings.folder) {
            Err(BackupsError::Missing(_) | BackupsError::Io { .. }) => Ok(()),
            checked => checked,
        }
    }

    /// Returns the metrics, which are current while [`Self::tend`] is called from time to time.
    pub fn metrics(&self) -> &BackupMetrics {
        &self.metrics
    }

    /// Makes a backup if none in the folder is younger than `every`, and deletes the oldest beyond `keep`. `report` can
    /// stop the copy.
    ///
    /// # Errors
    ///
    /// [`BackupsError`], which is counted. The next call tries again.
    pub fn tend(
        &self,
        clock: &dyn Clock,
        report: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), BackupsError> {
        let tended = self.attempt(clock, report);
        match &tended {
            Ok(()) | Err(BackupsError::Backup(BackupError::Stopped)) => {}
            Err(_) => {
                self.metrics.failures.inc();
            }
        }
        tended
    }

    fn attempt(
        &self,
        clock: &dyn Clock,
        report: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), BackupsError> {
        let (folder, every) = (&self.settings.folder, self.settings.every.seconds());
        check_folder(folder)?;
        claim(folder, self.origin)?;
        let now = clock.now();
        let mut made = self.look(now)?;
        if !is_current(&made, now, every) {
            remove_remains(folder)?;
            let begun = clock.uptime();
            backend::backup(&self.database, &folder.join(name(now)), now, report)?;
            self.metrics
                .duration
                .set(seconds(clock.uptime().saturating_sub(begun)));
            made = self.look(now)?;
        }
        for old in surplus(made, now, every, self.settings.keep) {
            let path = folder.join(name(old));
            fs::remove_file(&path).map_err(io_error("deleted", &path))?;
        }
        self.look(now).map(drop)
    }

    /// Returns the instants of the backups in the folder.
    fn look(&self, now: Timestamp) -> Result<Vec<Timestamp>, BackupsError> {
        let made = list(&self.settings.folder)?;
        let newest = newest_of(&made, now, self.settings.every.seconds());
        self.metrics
            .last_success
            .set(newest.map_or(0, Timestamp::seconds));
        self.metrics
            .kept
            .set(i64::try_from(made.len()).unwrap_or(i64::MAX));
        let last_drill = last_drill(&self.settings.folder);
        self.metrics
            .last_drill
            .set(last_drill.map_or(0, Timestamp::seconds));
        Ok(made)
    }
}

/// Refuses a folder that is missing or that other users can change.
fn check_folder(folder: &Path) -> Result<(), BackupsError> {
    let metadata = match fs::metadata(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(BackupsError::Missing(folder.to_owned()));
        }
        found => found.map_err(io_error("opened", folder))?,
    };
    if !metadata.is_dir() {
        return Err(BackupsError::NotAFolder(folder.to_owned()));
    }
    Ok(SecretFolder::Database.check(folder, metadata.mode())?)
}

/// Marks a folder as that of a database's backups, and refuses that of another database.
fn claim(folder: &Path, origin: Uuid) -> Result<(), BackupsError> {
    let own = format!("{OWNER}{origin}");
    let owners = || -> Result<(bool, Option<String>), BackupsError> {
        let mut owners = files(folder)?;
        owners.retain(|file| {
            file.strip_prefix(OWNER)
                .is_some_and(|id| Uuid::try_parse(id).is_ok())
        });
        let is_owner = owners.contains(&own);
        Ok((is_owner, owners.into_iter().find(|owner| *owner != own)))
    };
    let foreign = |other| BackupsError::Foreign {
        folder: folder.to_owned(),
        other,
    };
    match owners()? {
        (_, Some(other)) => return Err(foreign(other)),
        (true, None) => return Ok(()),
        (false, None) => {}
    }
    let path = folder.join(&own);
    File::create(&path).map_err(io_error("created", &path))?;
    // Two databases may claim it at once.
    if let (_, Some(other)) = owners()? {
        fs::remove_file(&path).map_err(io_error("deleted", &path))?;
        return Err(foreign(other));
    }
    Ok(())
}

/// Returns the newest backup in a folder.
///
/// # Errors
///
/// [`BackupsError::Io`] if the folder cannot be read.
pub fn newest(settings: &config::Backups, now: Timestamp) -> Result<Option<PathBuf>, BackupsError> {
    let made = list(&settings.folder)?;
    let newest = newest_of(&made, now, settings.every.seconds());
    Ok(newest.map(|at| settings.folder.join(name(at))))
}

/// Returns the newest of the instants, without those from a time when the clock was ahead.
fn newest_of(made: &[Timestamp], now: Timestamp, every: u64) -> Option<Timestamp> {
    made.iter().copied().filter(|at| !is_ahead(*at, now, every)).max()
}

/// Records in the folder that a restore drill of its newest backup has succeeded, for the metrics of the server.
///
/// # Errors
///
/// [`BackupsError::Io`] if the file cannot be written.
pub fn note_drill(folder: &Path, now: Timestamp) -> Result<(), BackupsError> {
    let path = folder.join(LAST_DRILL);
    fs::write(&path, now.to_string()).map_err(io_error("written", &path))
}

/// Returns when the last drill succeeded, if that is known.
fn last_drill(folder: &Path) -> Option<Timestamp> {
    let mut text = String::new();
    let file = File::open(folder.join(LAST_DRILL)).ok()?;
    file.take(64).read_to_string(&mut text).ok()?;
    text.parse().ok()
}

/// Returns the instants of the backups in a folder. Files with other names are ignored.
fn list(folder: &Path) -> Result<Vec<Timestamp>, BackupsError> {
    let files = files(folder)?;
    Ok(files.iter().filter_map(|name| instant(name)).collect())
}

/// Deletes what killed backups have left.
fn remove_remains(folder: &Path) -> Result<(), BackupsError> {
    for file in files(folder)? {
        let target = file.find(SUFFIX).and_then(|at| file.get(..at + SUFFIX.len()));
        if target.is_some_and(|target| instant(target).is_some() && backend::is_remains(&file, target)) {
            let path = folder.join(&file);
            fs::remove_file(&path).map_err(io_error("deleted", &path))?;
        }
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<String>, BackupsError> {
    let unreadable = io_error("listed", folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(&unreadable)? {
        files.extend(entry.map_err(&unreadable)?.file_name().into_string());
    }
    Ok(files)
}

/// Returns the name of a backup, such as `jeton-20261201T220000Z.db`.
fn name(at: Timestamp) -> String {
    let time = at.to_string();
    let whole = time.split_once('.').map_or(&*time, |(whole, _)| whole);
    let digits: String = whole.chars().filter(|sign| !"-:".contains(*sign)).collect();
    format!("{PREFIX}{digits}Z{SUFFIX}")
}

/// Returns the instant in a name; `None` if the file is not a scheduled backup.
fn instant(file: &str) -> Option<Timestamp> {
    let (date, time) = file
        .strip_prefix(PREFIX)?
        .strip_suffix(SUFFIX)?
        .strip_suffix('Z')?
        .split_once('T')?;
    let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..)?);
    let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..)?);
    let at = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z")
        .parse()
        .ok()?;
    (name(at) == file).then_some(at)
}

/// Returns whether a backup is from a time when the clock was ahead. Up to `every`, it counts as recent: the clock
/// may have been set back a little.
fn is_ahead(made: Timestamp, now: Timestamp, every: u64) -> bool {
    made.seconds().saturating_sub(now.seconds()) > signed(every)
}

/// Returns whether a backup is less than `every` away from now. Whatever the clock does, the next backup is due
/// after twice that at most.
fn is_current(made: &[Timestamp], now: Timestamp, every: u64) -> bool {
    made.iter().any(|at| at.seconds().abs_diff(now.seconds()) < every)
}

/// Returns the oldest backups beyond `keep`; none as long as the last backup has failed. Those from a time when the
/// clock was ahead count as the oldest: otherwise the next ones would be deleted in their place.
fn surplus(mut made: Vec<Timestamp>, now: Timestamp, every: u64, keep: usize) -> Vec<Timestamp> {
    if !is_current(&made, now, every) {
        return Vec::new();
    }
    made.sort_by_key(|at| (!is_ahead(*at, now, every), *at));
    made.truncate(made.len().saturating_sub(keep));
    made
}

fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> BackupsError {
    move |source| BackupsError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
