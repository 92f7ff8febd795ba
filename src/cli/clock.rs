//! `jeton clock`: the way out after the machine's clock was ahead.

use clap::Subcommand;

use super::{Failure, output};
use crate::backend::{AcceptedClock, ServeLock, accept_clock};
use crate::config::Config;
use crate::system::{SystemClock, SystemEntropy};
use jeton_core::clock::Clock;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Lower the latest recorded instant to the machine's clock, after that was ahead, and revoke what was issued
    /// meanwhile. The server must be stopped
    Accept,
}

pub(super) fn run(Command::Accept: &Command, config: &Config) -> Result<(), Failure> {
    super::existing(config)?;
    let database = super::file(
        config,
        "`jeton clock accept`",
        "set the clocks of all machines right, and wait until they have passed the latest recorded instant",
    )?;
    let _lock = ServeLock::acquire(database)?;
    let now = SystemClock.now();
    match accept_clock(database, now, &SystemEntropy)? {
        Some(AcceptedClock { was, revoked }) => {
            tracing::warn!(%was, %now, revoked, "clock accepted");
            output::print(&format!(
                "the latest recorded instant was {was} and is {now}; revoked: {revoked} tokens and sessions that were \
                 issued or revoked in between\nverifiers that follow revocations start again; make a backup"
            ))
        }
        None => Err(Failure::ClockNotBehind),
    }
}
