//! `jeton restore --drill`: tries a restore into a folder that is thrown away, beside a running server.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Failure, output};
use crate::backend::{self, DrillFolder, Examined, Missing, Replayed};
use crate::backups;
use crate::causes::error_chain;
use crate::config::Config;
use crate::revocation::Index;
use crate::system::{SystemClock, SystemEntropy};
use jeton_core::clock::{Clock, Timestamp};
use jeton_core::deployment_clock::DeploymentClock;
use jeton_core::entropy::Entropy;
use jeton_core::token::lifetime::Span;
use jeton_store::{KeyState, SharedStore};

/// The most flaws that are printed.
const SHOWN: usize = 20;

/// The restore to try.
pub(super) struct Drill<'a> {
    /// The newest scheduled backup, if `None`.
    pub(super) backup: Option<&'a Path>,
    /// The journal of the database, if `None`.
    pub(super) journal: Option<&'a Path>,
    /// What a journal that is not whole means.
    pub(super) missing: Missing,
    /// The newest event that is known from elsewhere.
    pub(super) newest_event: Option<u64>,
}

impl Drill<'_> {
    /// Restores, checks, prints the result and deletes what was restored.
    pub(super) fn run(&self, served: &Path, config: &Config) -> Result<(), Failure> {
        let clock = SystemClock;
        let begun = clock.uptime();
        let backup = self.backup(config)?;
        let made_at = backend::backed_up_at(&backup)?;
        let mut folder = DrillFolder::create(served)?;
        folder.install_journal(self.journal)?;
        let database = folder.database();
        let progress = output::Progress::new("restoring");
        let replayed = backend::restore(
            &backup,
            &database,
            self.missing,
            self.newest_event,
            &SystemEntropy,
            |pages| progress.set(pages.done, pages.of),
        )?;
        drop(progress);
        let keys = super::runtime()?.block_on(opened(&database, config))?;
        let now = clock.now();
        let examined = folder.examine(now)?;
        drop(folder);
        let mut flaws = keys.flaws;
        flaws.extend(
            examined
                .not_in_force
                .iter()
                .map(|what| format!("not in force: {what}")),
        );
        for flaw in flaws.iter().take(SHOWN) {
            output::print(flaw)?;
        }
        if !flaws.is_empty() {
            return Err(Failure::Drill {
                backup,
                flaws: flaws.len(),
            });
        }
        let took = clock.uptime().saturating_sub(begun);
        let summary = Summary {
            backup: &backup,
            made_at,
            now,
            seconds: took.as_secs_f64(),
            replayed: &replayed,
            examined: &examined,
            keys: keys.present,
        };
        output::print(&summary.report())?;
        match (self.backup, &config.backups) {
            (None, Some(settings)) => Ok(backups::note_drill(&settings.folder, now)?),
            _ => Ok(()),
        }
    }

    fn backup(&self, config: &Config) -> Result<PathBuf, Failure> {
        match (self.backup, &config.backups) {
            (Some(backup), _) => Ok(backup.to_owned()),
            (None, Some(settings)) => {
                let newest = backups::newest(settings, SystemClock.now())?;
                newest.ok_or_else(|| Failure::NoBackup(settings.folder.clone()))
            }
            (None, None) => Err(Failure::NoBackupFolder),
        }
    }
}

/// The private keys that a server needs after the restore.
struct Keys {
    present: usize,
    flaws: Vec<String>,
}

/// Opens the restored database as a start of the server does, and looks for the private keys of all keys that sign
/// or will.
async fn opened(database: &Path, config: &Config) -> Result<Keys, Failure> {
    let clock = Arc::new(DeploymentClock::new(Arc::new(SystemClock)));
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let index = Arc::new(Index::new(clock));
    let store: SharedStore = backend::open_file(database, &entropy, &index)?;
    index.rebuild(store.snapshot().await?);
    let folder = &config.keys.folder;
    let mut keys = Keys {
        present: 0,
        flaws: Vec::new(),
    };
    // Opening it would create it.
    let opened = folder.exists().then(|| super::keys::folder(config)).transpose();
    let directory = match opened {
        Ok(Some(directory)) => Some(directory.of_deployment(store.origin().await?)),
        Ok(None) => None,
        Err(error) => {
            let cause = error_chain(&error);
            keys.flaws
                .push(format!("the private keys cannot be used: {cause}"));
            return Ok(keys);
        }
    };
    for row in &store.keys().await?.value.rows {
        if !matches!(row.state, KeyState::Published | KeyState::Signing) {
            continue;
        }
        let kid = &row.key.kid;
        let found = match (&directory, kid.parse()) {
            (Some(directory), Ok(kid)) => directory.load(&kid).map(|key| key.is_some()),
            _ => Ok(false),
        };
        match found {
            Ok(true) => keys.present += 1,
            Ok(false) => keys.flaws.push(format!(
                "the private key {kid} is missing in the folder {}",
                folder.display()
            )),
            Err(error) => {
                let cause = error_chain(&error);
                keys.flaws
                    .push(format!("the private key {kid} cannot be used: {cause}"));
            }
        }
    }
    Ok(keys)
}

/// What a drill that found no flaw reports.
struct Summary<'a> {
    backup: &'a Path,
    made_at: Option<Timestamp>,
    now: Timestamp,
    seconds: f64,
    replayed: &'a Replayed,
    examined: &'a Examined,
    keys: usize,
}

impl Summary<'_> {
    fn report(&self) -> String {
        let Replayed {
            tokens,
            cut_offs,
            keys,
            journal,
            ..
        } = self.replayed;
        let (backup, age) = (self.backup.display(), self.age());
        let mut text = format!(
            "{backup} can be restored, in {:.1} s; what was restored is deleted again\n\
             tokens and sessions: {}; private keys: {}; revocations of the journal, all in force: {}; of these since the \
             backup: {tokens} tokens, {} cut-offs, {keys} keys",
            self.seconds,
            self.examined.tokens,
            self.keys,
            self.examined.revocations,
            cut_offs.len(),
        );
        if let Some(at) = journal.recorded_at {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\nthe journal ends with the event {} of {at}",
                journal.sequence
            );
        }
        let _ = write!(
            text,
            "\na restore now would lose all changes {age}, except revocations, cut-offs and keys: tokens issued, users and \
             passwords, memberships and roles, organizations and policies, teams, projects"
        );
        text
    }

    fn age(&self) -> String {
        match self.made_at {
            Some(at) => {
                let seconds = self.now.seconds().saturating_sub(at.seconds());
                let seconds = u64::try_from(seconds).unwrap_or(0);
                let unit = match seconds {
                    0..120 => 1,
                    120..7_200 => 60,
                    7_200..172_800 => 3_600,
                    _ => 86_400,
                };
                format!("of the last {}, since {at}", Span::words(seconds / unit * unit))
            }
            None => "since the copy was made".to_owned(),
        }
    }
}
