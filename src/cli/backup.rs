//! `jeton backup`: copies the database, also while the server runs.

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;

use super::{BACKUPS_OF_POSTGRESQL, Failure, output};
use crate::config::Config;
use crate::system::SystemClock;
use jeton_core::clock::Clock;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The backup file to create; an existing file is not overwritten
    file: PathBuf,
}

pub(super) fn run(Arguments { file }: &Arguments, config: &Config) -> Result<(), Failure> {
    let database = super::file(config, "`jeton backup`", BACKUPS_OF_POSTGRESQL)?;
    let progress = output::Progress::new("copying");
    crate::backend::backup(database, file, SystemClock.now(), |pages| {
        progress.set(pages.done, pages.of);
        ControlFlow::Continue(())
    })?;
    drop(progress);
    output::print(&file.display().to_string())
}
