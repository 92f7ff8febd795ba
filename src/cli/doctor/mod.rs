//! `jeton doctor`: examines a deployment beside its running server, and says what to do about each finding.
//!
//! It changes nothing but a file without a name, which measures the syncs of the disk. The database is opened by SQLite
//! alone and for reading: it takes no lock that a server waits for.

mod database;
mod disk;
mod keys;
mod network;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use super::{Failure, existing, output};
use crate::backend::{self, JournalCopy, check_private};
use crate::backups;
use crate::causes::error_chain;
use crate::config::{Backups, Config};
use crate::system::SystemClock;
use jeton_core::clock::{Clock, Timestamp};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Print a JSON object for each finding
    #[arg(long)]
    json: bool,
    /// Do not send requests to the issuer
    #[arg(long)]
    offline: bool,
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// As it should be.
    Ok,
    /// Something may fail, or cannot be told.
    Warn,
    /// Something is broken: a promise of the server does not hold.
    Fail,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    level: Level,
    /// What was checked: a word that never changes.
    check: &'static str,
    /// What was found.
    found: String,
    /// What to do; `None` if nothing.
    advice: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            check,
            found: found.into(),
            advice: None,
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            check,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            ..Self::warn(check, found, advice)
        }
    }

    /// Returns the finding as one line.
    fn line(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        let mut line = format!("{level}  {}: {}", self.check, self.found.replace('\n', " "));
        if let Some(advice) = &self.advice {
            // Writing to a string does not fail.
            let _ = write!(line, "  — {advice}");
        }
        line
    }
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> Result<(), Failure> {
    existing(config)?;
    let database = super::file(
        config,
        "`jeton doctor`",
        "ask the server for /readyz, and `jeton keys list`",
    )?;
    let examined = examine(arguments, database, config, SystemClock.now());
    let findings = super::runtime()?.block_on(examined);
    for finding in &findings {
        let line = match arguments.json {
            true => serde_json::to_string(finding).map_err(Failure::Document)?,
            false => finding.line(),
        };
        output::print(&line)?;
    }
    match findings
        .iter()
        .filter(|finding| finding.level == Level::Fail)
        .count()
    {
        0 => Ok(()),
        failed => Err(Failure::Unsound(failed)),
    }
}

async fn examine(arguments: &Arguments, database: &Path, config: &Config, now: Timestamp) -> Vec<Finding> {
    let mut findings = vec![modes(database)];
    // A list is published a moment after what it shows.
    let published_by = now.plus_seconds(-network::LAG);
    let examined = backend::examine(database, now, published_by);
    match &examined {
        Ok(examined) => {
            findings.extend(database::findings(examined));
            findings.extend(database::audit(database, config, now));
            findings.push(database::clock(examined.latest_at, now));
            findings.extend(key_files(database, config, examined.origin).await);
        }
        Err(error) => findings.push(Finding::fail(
            "database",
            error_chain(error),
            database::advice(error),
        )),
    }
    findings.extend(disk::findings(database, config));
    findings.extend(journal_copy(database, config).await);
    findings.push(backups(config.backups.as_ref(), now));
    if !arguments.offline
        && let Ok(examined) = &examined
    {
        findings.extend(network::findings(database, config, examined, now).await);
    }
    findings
}

/// Checks that nobody else can read or replace the files of the database and of its journal.
fn modes(database: &Path) -> Finding {
    match check_private(database) {
        Ok(()) => Finding::ok("modes", "only their owner can read the database and its journal"),
        Err(error) => Finding::fail(
            "modes",
            error_chain(&error),
            "restrict the mode, as the line says",
        ),
    }
}

/// How often, and after which pause, something that does not agree with the database is compared again: the server may be
/// between a commit and what follows it.
const COMPARED: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// Compares something with the database until they agree, or often enough.
async fn compared<T>(compare: impl AsyncFn() -> T, agree: impl Fn(&T) -> bool) -> T {
    let mut found = compare().await;
    for _ in 1..COMPARED {
        if agree(&found) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        found = compare().await;
    }
    found
}

/// Compares the keys of the database with their files.
async fn key_files(database: &Path, config: &Config, origin: Uuid) -> Vec<Finding> {
    let compare = async || match backend::keys(database) {
        Ok(keys) => keys::findings(config, &keys, origin),
        Err(error) => vec![keys::unreadable(&error)],
    };
    let agree = |findings: &Vec<Finding>| findings.iter().all(|finding| finding.level == Level::Ok);
    compared(compare, agree).await
}

/// Checks that the copy of the journal, if there is to be one, has all of it.
async fn journal_copy(database: &Path, config: &Config) -> Option<Finding> {
    let folder = config.journal_copy.as_ref()?;
    let copy = JournalCopy::new(backend::journal_of(database), folder.clone());
    let fail = |found| {
        let advice = "mount its disk, and see the log of the server for why it copies nothing";
        Some(Finding::fail("journal_copy", found, advice))
    };
    if !folder.is_dir() {
        return fail(format!("the folder {} does not exist", folder.display()));
    }
    let lag = compared(async || copy.lag(), |lag| *lag == 0).await;
    if lag > 0 {
        return fail(format!("{} lacks {lag} bytes of the journal", folder.display()));
    }
    let found = format!("{} has all of the journal", folder.display());
    Some(match copy.is_on_same_disk() {
        false => Finding::ok("journal_copy", found),
        true => Finding::warn(
            "journal_copy",
            format!("{found}, and is on the same disk"),
            "choose a folder on another disk: this copy is lost with the journal",
        ),
    })
}

/// Checks the age of the newest backup.
fn backups(settings: Option<&Backups>, now: Timestamp) -> Finding {
    let Some(settings) = settings else {
        return Finding::warn(
            "backups",
            "the server makes no backups",
            "set `[backup]`, unless something else calls `jeton backup`",
        );
    };
    let every = settings.every;
    let made =
        backups::newest(settings, now).map(|path| path.map(|path| (backend::backed_up_at(&path), path)));
    match made {
        Ok(Some((Ok(Some(at)), path))) => judge_backup(&path, at, every.seconds(), now),
        Ok(Some((Ok(None), path))) => Finding::fail(
            "backups",
            format!("{} is not marked as a backup", path.display()),
            "make one with `jeton backup`",
        ),
        Ok(Some((Err(error), _))) => Finding::fail(
            "backups",
            error_chain(&error),
            "make one with `jeton backup`, and delete this one",
        ),
        Ok(None) => Finding::fail(
            "backups",
            format!("there is none in {}", settings.folder.display()),
            "see the log of the server for why it makes none",
        ),
        Err(error) => Finding::fail("backups", error_chain(&error), "make the folder readable"),
    }
}

/// Judges the newest backup: twice the time between two backups may pass, since a backup takes time itself.
fn judge_backup(path: &Path, at: Timestamp, every: u64, now: Timestamp) -> Finding {
    let age = u64::try_from(now.seconds() - at.seconds()).unwrap_or_default();
    let found = format!("the newest is {}, of {at}", path.display());
    match age > every.saturating_mul(2) {
        false => Finding::ok("backups", found),
        true => Finding::fail(
            "backups",
            format!("{found}: {age} seconds old, and one is due every {every} seconds"),
            "see the log of the server for why it makes none",
        ),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_finding_is_one_line_with_what_to_do() {
        let finding = Finding::fail("feed", "event 7 is\nmissing", "restore a backup");
        assert_eq!(
            finding.line(),
            "fail  feed: event 7 is missing  — restore a backup"
        );
        assert_eq!(
            serde_json::to_string(&finding).unwrap(),
            r#"{"level":"fail","check":"feed","found":"event 7 is\nmissing","advice":"restore a backup"}"#
        );
        assert_eq!(Finding::ok("feed", "7 rows").line(), "ok    feed: 7 rows");
    }

    #[tokio::test]
    async fn what_does_not_agree_at_once_is_compared_again() {
        for (agrees_at, calls) in [(1, 1), (2, 2), (u32::MAX, COMPARED)] {
            let count = Cell::new(0);
            let compare = async || {
                count.set(count.get() + 1);
                count.get()
            };
            let found = compared(compare, |number| *number >= agrees_at).await;
            assert_eq!((found, count.get()), (calls, calls));
        }
    }

    #[test]
    fn a_backup_is_old_after_twice_its_interval() {
        let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
        let path = Path::new("jeton.db");
        for (now, level) in [(100, Level::Ok), (220, Level::Ok), (221, Level::Fail)] {
            assert_eq!(judge_backup(path, at(100), 60, at(now)).level, level, "{now}");
        }
        assert_eq!(backups(None, at(1)).level, Level::Warn);
    }
}
