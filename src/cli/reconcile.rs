//! `jeton reconcile`: brings a PostgreSQL database that has lost history into agreement with the journals of its servers.

use std::fmt::Write;
use std::path::PathBuf;

use clap::Args;

use super::restore::{cut_offs_text, revoked_text};
use super::{Failure, output};
use crate::backend::{self, Reconciled, Reconciling};
use crate::config::{Config, Database};
use crate::system::{SystemClock, SystemEntropy};
use jeton_core::clock::Clock;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder of a server's journal, or of a copy of it, as `[postgresql] journal` in the configuration names it; give
    /// those of all servers
    #[arg(long, value_name = "FOLDER", required_unless_present = "cut_off_missing")]
    journal: Vec<PathBuf>,
    /// If the journals do not have everything that was lost: revoke every token and withdraw every key
    #[arg(long)]
    cut_off_missing: bool,
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> Result<(), Failure> {
    let Database::Postgres(servers) = &config.database else {
        return Err(Failure::ReconcilesItself);
    };
    let reconciling = Reconciling {
        journals: &arguments.journal,
        cut_off_missing: arguments.cut_off_missing.then(|| SystemClock.now()),
    };
    let reconciled = backend::reconcile(servers, config, reconciling, &SystemEntropy);
    let reconciled = super::runtime()?.block_on(reconciled)?;
    output::print(&report(&reconciled, &arguments.journal))
}

/// Returns the report for the operator.
fn report(reconciled: &Reconciled, journals: &[PathBuf]) -> String {
    let Reconciled {
        epoch,
        replayed,
        journals: ends,
    } = reconciled;
    let mut text = format!(
        "reconciled; revocations that the database had lost, repeated: {}{}",
        revoked_text(replayed),
        cut_offs_text(replayed),
    );
    for (folder, end) in journals.iter().zip(ends) {
        let (folder, sequence) = (folder.display(), end.sequence);
        // Writing to a string does not fail.
        let _ = write!(text, "\nthe journal {folder} ends with the event {sequence}");
        if let Some(at) = end.recorded_at {
            let _ = write!(text, " of {at}");
        }
        if end.flaw.is_some() {
            text.push_str(", and what is after it cannot be read");
        }
    }
    let _ = write!(
        text,
        "\na new epoch has begun: {epoch}\nall data except revocations, cut-offs and keys is as the database has it; start \
         the servers"
    );
    text
}
