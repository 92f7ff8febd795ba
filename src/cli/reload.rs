//! SIGHUP: reads the configuration again and applies what a running server can change.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::signal::unix::Signal;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::deployment::adjustable;
use super::serve::{check_folders, check_issuer, check_start, limits};
use super::{Failure, output};
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

    /// Reloads at every signal.
    pub(super) async fn run(mut self, mut hangup: Signal) {
        let mut calls = Calls::default();
        while hangup.recv().await.is_some() {
            let (flags, started) = (self.flags.clone(), Arc::clone(&self.started));
            let (applied, app) = (Arc::clone(&self.applied), Arc::clone(&self.app));
            let read = move || read(flags, &started, &applied, app.authority.issuer());
            match calls.run(PATIENCE, read).await {
                Some(Ok(Ok(config))) => self.apply(Arc::new(config)),
                Some(Ok(Err(failure))) => self.refuse(output::lines(&failure)),
                Some(Err(panic)) => self.refuse([panic.to_string()]),
                None => self.refuse([format!(
                    "a file cannot be read within {} seconds: its file system does not respond",
                    PATIENCE.as_secs()
                )]),
            }
        }
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
        self.keys
            .rotate_by(config.keys.algorithm, config.keys.rotate_every);
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
fn read(flags: Flags, started: &Config, applied: &Config, issuer: &str) -> Result<Config, Failure> {
    let config = applied.reload(flags, &|name| std::env::var_os(name))?;
    check_start(&config)?;
    check_folders(&config)?;
    // Another database may have another issuer.
    if config.database == started.database {
        check_issuer(&config, issuer)?;
    }
    Ok(config)
}

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
