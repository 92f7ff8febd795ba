//! Background tasks of a server: key rotation, token use, retention, status lists and bulk revocations.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::authority::{Error, RetentionScan};
use crate::backend;
use crate::causes::error_chain;
use crate::http::App;
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
