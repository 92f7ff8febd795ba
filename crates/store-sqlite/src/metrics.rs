//! Metrics of this backend. Each part holds the handles that it updates; [`Gauges`] reads sizes when metrics are
//! collected.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jeton_journal::JournalMetrics;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rustix::fs::statvfs;

use crate::open::beside;
use crate::writer::Waiting;
use jeton_store::metrics::{Labelled, gauge};

/// Upper bounds of durations on the disk, in seconds: a good disk syncs in a tenth of a millisecond, a stalled one
/// in many seconds.
const SECONDS: [f64; 15] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Upper bounds of the number of writes in a transaction.
const WRITES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// The metrics of all parts. Copies share their values.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    batch_size: Histogram,
    commit_duration: Histogram,
    /// The transactions that failed as a whole.
    pub(super) commit_failures: Counter,
    /// How long checkpoints took, the writer's too.
    checkpoint_duration: Histogram,
    refused: Labelled<Counter>,
    /// The writes that found the queue full.
    pub(super) queue_full: Counter,
    /// The reads that found too many others running or waiting.
    pub(super) readers_busy: Counter,
    /// The reads of too many rows.
    pub(super) too_costly: Counter,
    /// The journal's, which other parts open too.
    journal: JournalMetrics,
}

impl Metrics {
    pub(super) fn new(journal: &JournalMetrics) -> Self {
        let refused = Labelled::<Counter>::default();
        let by = |reason| refused.get_or_create_owned(&[("reason", reason)]);
        Self {
            batch_size: Histogram::new(WRITES),
            commit_duration: Histogram::new(SECONDS),
            commit_failures: Counter::default(),
            checkpoint_duration: Histogram::new(SECONDS),
            queue_full: by("queue_full"),
            readers_busy: by("readers_busy"),
            too_costly: by("too_costly"),
            refused,
            journal: journal.clone(),
        }
    }

    /// Counts a transaction that is on disk. Those that change nothing are not counted: readiness probes would
    /// hide a slow disk.
    pub(super) fn committed(&self, writes: usize, took: Duration) {
        self.batch_size.observe(writes as f64);
        self.commit_duration.observe(took.as_secs_f64());
    }

    pub(super) fn checkpointed(&self, took: Duration) {
        self.checkpoint_duration.observe(took.as_secs_f64());
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_store_batch_size",
            "Writes in a transaction",
            self.batch_size.clone(),
        );
        registry.register(
            "jeton_store_commit_duration_seconds",
            "Time from the beginning of a transaction until it is on disk, in the journal too",
            self.commit_duration.clone(),
        );
        registry.register(
            "jeton_store_commit_failures",
            "Transactions that failed as a whole, for example on a full disk",
            self.commit_failures.clone(),
        );
        registry.register(
            "jeton_store_checkpoint_duration_seconds",
            "Time in which a checkpoint copied pages from the WAL into the database",
            self.checkpoint_duration.clone(),
        );
        registry.register(
            "jeton_store_refused",
            "Reads and writes that were refused because of their number or size, by reason",
            self.refused.clone(),
        );
        self.journal.register(registry);
    }
}

/// The sizes of the files, the free space and the queue, read when metrics are collected.
#[derive(Debug)]
pub(super) struct Gauges {
    pub(super) database: PathBuf,
    /// The folder of the journal.
    pub(super) journal: PathBuf,
    pub(super) waiting: Waiting,
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (waiting, limit) = self.waiting.of();
        gauge(
            &mut encoder,
            "jeton_store_waiting",
            "Writes that wait for the next transaction",
            waiting,
        )?;
        gauge(
            &mut encoder,
            "jeton_store_waiting_limit",
            "Writes that may wait; further ones are refused",
            limit,
        )?;
        let wal = beside(&self.database, "-wal");
        // What cannot be read is left out: a guess would hide that.
        let sizes = [
            (
                "jeton_store_database_bytes",
                "Size of the database file",
                length(&self.database),
            ),
            ("jeton_store_wal_bytes", "Size of the WAL", length(&wal)),
            (
                "jeton_store_free_bytes",
                "Free space on the disk of the database",
                free(&self.database),
            ),
            (
                "jeton_journal_bytes",
                "Size of the journal of revocations",
                total(&self.journal),
            ),
        ];
        for (name, help, size) in sizes {
            if let Ok(size) = size {
                gauge(&mut encoder, name, help, size)?;
            }
        }
        Ok(())
    }
}

/// Returns the length of a file, 0 if it does not exist.
fn length(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        metadata => Ok(metadata?.len()),
    }
}

/// Returns the length of all files in a folder, 0 if it does not exist.
fn total(folder: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    entries.map(|entry| length(&entry?.path())).sum()
}

/// Returns the space on the disk of a file that an unprivileged process may use.
fn free(file: &Path) -> io::Result<u64> {
    let disk = statvfs(file)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
