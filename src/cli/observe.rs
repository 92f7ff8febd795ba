//! What a server finds out about itself for its metrics, in the background: whether it is ready, and how many tokens
//! there are. Apart from the metrics that are counted where something happens, or read when they are collected.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::authority::{ReadyFor, Unready};
use crate::http::App;
use jeton_core::clock::Timestamp;
use jeton_core::token::Status;
use jeton_store::Tally;
use jeton_store::metrics::Labelled;

/// The time between two checks of the readiness.
const CHECKED_EVERY: Duration = Duration::from_secs(5);

/// The time between two counts of all tokens.
const COUNTED_EVERY: Duration = Duration::from_mins(1);

/// The reasons that [`Unready`] has, and the stop.
const REASONS: [&str; 8] = [
    "clock_behind",
    "clock_differs",
    "database_unavailable",
    "forked",
    "index_incomplete",
    "lease_ended",
    "signing_key_missing",
    STOPPING,
];

const STOPPING: &str = "stopping";

/// The metrics. Copies share their values.
#[derive(Debug, Clone, Default)]
pub(super) struct Observed {
    ready: Gauge,
    unready: Labelled<Gauge>,
    tokens: Labelled<Gauge>,
    ending: Labelled<Gauge>,
    sessions: Gauge,
    counted_at: Gauge,
}

impl Observed {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_ready",
            "1 if the server is ready, as /readyz has it, otherwise 0; checked every five seconds",
            self.ready.clone(),
        );
        registry.register(
            "jeton_unready",
            "1 for the reason why the server is not ready, as /readyz has it, 0 for all others",
            self.unready.clone(),
        );
        registry.register(
            "jeton_tokens",
            "Recorded API tokens, by status",
            self.tokens.clone(),
        );
        registry.register(
            "jeton_tokens_ending",
            "Active API tokens that expire within a time and were not rotated",
            self.ending.clone(),
        );
        registry.register("jeton_sessions", "Active sessions", self.sessions.clone());
        registry.register(
            "jeton_tokens_counted_seconds",
            "Unix time at which tokens and sessions were counted last",
            self.counted_at.clone(),
        );
    }

    fn set_reason(&self, reason: Option<&'static str>) {
        self.ready.set(i64::from(reason.is_none()));
        for known in REASONS {
            let is_this = i64::from(reason == Some(known));
            self.unready.get_or_create(&[("reason", known)]).set(is_this);
        }
    }

    fn set_tally(&self, tally: &Tally, at: Timestamp) {
        for (status, count) in [
            (Status::Active, tally.active),
            (Status::Expired, tally.expired),
            (Status::Revoked, tally.revoked),
        ] {
            set(&self.tokens.get_or_create(&[("status", status.as_str())]), count);
        }
        for (within, count) in [
            ("1d", tally.ending_in_a_day),
            ("7d", tally.ending_in_a_week),
            ("30d", tally.ending_in_a_month),
        ] {
            set(&self.ending.get_or_create(&[("within", within)]), count);
        }
        set(&self.sessions, tally.sessions);
        self.counted_at.set(at.seconds());
    }
}

fn set(gauge: &Gauge, count: u64) {
    gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
}

/// Checks the readiness over and over, and logs when it changes: without a load balancer nobody else would ask.
pub(super) async fn check_readiness(app: Arc<App>, observed: Observed) {
    let mut ticks = interval(CHECKED_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was = None;
    loop {
        ticks.tick().await;
        let unready = app.authority.unready(ReadyFor::All).await;
        let reason = if app.is_stopping() {
            Some(STOPPING)
        } else {
            unready.map(Unready::code)
        };
        observed.set_reason(reason);
        match (was, reason) {
            (Some(before), None) => tracing::info!(reason = before, "the server is ready again"),
            (before, Some(reason)) if before != Some(reason) && reason != STOPPING => {
                tracing::error!(reason, "the server is not ready");
            }
            _ => {}
        }
        was = reason;
    }
}

/// Counts all tokens over and over, in portions and with pauses.
pub(super) async fn count_tokens(app: Arc<App>, observed: Observed) {
    loop {
        // A failure is logged by others. The last count stays, and its time tells how old it is.
        if let Ok((tally, at)) = app.authority.tally().await {
            observed.set_tally(&tally, at);
        }
        sleep(COUNTED_EVERY).await;
    }
}
