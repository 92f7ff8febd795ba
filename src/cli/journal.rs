//! `jeton journal`: the journal of revocations beside the database.

use clap::Subcommand;

use super::{BACKUPS_OF_POSTGRESQL, Failure, output};
use crate::backend::{ServeLock, begin_journal, check_journal};
use crate::config::Config;
use crate::system::SystemEntropy;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Begin another journal for a database that has lost its own. The database must be in its latest state, and the
    /// server stopped
    Begin,
    /// Read the whole journal and report damage: revocations that a restore could not repeat
    Check,
}

pub(super) fn run(command: &Command, config: &Config) -> Result<(), Failure> {
    let database = super::file(config, "the journal of revocations", BACKUPS_OF_POSTGRESQL)?;
    match command {
        Command::Begin => {
            super::existing(config)?;
            let _lock = ServeLock::acquire(database)?;
            if begin_journal(database, &SystemEntropy)? {
                output::print("a journal is begun; make a backup: older ones cannot be completed from it")
            } else {
                Err(Failure::JournalExists)
            }
        }
        Command::Check => {
            let flaws = check_journal(database).map_err(|source| Failure::Journal {
                database: database.to_owned(),
                source,
            })?;
            if flaws.is_empty() {
                return output::print("the journal is whole");
            }
            for flaw in &flaws {
                output::print(flaw)?;
            }
            Err(Failure::JournalDamaged(flaws.len()))
        }
    }
}
