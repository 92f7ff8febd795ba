//! Metrics in the OpenMetrics text format: the registry of all components, and the listener that serves it.
//!
//! Metrics are registered under their full names, so that a search for a name finds its registration. The
//! encoder appends `_total` to the name of a counter and `_info` to that of an info.

mod listener;
#[cfg(target_os = "linux")]
mod process;

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::http::App;
use jeton_core::clock::Timestamp;

pub use listener::{router, serve};

/// Returns the registry with the metrics of all components of a server that started at `started`.
pub fn registry(app: &App, started: Timestamp) -> Registry {
    let mut registry = Registry::default();
    about_process(&mut registry, started);
    app.register(&mut registry);
    registry
}

/// Adds the metrics of the process and its version.
fn about_process(registry: &mut Registry, started: Timestamp) {
    registry.register(
        "jeton_build",
        "The version of the server",
        Info::new([("version", env!("CARGO_PKG_VERSION"))]),
    );
    let start_time = Gauge::<f64, AtomicU64>::default();
    start_time.set(seconds(started));
    registry.register(
        "jeton_start_time_seconds",
        "When the server opened its database, in seconds since the Unix epoch",
        start_time,
    );
    #[cfg(target_os = "linux")]
    registry.register_collector(Box::new(process::Process::new(started)));
}

/// Returns an instant in seconds since the Unix epoch.
pub fn seconds(at: Timestamp) -> f64 {
    // Exact for 285,000 years.
    at.millis() as f64 / 1000.0
}
