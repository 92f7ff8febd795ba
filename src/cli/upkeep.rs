//! Background tasks of a server: key rotation, token use, retention, status lists, bulk revocations, backups and
//! the second place of the journal.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use super::worker::Worker;
use crate::authority::{Error, RetentionScan};
use crate::backend::{self, JournalCopy};
use crate::backups::{Backups, JournalCopyMetrics};
use crate::causes::error_chain;
use crate::http::App;
use crate::revocation::Index;
use crate::system::SystemClock;
use jeton_core::clock::Clock;
use jeton_store::SharedStore;

/// The interval between two checks for background work, such as changes that another process wrote to
/// the database.
const INTERVAL: Duration = Duration::from_millis(250);

/// Reads changes by other processes, rotates keys, records token use and deletes expired records, until
/// the store dies or its history turns out to be another one.
pub(super) async fn maintain(app: Arc<App>, store: SharedStore) {
    let authority = &app.authority;
    let mut ticks = interval(INTERVAL);
    let mut scan = RetentionScan::default();
    let mut failures = FailureLog::default();
    loop {
        tokio::select! {
            () = store.died() => return,
            _ = ticks.tick() => {}
        }
        failures.record(
            "cannot read changes by other processes",
            authority.catch_up().await,
        );
        if authority.has_forked() {
            return;
        }
        failures.record("nothing is issued", authority.check_clock());
        failures.record("signing key maintenance failed", authority.tend_keys().await);
        write_usage(&app, &mut failures).await;
        match authority.purge(&mut scan).await {
            // Requests go first; the next tick tries again.
            Err(Error::Busy) => {}
            kept => failures.record("retention failed: expired records cannot be deleted", kept),
        }
    }
}

/// Records token use and refused uses of revoked tokens.
pub(super) async fn write_usage(app: &App, failures: &mut FailureLog) {
    failures.record("cannot write token use", app.authority.write_usage().await);
    failures.record(
        "cannot write refused uses of revoked tokens",
        app.authority.write_refusals().await,
    );
}

/// Keeps the status lists up to date. A task of its own, since setting the bits of a million tokens
/// takes a while.
pub(super) async fn update_status_lists(app: Arc<App>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = FailureLog::default();
    loop {
        ticks.tick().await;
        failures.record(
            "cannot update the status lists",
            app.authority.tend_status_lists().await,
        );
    }
}

/// Resumes bulk revocations that were interrupted, whose client disconnected, or that failed.
pub(super) async fn resume_bulk_revocations(app: Arc<App>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        app.authority.carry_on().await;
    }
}

/// Reads the whole journal beside the start, and logs its flaws. Damage would otherwise be found when the journal
/// is needed.
pub(super) fn check_journal(database: PathBuf) {
    tokio::task::spawn_blocking(move || match backend::check_journal(&database) {
        Ok(flaws) => {
            for flaw in flaws {
                tracing::warn!(
                    flaw,
                    "the journal of revocations is damaged: make a backup, since older ones cannot be completed from it"
                );
            }
        }
        Err(error) => tracing::warn!(%error, "the journal of revocations cannot be checked"),
    });
}

/// How long a backup pauses after each 4 MiB, for requests.
const PACE: Duration = Duration::from_millis(10);

/// How often the folder of backups is looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Half of the pause after the first failure of a backup, and the pause after many.
const RETRY: Duration = Duration::from_secs(2);
const LAST_RETRY: Duration = Duration::from_mins(10);

/// Makes backups by schedule, in a thread of their own.
///
/// # Errors
///
/// The thread cannot be started.
pub(super) fn make_backups(backups: Backups) -> io::Result<Worker> {
    Worker::start("jeton-backups", move |calls| {
        let mut failures = FailureLog::default();
        let mut retry = RETRY;
        while !calls.is_stopped() {
            let made = backups.tend(&SystemClock, |_| {
                thread::sleep(PACE);
                match calls.is_stopped() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            });
            if calls.is_stopped() {
                return;
            }
            match &made {
                Ok(()) => retry = RETRY,
                Err(_) => retry = (retry * 2).min(LAST_RETRY),
            }
            let pause = if made.is_ok() { LOOK } else { retry };
            failures.record("the scheduled backup failed", made);
            calls.wait(pause);
        }
    })
}

/// Copies the journal to its second place, in a thread of its own: after each commit that revokes, and at intervals for
/// what other processes append.
///
/// # Errors
///
/// The thread cannot be started.
pub(super) fn copy_journal(
    mut copy: JournalCopy,
    metrics: JournalCopyMetrics,
    index: Arc<Index>,
) -> io::Result<Worker> {
    let mut news = index.news();
    let worker = Worker::start("jeton-journal-copy", move |calls| {
        let mut failures = FailureLog::default();
        if copy.is_on_same_disk() {
            tracing::warn!(
                "the second place of the journal is on the disk of the first: it is lost with that disk"
            );
        }
        loop {
            // Read before the last round: what is committed by then is copied.
            let is_last = calls.is_stopped();
            let Some(committed) = index.reached() else { return };
            let copied = copy.follow(committed);
            metrics.record(&copied, &copy, SystemClock.now());
            let pause = if copied.is_ok() { INTERVAL } else { COPY_RETRY };
            failures.record("the journal is not copied to its second place", copied);
            if is_last {
                return;
            }
            calls.wait(pause);
        }
    })?;
    let wake = worker.waker();
    tokio::spawn(async move {
        while news.changed().await.is_ok() {
            // A full channel wakes it too. A thread that has ended needs no call.
            let _ = wake.try_send(());
        }
    });
    Ok(worker)
}

/// How long the copy of the journal waits after a failure, unless something is committed.
const COPY_RETRY: Duration = Duration::from_secs(1);

/// The minimum time between two log lines about the same failure.
const REMINDER: Duration = Duration::from_mins(1);

/// The current failures by description, with the time each was last logged. Every tick retries, and a
/// line per retry would fill a full disk further.
#[derive(Debug, Default)]
pub(super) struct FailureLog(BTreeMap<&'static str, Instant>);

impl FailureLog {
    fn record<T>(&mut self, what: &'static str, outcome: Result<T, impl std::error::Error + 'static>) {
        match outcome {
            Err(error) if self.is_due(what, Instant::now()) => {
                tracing::error!(error = error_chain(&error), "{what}");
            }
            Err(_) => {}
            Ok(_) if self.0.remove(what).is_some() => tracing::info!("recovered: {what}"),
            Ok(_) => {}
        }
    }

    fn is_due(&mut self, what: &'static str, now: Instant) -> bool {
        let is_fresh = |said: &Instant| now.duration_since(*said) < REMINDER;
        if self.0.get(what).is_some_and(is_fresh) {
            return false;
        }
        self.0.insert(what, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lasting_failure_is_logged_once_a_minute() {
        let mut failures = FailureLog::default();
        let begun = Instant::now();
        let said = (0..4 * 150).filter(|tick| failures.is_due("one", begun + INTERVAL * *tick));
        assert_eq!(said.count(), 3, "in two minutes and a half");
        assert!(failures.is_due("other", begun));
        failures.record("other", Ok::<_, std::fmt::Error>(()));
        assert!(failures.is_due("other", begun), "it is news again");
    }
}
