//! Counts of connections.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::progress::Reason;

/// The metrics of the connections of a listener. Copies share their values.
#[derive(Debug, Clone, Default)]
pub struct ConnectionMetrics {
    open: Gauge,
    limit: Gauge,
    cut: Family<CutLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CutLabels {
    reason: &'static str,
}

impl ConnectionMetrics {
    /// Adds the metrics.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_http_connections",
            "Open connections, with those of streams",
            self.open.clone(),
        );
        registry.register(
            "jeton_http_connections_limit",
            "The maximum number of connections, without those of streams",
            self.limit.clone(),
        );
        registry.register(
            "jeton_http_connections_cut",
            "Connections that the server closed because their client took too long, or to make room for others",
            self.cut.clone(),
        );
        // From the start, so that the first one is an increase.
        for reason in Reason::ALL {
            let labels = CutLabels {
                reason: reason.as_str(),
            };
            drop(self.cut.get_or_create(&labels));
        }
    }

    pub(super) fn set_open(&self, connections: usize) {
        self.open.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    pub(super) fn set_limit(&self, connections: usize) {
        self.limit.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    pub(super) fn count_cut(&self, reason: Reason) {
        let labels = CutLabels {
            reason: reason.as_str(),
        };
        self.cut.get_or_create(&labels).inc();
    }
}
