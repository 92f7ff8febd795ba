//! SIGHUP: reads the configuration again and applies what a running server can change.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::signal::unix::Signal;

use super::deployment::adjustable;
use super::serve::limits;
use crate::config::changes::{Effect, SETTINGS};
use crate::config::{Config, Flags, Mistakes};
use crate::http::{Adjustable, App};
use crate::keys::KeyRing;
use crate::metrics;
use jeton_core::deployment_clock::DeploymentClock;

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
        while hangup.recv().await.is_some() {
            let flags = self.flags.clone();
            let read = || Config::load(flags, &|name| std::env::var_os(name));
            match tokio::task::spawn_blocking(read).await {
                Ok(Ok(config)) => self.apply(Arc::new(config)),
                Ok(Err(mistakes)) => self.refuse(&mistakes),
                Err(error) => tracing::error!(%error, "the configuration cannot be read"),
            }
        }
    }

    fn refuse(&self, mistakes: &Mistakes) {
        for mistake in mistakes.iter() {
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
