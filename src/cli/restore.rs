//! `jeton restore`: restores a backup and repeats later revocations, so that no revoked token becomes valid.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::drill::Drill;
use super::{BACKUPS_OF_POSTGRESQL, Failure, output};
use crate::backend::{self, Missing, Replayed, ServeLock};
use crate::config::Config;
use crate::system::SystemClock;
use crate::system::SystemEntropy;
use jeton_core::clock::Clock;
use jeton_core::directory::Email;
use jeton_core::token::Reach;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The backup file; it is not changed. With --drill the newest backup of the schedule by default
    #[arg(required_unless_present = "drill")]
    file: Option<PathBuf>,
    /// Try the restore in a temporary folder, also beside a running server: print what it would lose, or what is wrong
    #[arg(long, conflicts_with = "cut_off_missing")]
    drill: bool,
    /// If the journal does not have all revocations since the backup: revoke every token and withdraw every key
    #[arg(long)]
    cut_off_missing: bool,
    /// Go on if the last line of the journal cannot be read, as after a crash
    #[arg(long, conflicts_with = "cut_off_missing")]
    accept_torn_journal: bool,
    /// The newest event that is known from elsewhere, such as `feed.sequence` of a status list: refuse a journal that
    /// ends before it
    #[arg(long, value_name = "EVENT")]
    newest_event: Option<u64>,
    /// The folder of a copy of the journal, as `[journal] copy` in the configuration makes it, for a database whose
    /// own journal is lost; the copy is not changed
    #[arg(long, value_name = "FOLDER")]
    journal: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> Result<(), Failure> {
    let database = super::file(config, "`jeton restore`", BACKUPS_OF_POSTGRESQL)?;
    let missing = if arguments.cut_off_missing {
        Missing::CutOff(SystemClock.now())
    } else if arguments.accept_torn_journal {
        Missing::AcceptTorn
    } else {
        Missing::Refuse
    };
    let backup = match &arguments.file {
        Some(backup) if !arguments.drill => backup,
        backup => {
            let drill = Drill {
                backup: backup.as_deref(),
                journal: arguments.journal.as_deref(),
                missing,
                newest_event: arguments.newest_event,
            };
            return drill.run(database, config);
        }
    };
    let _lock = ServeLock::acquire(database)?;
    if let Some(copy) = &arguments.journal {
        backend::install_journal(copy, &backend::journal_of(database))?;
    }
    let progress = output::Progress::new("restoring");
    let restored = backend::restore(
        backup,
        database,
        missing,
        arguments.newest_event,
        &SystemEntropy,
        |pages| {
            progress.set(pages.done, pages.of);
        },
    );
    drop(progress);
    if restored.is_err() && arguments.journal.is_some() {
        backend::uninstall_journal(&backend::journal_of(database))?;
    }
    let replayed = restored?;
    output::print(&report(&replayed))
}

/// Returns the report for the operator: repeated revocations, and what to check.
fn report(replayed: &Replayed) -> String {
    let mut text = format!(
        "restored; revocations since the backup, repeated: {}{}\nall data except revocations, cut-offs and keys is as it was \
         at the backup: users and passwords, site administrators, memberships and roles, organizations and their policies, \
         teams, projects",
        revoked_text(replayed),
        cut_offs_text(replayed)
    );
    let journal = &replayed.journal;
    if let Some(at) = journal.recorded_at {
        let end = journal.sequence;
        // Writing to a string does not fail.
        let _ = write!(text, "\nthe journal ends with the event {end} of {at}");
    }
    text
}

/// Returns how much was repeated.
pub(super) fn revoked_text(replayed: &Replayed) -> String {
    let Replayed {
        tokens,
        cut_offs,
        keys,
        ..
    } = replayed;
    format!("{tokens} tokens, {} cut-offs, {keys} keys", cut_offs.len())
}

/// Returns the cut-offs that were repeated, and what to check because of them; nothing if there are none.
pub(super) fn cut_offs_text(replayed: &Replayed) -> String {
    let Replayed {
        cut_offs, addresses, ..
    } = replayed;
    let mut text = String::new();
    for cut_off in cut_offs {
        // Writing to a string does not fail.
        let _ = write!(text, "\ncut off: {}", cut_off_text(&cut_off.reach, addresses));
    }
    if !cut_offs.is_empty() {
        text.push_str(
            "\nusers, teams and organizations deleted or disabled since the backup exist again: check those named above",
        );
    }
    text
}

fn cut_off_text(reach: &Reach, addresses: &BTreeMap<String, Email>) -> String {
    let parts = [
        ("organization", reach.organization.map(|id| id.to_string())),
        ("team", reach.team.as_ref().map(ToString::to_string)),
        (
            "user",
            reach.user.as_ref().map(|user| {
                let id = user.to_string();
                match addresses.get(&id) {
                    Some(email) => format!("{email} ({id})"),
                    None => id,
                }
            }),
        ),
        ("project", reach.project.map(|id| id.to_string())),
        ("key", reach.kid.clone()),
    ];
    let named: Vec<String> = parts
        .into_iter()
        .filter_map(|(what, id)| Some(format!("{what} {}", id?)))
        .collect();
    if named.is_empty() {
        "everything".to_owned()
    } else {
        named.join(", ")
    }
}
