//! Background tasks of a server: key rotation, token use, retention, status lists, bulk revocations, backups, the
//! copy of the journal, and renewal of the TLS certificate.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::Failure;
use super::deployment::Deployment;
use super::observe::{self, Observed};
use super::worker::Worker;
use crate::authority::{Error, RetentionScan, Server};
use crate::backend::{self, JournalCopy};
use crate::backups::{Backups, JournalCopyMetrics};
use crate::causes::error_chain;
use crate::checkpoints::Delivery;
use crate::config::{self, Config};
use crate::http::App;
use crate::revocation::Index;
use crate::system::SystemClock;
use crate::tls::{Tls, TlsError};
use jeton_core::clock::{Clock, Timestamp};
use jeton_core::token::lifetime::Span;
use jeton_store::{Checkpoint, SharedStore, Store};

/// The interval between two checks for background work.
const INTERVAL: Duration = Duration::from_millis(250);

/// The background work of a server.
pub(super) struct Upkeep {
    maintenance: JoinHandle<()>,
    backups: Option<Worker>,
    journal_copy: Option<Worker>,
}

impl Upkeep {
    /// Starts all of it, and adds its metrics to a registry. All tokens are counted only for metrics.
    pub(super) async fn start(
        config: &Config,
        deployment: &Deployment,
        app: &Arc<App>,
        counts_tokens: bool,
        registry: &mut Registry,
    ) -> Result<Self, Failure> {
        let maintenance = tokio::spawn(maintain(Arc::clone(app), Arc::clone(&deployment.store)));
        tokio::spawn(follow(Arc::clone(app), Arc::clone(&deployment.store)));
        if deployment.store.nodes().is_some() {
            let server = Server {
                id: deployment.entropy.uuid_v4(),
                name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            };
            // From here on it answers only with a lease.
            let renewed = app.authority.renew_lease(&server).await;
            if app.authority.has_forked() {
                return Err(Failure::HistoryLost);
            }
            renewed?;
            tokio::spawn(hold_lease(Arc::clone(app), server));
        }
        tokio::spawn(update_status_lists(Arc::clone(app)));
        tokio::spawn(resume_bulk_revocations(Arc::clone(app)));
        let (checkpoints, delivered) = watch::channel(None);
        if let Some(place) = config.audit.checkpoints.clone() {
            let delivery = Delivery::to(place);
            tokio::spawn(deliver_checkpoints(delivery, delivered, Arc::clone(app)));
        }
        tokio::spawn(keep_audit_up(Arc::clone(app), checkpoints));
        let file = config.database.file();
        if let Some(file) = file {
            check_journal(file.to_owned());
        }
        let observed = Observed::default();
        observed.register(registry);
        tokio::spawn(observe::check_readiness(Arc::clone(app), observed.clone()));
        if counts_tokens {
            tokio::spawn(observe::count_tokens(Arc::clone(app), observed));
        }
        let backups = match (&config.backups, file) {
            (Some(settings), Some(file)) => {
                warn_of_old_backups(settings, config.tokens.retention);
                let origin = deployment.store.origin().await?;
                let backups = Backups::new(file.to_owned(), origin, settings.clone());
                backups.metrics().register(registry);
                Some(make_backups(backups).map_err(Failure::Worker)?)
            }
            _ => None,
        };
        let journal_copy = match (&config.journal_copy, file) {
            (Some(folder), Some(file)) => {
                let copy = JournalCopy::new(backend::journal_of(file), folder.clone());
                let metrics = JournalCopyMetrics::default();
                metrics.register(registry);
                let copying = copy_journal(copy, metrics, Arc::clone(&deployment.index), app);
                Some(copying.map_err(Failure::Worker)?)
            }
            _ => None,
        };
        Ok(Self {
            maintenance,
            backups,
            journal_copy,
        })
    }

    /// Waits until the server cannot go on: its store has died, or follows another history.
    pub(super) async fn has_ended(&mut self) {
        // An error is a panic in the task.
        let _ = (&mut self.maintenance).await;
    }

    /// Writes what is still in memory, and ends the threads, after the last request was answered.
    pub(super) async fn finish(self, app: &App, store: &dyn Store) -> Result<(), Failure> {
        if app.authority.has_forked() {
            return Err(match store.nodes() {
                Some(_) => Failure::HistoryLost,
                None => Failure::Forked,
            });
        }
        if !self.maintenance.is_finished() {
            let mut failures = FailureLog::default();
            write_usage(app, &mut failures).await;
            finish_audit(app, &mut failures).await;
        }
        if let Some(backups) = self.backups {
            backups.stop().await;
        }
        let is_recorded = store.stopped().await;
        if let Some(journal_copy) = self.journal_copy {
            journal_copy.stop().await;
        }
        // The store may have died in the last request, or in one of the writes above.
        if self.maintenance.is_finished() || store.has_died() {
            return Err(Failure::StoreDied);
        }
        Ok(is_recorded?)
    }
}

/// How often a lease is renewed.
const RENEWAL: Duration = Duration::from_secs(1);

/// Renews the lease of a server whose store others write too.
async fn hold_lease(app: Arc<App>, server: Server) {
    let mut ticks = interval(RENEWAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = FailureLog::default();
    loop {
        ticks.tick().await;
        let renewed = app.authority.renew_lease(&server).await;
        failures.record("cannot renew the lease", renewed);
    }
}

/// Reads changes by other processes, until the history of the store turns out to be another one.
async fn follow(app: Arc<App>, store: SharedStore) {
    let mut failures = FailureLog::default();
    while !app.authority.has_forked() {
        // At once: until then nobody can follow the feed.
        let followed = app.authority.catch_up().await;
        failures.record("cannot read changes by other processes", followed);
        store.changed_elsewhere().await;
    }
}

/// Rotates keys, records token use and deletes expired records, until
/// the store dies or its history turns out to be another one.
async fn maintain(app: Arc<App>, store: SharedStore) {
    let authority = &app.authority;
    let mut ticks = interval(INTERVAL);
    let mut scan = RetentionScan::default();
    let mut failures = FailureLog::default();
    let mut pruning_due = Instant::now();
    loop {
        tokio::select! {
            () = store.died() => return,
            _ = ticks.tick() => {}
        }
        if authority.has_forked() {
            return;
        }
        failures.record("nothing is issued", authority.check_clock());
        failures.record("signing key maintenance failed", authority.tend_keys().await);
        write_usage(&app, &mut failures).await;
        if Instant::now() >= pruning_due {
            pruning_due = Instant::now() + LOGIN_PRUNING;
            failures.record(
                "old counters of failed logins cannot be deleted",
                authority.prune_login_counts().await,
            );
        }
        match authority.purge(&mut scan).await {
            // Requests go first; the next tick tries again.
            Err(Error::Busy) => {}
            kept => failures.record("retention failed: expired records cannot be deleted", kept),
        }
    }
}

/// How often counters of failed logins are deleted that are not needed any more.
const LOGIN_PRUNING: Duration = Duration::from_mins(1);

/// Records token use and refused uses of revoked tokens.
async fn write_usage(app: &App, failures: &mut FailureLog) {
    failures.record("cannot write token use", app.authority.write_usage().await);
    failures.record(
        "cannot write refused uses of revoked tokens",
        app.authority.write_refusals().await,
    );
}

/// How often the audit is sealed: a record has its line within a second.
const SEALING: Duration = Duration::from_millis(500);

/// The pause between two portions of lines, for the writes of others.
const SEALING_PAUSE: Duration = Duration::from_millis(5);

/// How often the end of the audit is signed.
const CHECKPOINTS: Duration = Duration::from_mins(1);

/// How often old lines are deleted: each scan that deletes any leaves a line itself.
const PRUNING: Duration = Duration::from_hours(1);

/// How long old lines are deleted in each tick, before new records are sealed again.
const PRUNING_TIME: Duration = Duration::from_millis(250);

/// How long the end of the server waits for the audit. The next start seals the rest.
const LAST_SEALING: Duration = Duration::from_secs(1);

/// Repeats a step that has more to do, with a pause for the writes of others, until an instant. Returns whether it has
/// more to do.
async fn repeat<F>(until: Instant, mut step: impl FnMut() -> F) -> Result<bool, Error>
where
    F: Future<Output = Result<bool, Error>>,
{
    while step().await? {
        if Instant::now() >= until {
            return Ok(true);
        }
        tokio::time::sleep(SEALING_PAUSE).await;
    }
    Ok(false)
}

/// Keeps the audit, and begins again after a panic: otherwise nothing would be sealed until the next start.
async fn keep_audit_up(app: Arc<App>, checkpoints: watch::Sender<Option<Checkpoint>>) {
    let mut failures = FailureLog::default();
    loop {
        let ended = tokio::spawn(keep_audit(Arc::clone(&app), checkpoints.clone())).await;
        failures.record("the audit is not kept, and is begun again", ended);
        app.authority.audit_metrics().checkpoint_failures.inc();
        tokio::time::sleep(SEALING).await;
    }
}

/// Seals the audit; each minute signs its end and records failed attempts, and each hour deletes old lines. A backlog of
/// one kind of work does not delay the others.
async fn keep_audit(app: Arc<App>, checkpoints: watch::Sender<Option<Checkpoint>>) {
    let authority = &app.authority;
    let mut ticks = interval(SEALING);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = FailureLog::default();
    let mut due = Instant::now();
    let mut pruning_due = due;
    loop {
        ticks.tick().await;
        let sealed = repeat(due, || authority.seal_audit()).await;
        if sealed.is_err() {
            authority.measure_audit_lag().await;
        }
        failures.record("the audit cannot be sealed", sealed);
        if Instant::now() >= due {
            due = Instant::now() + CHECKPOINTS;
            let written = authority.write_failures().await;
            failures.record("failed attempts cannot be recorded in the audit", written);
            let signed = authority.sign_checkpoint().await;
            match &signed {
                Ok(Some(checkpoint)) => _ = checkpoints.send_replace(Some(checkpoint.clone())),
                Ok(None) => {}
                Err(_) => _ = authority.audit_metrics().checkpoint_failures.inc(),
            }
            failures.record("the audit has no new checkpoint", signed);
        }
        if Instant::now() >= pruning_due {
            let until = Instant::now() + PRUNING_TIME;
            let pruned = repeat(until, || authority.prune_audit()).await;
            if !matches!(pruned, Ok(true)) {
                pruning_due = Instant::now() + PRUNING;
            }
            failures.record("old lines of the audit cannot be deleted", pruned);
        }
    }
}

/// Records failed attempts when the server stops, and seals what it can within [`LAST_SEALING`].
async fn finish_audit(app: &App, failures: &mut FailureLog) {
    let written = app.authority.write_failures().await;
    failures.record("failed attempts cannot be recorded in the audit", written);
    let until = Instant::now() + LAST_SEALING;
    let sealed = repeat(until, || app.authority.seal_audit()).await;
    failures.record("the audit cannot be sealed", sealed);
}

/// How long the delivery of a checkpoint waits after a failure.
const DELIVERY_RETRY: Duration = Duration::from_secs(15);

/// Writes each new checkpoint to the second place, and at the start the last one, which may not have come there. After
/// a failure it tries again with the newest, which depends on all before it.
async fn deliver_checkpoints(
    mut delivery: Delivery,
    mut checkpoints: watch::Receiver<Option<Checkpoint>>,
    app: Arc<App>,
) {
    let mut failures = FailureLog::default();
    let last = app.authority.last_checkpoint().await;
    let mut last = match last {
        Ok(last) => last,
        Err(error) => {
            failures.record(
                "the last checkpoint of the audit cannot be read",
                Err::<(), _>(error),
            );
            None
        }
    };
    loop {
        loop {
            let newest = checkpoints.borrow_and_update().clone();
            let Some(checkpoint) = newest.or(last.take()) else {
                break;
            };
            let delivered = delivery.deliver(&checkpoint.note).await;
            let is_there = delivered.is_ok();
            failures.record("a checkpoint of the audit is not in its second place", delivered);
            if is_there {
                break;
            }
            last = Some(checkpoint);
            app.authority.audit_metrics().checkpoint_failures.inc();
            tokio::time::sleep(DELIVERY_RETRY).await;
        }
        if checkpoints.changed().await.is_err() {
            return;
        }
    }
}

/// Keeps the status lists up to date. A task of its own, since setting the bits of a million tokens
/// takes a while.
async fn update_status_lists(app: Arc<App>) {
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
async fn resume_bulk_revocations(app: Arc<App>) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = FailureLog::default();
    loop {
        ticks.tick().await;
        failures.record(
            "cannot look up unfinished bulk revocations",
            app.authority.carry_on().await,
        );
    }
}

/// The interval between two looks at the files of the certificate.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(10);

/// Reads the certificate again when its files have changed, and at SIGHUP. One that cannot be used is logged once,
/// and the old one stays.
pub(super) async fn renew_certificate(tls: Tls, mut hangups: Signal) {
    let mut ticks = interval(CERTIFICATE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewal = Renewal::Done;
    let mut failures = FailureLog::default();
    loop {
        let is_asked = tokio::select! {
            _ = ticks.tick() => false,
            Some(()) = hangups.recv() => true,
        };
        let checked = tls.clone();
        // The files may be on a file system that hangs.
        let renewed =
            tokio::task::spawn_blocking(move || renewal.step(&checked, is_asked, SystemClock.now()));
        // An error is a panic.
        renewal = renewed.await.unwrap_or(Renewal::Reported);
        failures.record(
            "clients cannot trust this server",
            tls.check_valid(SystemClock.now()),
        );
    }
}

/// The last attempt to use the files of the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewal {
    /// They are in use.
    Done,
    /// They could not be used. Their writer may not have finished, since a certificate and its key are two files.
    Failed,
    /// Why they cannot be used was logged.
    Reported,
}

impl Renewal {
    fn step(self, tls: &Tls, is_asked: bool, now: Timestamp) -> Self {
        let has_changed = tls.has_changed();
        if self == Self::Done && !has_changed && !is_asked {
            return Self::Done;
        }
        let error = match tls.reload(now) {
            Ok(()) => {
                tracing::info!(valid_until = %tls.valid_until(), "new connections use the TLS certificate in the file");
                return Self::Done;
            }
            // The certificate in the file is the one in use, and there is none to replace it.
            Err(TlsError::NotValid { .. }) if self == Self::Done && !has_changed => return Self::Done,
            Err(error) => error,
        };
        if self == Self::Failed || is_asked {
            tracing::error!(
                error = error_chain(&error),
                valid_until = %tls.valid_until(),
                "the TLS certificate cannot be replaced, and the old one stays in use"
            );
            return Self::Reported;
        }
        match has_changed {
            true => Self::Failed,
            false => self,
        }
    }
}

/// Reads the whole journal beside the start, and logs its flaws. Damage would otherwise be found when the journal
/// is needed.
fn check_journal(database: PathBuf) {
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

/// Warns of backups that are kept for longer than the revocations that complete them.
fn warn_of_old_backups(settings: &config::Backups, retention: Span) {
    let keep = u64::try_from(settings.keep).unwrap_or(u64::MAX);
    if settings.every.seconds().saturating_mul(keep) > retention.seconds() {
        tracing::warn!(
            every = %settings.every,
            keep = settings.keep,
            %retention,
            "backups are kept for longer than `tokens.retention`: older ones can be restored only with --cut-off-missing, \
             which revokes every token"
        );
    }
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
fn make_backups(backups: Backups) -> io::Result<Worker> {
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

/// Copies the journal to another disk, in a thread of its own: after each commit that revokes, and at intervals for
/// what other processes append.
///
/// # Errors
///
/// The thread cannot be started.
fn copy_journal(
    mut copy: JournalCopy,
    metrics: JournalCopyMetrics,
    index: Arc<Index>,
    app: &Arc<App>,
) -> io::Result<Worker> {
    let mut news = index.news();
    // A copy that hangs must not keep the store open.
    let app = Arc::downgrade(app);
    let worker = Worker::start("jeton-journal-copy", move |calls| {
        let mut failures = FailureLog::default();
        if copy.is_on_same_disk() {
            tracing::warn!(
                "the copy of the journal is on the disk of the journal: it is lost with that disk"
            );
        }
        loop {
            // Read before the last round: what is committed by then is copied.
            let is_last = calls.is_stopped();
            let Some(committed) = index.reached() else { return };
            let now = SystemClock.now();
            let Some(retention) = app.upgrade().map(|app| app.authority.settings().retention) else {
                return;
            };
            let kept = i64::try_from(retention.seconds()).unwrap_or(i64::MAX);
            let copied = copy.follow(committed, now.plus_seconds(-kept));
            metrics.record(&copied, &copy, SystemClock.now());
            let has_failed = copied.is_err();
            failures.record("the journal is not copied", copied);
            if is_last {
                return;
            }
            match has_failed {
                true => calls.pause(COPY_RETRY),
                false => calls.wait(INTERVAL),
            }
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

/// How long the copy of the journal waits after a failure, whatever is committed: it may have to read everything.
const COPY_RETRY: Duration = Duration::from_secs(1);

/// The minimum time between two log lines about the same failure.
const REMINDER: Duration = Duration::from_mins(1);

/// The current failures by description, with the time each was last logged. Every tick retries, and a
/// line per retry would fill a full disk further.
#[derive(Debug, Default)]
pub(super) struct FailureLog(BTreeMap<&'static str, Instant>);

impl FailureLog {
    pub(super) fn record<T>(
        &mut self,
        what: &'static str,
        outcome: Result<T, impl std::error::Error + 'static>,
    ) {
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
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::tls::testing::{Files, Pem, now};

    #[test]
    fn a_certificate_that_cannot_be_used_is_reported_once() {
        let files = Files::new();
        let tls = files.open();
        let step = |renewal: Renewal| renewal.step(&tls, false, now());
        assert_eq!(step(Renewal::Done), Renewal::Done);
        // Its key follows a moment later.
        let pem = Pem::new();
        std::fs::write(&files.paths.certificate, &pem.certificate).unwrap();
        assert_eq!(step(Renewal::Done), Renewal::Failed);
        files.write(&pem);
        assert_eq!(step(Renewal::Failed), Renewal::Done);
        // Its key does not follow.
        std::fs::write(&files.paths.certificate, Pem::new().certificate).unwrap();
        assert_eq!(step(Renewal::Done), Renewal::Failed);
        assert_eq!(step(Renewal::Failed), Renewal::Reported);
        assert_eq!(step(Renewal::Reported), Renewal::Reported);
        assert_eq!(Renewal::Done.step(&tls, true, now()), Renewal::Reported);
        // Another mistake.
        std::fs::write(&files.paths.certificate, "").unwrap();
        assert_eq!(step(Renewal::Reported), Renewal::Failed);
        files.write(&pem);
        assert_eq!(step(Renewal::Reported), Renewal::Done);
    }

    #[test]
    fn an_expired_certificate_in_use_is_no_failed_replacement() {
        let files = Files::of(&Pem::valid(2020, 2021));
        let tls = files.open();
        assert_eq!(Renewal::Done.step(&tls, true, now()), Renewal::Done);
        files.write(&Pem::valid(2020, 2022));
        assert_eq!(Renewal::Done.step(&tls, true, now()), Renewal::Reported);
        assert_eq!(Renewal::Reported.step(&tls, true, now()), Renewal::Reported);
    }

    #[tokio::test]
    async fn work_without_an_end_is_interrupted() {
        let begun = Instant::now();
        let mut steps = 0;
        let endless = repeat(begun + Duration::from_millis(50), || {
            steps += 1;
            std::future::ready(Ok(true))
        });
        let more = tokio::time::timeout(Duration::from_secs(30), endless).await;
        assert!(more.unwrap().unwrap());
        assert!(steps > 0);
        let done = repeat(begun, || std::future::ready(Ok(false))).await;
        assert!(!done.unwrap());
    }

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
