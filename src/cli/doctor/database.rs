//! Findings about the database: file, feed, revoked tokens, journal, and the clock.

use std::path::Path;

use super::Finding;
use crate::backend::{BackupError, DatabaseExamined, DatabasePart, OpenError};
use crate::causes::error_chain;
use crate::checkpoints::{self, Place};
use crate::cli::audit;
use crate::config::Config;
use jeton_core::clock::Timestamp;

/// How long a record may have no line in the audit, in seconds.
const UNSEALED: i64 = 10;

/// How far the clock may be behind the latest recorded instant, in seconds: two processors of one machine differ by less.
const BEHIND: i64 = 1;

pub(super) fn findings(examined: &DatabaseExamined) -> impl Iterator<Item = Finding> + '_ {
    examined.checks.iter().map(|check| {
        let (name, advice) = match check.part {
            DatabasePart::File => ("file", RESTORE),
            DatabasePart::Feed => ("feed", RESTORE),
            DatabasePart::Revoked => ("revoked", RESTORE),
            DatabasePart::JournalPresent => (
                "journal",
                "put it back with the database; if it is lost, and this is the latest state of the database, stop the \
                 server and begin another with `jeton journal begin`",
            ),
            DatabasePart::Journal => (
                "journal",
                "make a backup: what these lines revoked is in the database, and cannot be repeated onto an older one",
            ),
            DatabasePart::Commits => (
                "commits",
                "the disk does not keep what it has synced, or an older copy took the place of the database: put the latest \
                 one back, or restart the server, which begins a new epoch and does not know the tokens issued since",
            ),
            DatabasePart::JournalInForce => (
                "journal_in_force",
                "restart the server, which repeats the revocations of the journal",
            ),
        };
        match &check.outcome {
            Ok(found) => Finding::ok(name, found),
            Err(flaw) => Finding::fail(name, flaw, advice),
        }
    })
}

const RESTORE: &str = "stop the server, keep a copy of the file, and restore a backup with `jeton restore`, which repeats all revocations since";

/// Returns what to do about a database that cannot be examined. Only damage is a reason to restore: a restore takes the
/// database back to the backup.
pub(super) fn advice(error: &BackupError) -> &'static str {
    match error {
        error if error.is_damage() => RESTORE,
        BackupError::Database(OpenError::Exposed(_)) => "restrict the mode, as the line says",
        BackupError::Database(OpenError::Newer { .. }) => "run the version of jeton that has written it",
        BackupError::Database(OpenError::Empty(_)) => {
            "start the server, which creates the database; if it was not empty before, see whether its disk is mounted"
        }
        BackupError::Database(OpenError::Foreign(_) | OpenError::FolderMissing(_)) => {
            "see whether `database` in the configuration is the right path, and its disk is mounted"
        }
        BackupError::Database(OpenError::Inaccessible { .. }) => {
            "run `jeton doctor` as the user of the server, with its configuration"
        }
        _ => {
            "do what the line says, and run `jeton doctor` again; a database that was never served or that an earlier \
             version has written can be examined once the server has started"
        }
    }
}

/// Verifies the audit with the checkpoints in the database and those in the configured file.
pub(super) fn audit(database: &Path, config: &Config, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (files, elsewhere) = match &config.audit.checkpoints {
        None => (Vec::new(), String::new()),
        Some(Place::File(path)) => {
            let file = checkpoints::file(path);
            match file.exists() {
                true => (vec![file], String::new()),
                false => {
                    findings.push(Finding::warn(
                        "audit",
                        format!("the file of checkpoints {} does not exist", file.display()),
                        "see whether its disk is mounted; if it is new, the server writes it with the next checkpoint",
                    ));
                    (Vec::new(), String::new())
                }
            }
        }
        Some(Place::Address(address)) => {
            let host = address.host().unwrap_or_default();
            (Vec::new(), format!("; those that {host} keeps are not compared"))
        }
    };
    findings.push(match audit::examine(database, config, &files) {
        Ok(report) => judge_audit(&report, &elsewhere, now),
        Err(error) => Finding::fail(
            "audit",
            error_chain(&error),
            "the audit could not be examined: do what the line says",
        ),
    });
    findings
}

fn judge_audit(report: &audit::Report, elsewhere: &str, now: Timestamp) -> Finding {
    if let Some(flaw) = report.flaws.first() {
        return Finding::fail(
            "audit",
            flaw,
            "`jeton audit verify` names all flaws; compare with the checkpoints that are kept elsewhere, and treat it as a \
             break-in, unless a backup was restored: then move the file of checkpoints away",
        );
    }
    match report.examined.unsealed_since {
        Some(since) if since.plus_seconds(UNSEALED) < now => Finding::warn(
            "audit",
            format!(
                "{} records have no line, the oldest of {since}",
                report.examined.unsealed
            ),
            "see whether the server runs, and its log: it seals within a second",
        ),
        _ => Finding::ok("audit", format!("{}{elsewhere}", report.summary())),
    }
}

/// Compares the clock with the latest recorded instant: time never goes back behind it, and nothing is issued until the
/// clock has caught up.
pub(super) fn clock(latest: Timestamp, now: Timestamp) -> Finding {
    let behind = latest.seconds() - now.seconds();
    match behind > BEHIND {
        false => Finding::ok("clock", format!("{now}, and the latest record is of {latest}")),
        true => Finding::fail(
            "clock",
            format!("{behind} seconds behind the latest record, of {latest}"),
            "set the clock; if it was ahead before and is right now, stop the server and run `jeton clock accept`",
        ),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_clock_behind_the_records_is_wrong() {
        let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
        for (latest, level) in [
            (90, Level::Ok),
            (101, Level::Ok),
            (102, Level::Fail),
            (4_000, Level::Fail),
        ] {
            assert_eq!(clock(at(latest), at(100)).level, level, "{latest}");
        }
    }
}
