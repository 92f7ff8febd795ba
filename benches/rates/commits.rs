//! What a synced commit costs on this disk with nothing around it.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::pace::{self, Measured, arrivals};

/// One-row transactions, at most so many a second.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Commits {
    pub(crate) database: PathBuf,
    pub(crate) per_second: f64,
    pub(crate) warm_up: Duration,
    pub(crate) time: Duration,
}

/// Reads [`Commits`] from standard input and writes a [`Measured`] to standard output, both as JSON.
///
/// A latency is that of the commit alone. Counted from the instant at which it was due, single
/// commits would fall behind an arrival rate that only commits in groups sustain, and the figure
/// that they are to be compared with would look good beside a queue without end.
pub(crate) fn run() -> Outcome<()> {
    let commits: Commits = serde_json::from_reader(io::stdin())?;
    let database = Connection::open(&commits.database)?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch(
        "CREATE TABLE IF NOT EXISTS token (id INTEGER PRIMARY KEY AUTOINCREMENT, jti TEXT NOT NULL UNIQUE,
         name TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL) STRICT",
    )?;
    let start = Instant::now();
    let (counted_from, ends) = (start + commits.warm_up, start + commits.warm_up + commits.time);
    let mut insert = database.prepare(
        "INSERT INTO token (jti, name, created_at, expires_at) VALUES (hex(randomblob(16)), ?, ?, ?)",
    )?;
    let mut latencies = pace::histogram()?;
    let mut failure = None;
    arrivals(commits.per_second, start, commits.warm_up + commits.time, |_| {
        let begun = Instant::now();
        if failure.is_some() || begun > ends {
            return;
        }
        if let Err(error) = insert.execute(params!["bench", 1_767_323_045_678_i64, 1_798_859_045_678_i64]) {
            failure = Some(error);
        } else if begun >= counted_from {
            pace::record(&mut latencies, begun.elapsed());
        }
    });
    if let Some(error) = failure {
        return Err(error.into());
    }
    let measured = Measured::of(&latencies, latencies.len(), commits.time);
    serde_json::to_writer(io::stdout(), &measured)?;
    Ok(())
}
