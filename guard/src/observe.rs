//! Probes and metrics.

use std::fmt::Display;
use std::fmt::Write as _;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use jeton_verifier::{Source, Status, Verifier};
use serde::Serialize;
use tokio::time::sleep;

use crate::answer::Guard;
use crate::refusal::{Answer, json, text};

/// The text format of Prometheus.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// The reason if the verifier names none.
const NOT_READY: &str = "not ready";

#[derive(Serialize)]
struct Health<'a> {
    /// `ok`, or why not.
    status: &'a str,
    /// What will make it not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'a str>,
}

/// Returns 200 as long as the process runs.
pub(crate) fn health() -> Answer {
    json(
        StatusCode::OK,
        &Health {
            status: "ok",
            warning: None,
        },
    )
}

/// Returns 503 while a rule that fails closed would refuse every token.
pub(crate) fn readiness(guard: &Guard) -> Answer {
    let status = guard.verifier.status();
    let problem = status.problem.as_deref();
    if status.is_ready {
        let health = Health {
            status: "ok",
            warning: problem,
        };
        return json(StatusCode::OK, &health);
    }
    let health = Health {
        status: problem.unwrap_or(NOT_READY),
        warning: None,
    };
    json(StatusCode::SERVICE_UNAVAILABLE, &health)
}

/// How often readiness is looked at for the log.
const LOOK: Duration = Duration::from_secs(1);

/// Logs that the verifier is ready, and each time that it is no longer or again. It never ends.
pub async fn log_readiness(verifier: Verifier) {
    loop {
        verifier.ready().await;
        tracing::info!("ready");
        // Nothing happens when knowledge becomes too old.
        let status = loop {
            sleep(LOOK).await;
            let status = verifier.status();
            if !status.is_ready {
                break status;
            }
        };
        let problem = status.problem.as_deref().unwrap_or(NOT_READY);
        tracing::warn!("refusing tokens: {problem}");
    }
}

pub(crate) fn metrics(guard: &Guard) -> Answer {
    text(
        StatusCode::OK,
        METRICS,
        exposition(guard, &guard.verifier.status()),
    )
}

fn exposition(guard: &Guard, status: &Status) -> String {
    let mut metrics = Metrics::default();
    metrics.one(
        "ready",
        "gauge",
        "Whether the guard accepts tokens",
        Some(u8::from(status.is_ready)),
    );
    metrics.one(
        "staleness_seconds",
        "gauge",
        "How old the knowledge about revocations is; absent while nothing is known",
        status.staleness.map(|age| age.as_secs_f64()),
    );
    metrics.family(
        "feed_sequence",
        "gauge",
        "The number of the latest known event of the revocation feed, by the epoch of the authority's database",
    );
    if let Some(position) = status.position {
        let labels = format!("{{epoch=\"{}\"}}", position.epoch);
        metrics.sample("feed_sequence", &labels, position.sequence);
    }
    metrics.one(
        "stream_connected",
        "gauge",
        "Whether revocations arrive by the stream, within milliseconds; 0 while the authority cannot be reached",
        Some(u8::from(status.source == Source::Stream)),
    );
    metrics.one(
        "reconnects_total",
        "counter",
        "How often the stream was connected again",
        Some(status.reconnects),
    );
    metrics.one(
        "restarts_total",
        "counter",
        "How often the guard started again from a snapshot",
        Some(status.restarts),
    );
    metrics.one(
        "fetch_errors_total",
        "counter",
        "How many requests to the authority failed",
        Some(status.fetch_errors),
    );
    metrics.one(
        "token_expires_timestamp_seconds",
        "gauge",
        "When the guard's own token expires; absent if it has none or one that never does",
        status.token_expires_at,
    );
    metrics.one(
        "cached_tokens",
        "gauge",
        "The number of cached tokens",
        Some(status.cached_tokens),
    );
    metrics.one(
        "accepted_if_unknown_total",
        "counter",
        "How many tokens were accepted while their revocation was unknown",
        Some(status.accepted_if_unknown),
    );
    metrics.one(
        "unreported_uses_total",
        "counter",
        "How many uses of tokens could not be reported to the authority",
        Some(status.unreported_uses),
    );
    metrics.family("verdicts_total", "counter", "Verdicts on requests by rule");
    let mut checks: Vec<_> = guard.checks.iter().collect();
    checks.sort_unstable_by_key(|(name, _)| *name);
    for (name, check) in checks {
        for (verdict, count) in check.verdicts.counts() {
            let labels = format!("{{rule=\"{name}\",verdict=\"{verdict}\"}}");
            metrics.sample("verdicts_total", &labels, count);
        }
    }
    metrics.family(
        "introspections_total",
        "counter",
        "Verdicts on introspected tokens",
    );
    for (verdict, count) in guard.introspection.verdicts.counts() {
        metrics.sample(
            "introspections_total",
            &format!("{{verdict=\"{verdict}\"}}"),
            count,
        );
    }
    metrics.text
}

/// Writes metrics whose names begin with `jeton_guard_`. Labels contain only UUIDs and names of rules and
/// verdicts, which need no escapes.
#[derive(Default)]
struct Metrics {
    text: String,
}

impl Metrics {
    fn one(&mut self, name: &str, kind: &str, help: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.family(name, kind, help);
            self.sample(name, "", value);
        }
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(
            self.text,
            "# HELP jeton_guard_{name} {help}\n# TYPE jeton_guard_{name} {kind}"
        );
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = writeln!(self.text, "jeton_guard_{name}{labels} {value}");
    }
}
