//! The log, on standard error, so that standard output contains only data.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Starts the log with the filter directives of a checked configuration.
pub(super) fn start(directives: &str) {
    let started = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .try_init();
    // Fails only if a log was started before, which stays in use.
    drop(started);
}
