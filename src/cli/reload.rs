//! SIGHUP: reads the configuration again and applies what a running server can change. Settings in the database are
//! followed without it.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::signal::unix::Signal;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::deployment::adjustable;
use super::serve::{check_folders, check_issuer, check_start, limits};
use super::upkeep::FailureLog;
use super::{Failure, output};
use crate::backend;
use crate::config::changes::{Effect, SETTINGS};
use crate::config::{Config, Flags};
use crate::http::{Adjustable, App};
use crate::keys::KeyRing;
use crate::metrics;
use jeton_core::deployment_clock::DeploymentClock;

/// How long a reload waits for the files.
const PATIENCE: Duration = Duration::from_secs(10);

/// Metrics of the configuration in force.
#[derive(Debug, Default)]
pub(super) struct ReloadMetrics {
    success: Gauge,
    time: Gauge<f64, AtomicU64>,
}

impl ReloadMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_config_last_reload_success",
            "1 if the configuration was valid when it was last read, 0 if it had a mistake and the former one stays",
            self.success.clone(),
        );
        registry.register(
            "jeton_config_last_reload_time_seconds",
            "When the configuration in force was read, in seconds since the Unix epoch",
            self.time.clone(),
        );
    }
}

/// Reloads the configuration of a running server.
pub(super) struct Reload {
    flags: Flags,
    /// The configuration of the start, which holds for settings that need a restart.
    started: Arc<Config>,
    /// The configuration that was applied last.
    applied: Arc<Config>,
    app: Arc<App>,
    keys: Arc<KeyRing>,
    clock: Arc<DeploymentClock>,
    pub(super) metrics: ReloadMetrics,
}

/// How often it is looked whether the settings in the database have changed.
const LOOK: Duration = Duration::from_secs(1);

/// What is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The file, and the settings in the database.
    Everything,
    /// The settings in the database alone: nobody has said that the file is ready.
    Stored,
}

impl Reload {
    pub(super) fn new(
        flags: Flags,
        config: Arc<Config>,
        app: Arc<App>,
        keys: Arc<KeyRing>,
        clock: Arc<DeploymentClock>,
    ) -> Self {
        let reload = Self {
            flags,
            started: Arc::clone(&config),
            applied: config,
            app,
            keys,
            clock,
            metrics: ReloadMetrics::default(),
        };
        reload.succeeded();
        reload
    }

    /// Reloads at every signal, and when the settings in the database have changed.
    pub(super) async fn run(mut self, mut hangup: Signal) {
        let mut calls = Calls::default();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failures = FailureLog::default();
        loop {
            let wanted = tokio::select! {
                signal = hangup.recv() => match signal {
                    Some(()) => Wanted::Everything,
                    None => return,
                },
                _ = ticks.tick() => Wanted::Stored,
            };
            if wanted == Wanted::Stored && !self.has_changed() {
                continue;
            }
            let (flags, started) = (self.flags.clone(), Arc::clone(&self.started));
            let (applied, app) = (Arc::clone(&self.applied), Arc::clone(&self.app));
            let read = move || read(wanted, flags, &started, &applied, app.authority.issuer());
            let outcome = match calls.run(PATIENCE, read).await {
                Some(Ok(read)) => read.map_err(|failure| Refusal(output::lines(&failure))),
                Some(Err(panic)) => Err(Refusal(vec![panic.to_string()])),
                None => Err(Refusal(vec![format!(
                    "a file cannot be read within {} seconds: its file system does not respond",
                    PATIENCE.as_secs()
                )])),
            };
            match (outcome, wanted) {
                (Ok(config), Wanted::Stored) if !self.differs(&config) => {
                    failures.record(STORED_REFUSED, Ok::<_, Refusal>(()));
                    self.rotate_by(&config);
                    self.applied = Arc::new(config);
                    self.metrics.success.set(1);
                }
                (Ok(config), _) => {
                    failures.record(STORED_REFUSED, Ok::<_, Refusal>(()));
                    self.apply(Arc::new(config));
                }
                (Err(Refusal(mistakes)), Wanted::Everything) => self.refuse(mistakes),
                (refusal, Wanted::Stored) => {
                    self.metrics.success.set(0);
                    failures.record(STORED_REFUSED, refusal);
                }
            }
        }
    }

    /// Returns whether the settings in the database may have changed since they were read.
    fn has_changed(&self) -> bool {
        let known = Some(self.app.authority.settings_generation());
        self.started.database.file().is_none() && known != self.applied.stored
    }

    fn rotate_by(&self, config: &Config) {
        let keys = &config.keys;
        self.keys
            .rotate_by(keys.algorithm, keys.rotate_every, config.stored);
    }

    fn differs(&self, config: &Config) -> bool {
        SETTINGS
            .iter()
            .any(|setting| setting.differs(&self.applied, config))
    }

    fn refuse(&self, mistakes: impl IntoIterator<Item = String>) {
        for mistake in mistakes {
            tracing::error!(mistake, "the configuration is refused");
        }
        tracing::error!("the configuration is not reloaded: the former one stays in force");
        self.metrics.success.set(0);
    }

    fn apply(&mut self, config: Arc<Config>) {
        let authority = &self.app.authority;
        authority.adjust(adjustable(&config, authority.issuer()));
        let rate_limits = self
            .app
            .adjustable
            .load()
            .rate_limits
            .adjusted(config.rate_limits);
        self.app.adjustable.store(Arc::new(Adjustable {
            limits: limits(&config.limits),
            trusted_proxies: config.trusted_proxies.clone(),
            rate_limits,
            log_requests: config.log.requests,
        }));
        self.rotate_by(&config);
        for setting in SETTINGS {
            let name = setting.name;
            match setting.effect {
                Effect::AtOnce if setting.differs(&self.applied, &config) => {
                    tracing::info!(setting = name, "setting changed");
                }
                Effect::AtRestart if setting.differs(&self.started, &config) => {
                    tracing::warn!(setting = name, "setting changed, but not before a restart");
                }
                Effect::AtOnce | Effect::AtRestart => {}
            }
        }
        tracing::info!("configuration reloaded");
        self.applied = config;
        self.succeeded();
    }

    fn succeeded(&self) {
        self.metrics.success.set(1);
        self.metrics.time.set(metrics::seconds(self.clock.now()));
    }
}

/// Reads the configuration again, and refuses what the next start would refuse.
fn read(
    wanted: Wanted,
    flags: Flags,
    started: &Config,
    applied: &Config,
    issuer: &str,
) -> Result<Config, Failure> {
    let environment = &|name: &str| std::env::var_os(name);
    let read_again = match wanted {
        Wanted::Everything => Some(applied.reload(flags.clone(), environment)?),
        Wanted::Stored => None,
    };
    // Those of the database in use: another one is for the next start.
    let stored = Handle::current().block_on(backend::settings(started))?;
    let config = match (read_again, stored) {
        (Some(config), None) => config,
        (config, stored) => {
            let file = config.as_ref().unwrap_or(applied);
            file.with_stored(flags, environment, &stored.unwrap_or_default())?
        }
    };
    if wanted == Wanted::Everything {
        check_start(&config)?;
        check_folders(&config)?;
        // Another database may have another issuer.
        if config.database == started.database {
            check_issuer(&config, issuer)?;
        }
    }
    Ok(config)
}

/// Why a configuration is not applied: one text for each mistake.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
struct Refusal(Vec<String>);

/// What is logged of settings in the database that cannot be read or applied.
const STORED_REFUSED: &str =
    "changed settings in the database are not applied: the former ones stay in force";

/// Calls that may block for ever, one at a time: each takes a thread until it ends.
struct Calls<T>(Option<JoinHandle<T>>);

impl<T> Default for Calls<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Send + 'static> Calls<T> {
    /// Returns the outcome of a call; `None` if it takes longer than `patience`, or while an earlier one blocks.
    async fn run(
        &mut self,
        patience: Duration,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Result<T, JoinError>> {
        if self.0.as_ref().is_some_and(|earlier| !earlier.is_finished()) {
            return None;
        }
        let mut call = spawn_blocking(call);
        let ended = timeout(patience, &mut call).await.ok();
        self.0 = ended.is_none().then_some(call);
        ended
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_call_that_blocks_is_given_up_and_no_other_is_begun_beside_it() {
        let mut calls = Calls::default();
        let (end, ended) = mpsc::channel::<()>();
        let short = Duration::from_millis(1);
        let blocked = calls.run(short, move || ended.recv().is_ok()).await;
        assert!(blocked.is_none());
        assert!(calls.run(PATIENCE, || true).await.is_none());
        end.send(()).unwrap();
        while calls.0.as_ref().is_some_and(|call| !call.is_finished()) {
            tokio::task::yield_now().await;
        }
        assert!(calls.run(PATIENCE, || true).await.unwrap().unwrap());
    }
}
