//! The number of open streams, their end at a shutdown, and their metrics.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use jeton_core::directory::OrganizationId;
use jeton_store::metrics::{Labelled, gauge};

/// Upper bounds of the time until an event is handed to a stream, in seconds.
const SECONDS: [f64; 11] = [
    0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];

/// How many streams of the audit there may be at once: of an organization, or of those who see all lines.
const AUDIT_STREAMS_OF_ONE: usize = 8;

/// How many streams of the audit there may be at once in all.
const AUDIT_STREAMS: usize = 256;

/// The open streams. They are counted apart from other connections: many followers leave room for requests.
#[derive(Debug)]
pub struct Streams {
    permits: Arc<Semaphore>,
    most: usize,
    /// The open streams of the audit, by organization; `None`: those of all lines.
    audit: Arc<Mutex<HashMap<Option<OrganizationId>, usize>>>,
    stopping: watch::Sender<bool>,
    metrics: Metrics,
}

/// What became of streams and their events. Copies share their values.
#[derive(Debug, Clone)]
struct Metrics {
    delivery: Histogram,
    ended: Labelled<Counter>,
    /// Ended by this server: at its stop, or because the token of the client ended.
    ended_here: Counter,
    /// Left by the client, or cut since it took nothing.
    ended_there: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let ended = Labelled::<Counter>::default();
        Self {
            delivery: Histogram::new(SECONDS),
            ended_here: ended.get_or_create_owned(&[("by", "server")]),
            ended_there: ended.get_or_create_owned(&[("by", "client")]),
            ended,
        }
    }
}

/// The right to one stream of the audit.
#[derive(Debug)]
pub(super) struct AuditPermit {
    open: Arc<Mutex<HashMap<Option<OrganizationId>, usize>>>,
    organization: Option<OrganizationId>,
    pub(super) stopping: Stopping,
}

impl Drop for AuditPermit {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.organization) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.organization);
            }
        }
    }
}

/// The end of the server, for a stream.
#[derive(Debug)]
pub(super) struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Waits until the server stops.
    pub(super) async fn wait(&mut self) {
        // An error means that the server is gone.
        let _ = self.0.wait_for(|stopping| *stopping).await;
    }
}

/// The right to one stream of the feed.
#[derive(Debug)]
pub(super) struct Permit {
    _permit: OwnedSemaphorePermit,
    pub(super) stopping: Stopping,
    metrics: Metrics,
    is_ended: bool,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let counter = if self.is_ended {
            &self.metrics.ended_here
        } else {
            &self.metrics.ended_there
        };
        counter.inc();
    }
}

impl Streams {
    /// Allows a number of streams at once.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(most)),
            most,
            audit: Arc::default(),
            stopping: watch::Sender::new(false),
            metrics: Metrics::default(),
        })
    }

    /// Registers the metrics of the streams.
    pub fn register_metrics(self: &Arc<Self>, registry: &mut Registry) {
        registry.register(
            "jeton_feed_delivery_seconds",
            "Time from an event in memory until it is handed to the connection of a follower",
            self.metrics.delivery.clone(),
        );
        registry.register(
            "jeton_feed_streams_ended",
            "Streams of the feed that have ended, by who ended them",
            self.metrics.ended.clone(),
        );
        registry.register_collector(Box::new(Gauges(Arc::clone(self))));
    }

    /// Returns how many streams of the feed there may be.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Returns how many connections streams may have in addition to other requests.
    pub fn most_connections(&self) -> usize {
        self.most.saturating_add(AUDIT_STREAMS)
    }

    /// Returns how many connections streams have.
    pub fn connections(&self) -> usize {
        self.open().saturating_add(self.open_audit())
    }

    /// Returns how many streams of the audit there are.
    fn open_audit(&self) -> usize {
        let audit = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        audit.values().sum()
    }

    /// Returns how many streams of the feed there are.
    pub fn open(&self) -> usize {
        self.most.saturating_sub(self.permits.available_permits())
    }

    /// Returns the right to one stream of the audit of an organization, or of all lines; `None` if there are as many as
    /// allowed, or the server stops.
    pub(super) fn audit_permit(&self, organization: Option<OrganizationId>) -> Option<AuditPermit> {
        let stopping = self.stopping.subscribe();
        if *stopping.borrow() {
            return None;
        }
        let mut open = self.audit.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = open.get(&organization).copied().unwrap_or(0);
        if of_one >= AUDIT_STREAMS_OF_ONE || open.values().sum::<usize>() >= AUDIT_STREAMS {
            return None;
        }
        open.insert(organization, of_one + 1);
        Some(AuditPermit {
            open: Arc::clone(&self.audit),
            organization,
            stopping: Stopping(stopping),
        })
    }

    /// Returns the right to one stream of the feed; `None` if there are as many as allowed, or the server stops.
    pub(super) fn permit(&self) -> Option<Permit> {
        let stopping = self.stopping.subscribe();
        if *stopping.borrow() {
            return None;
        }
        Some(Permit {
            _permit: Arc::clone(&self.permits).try_acquire_owned().ok()?,
            stopping: Stopping(stopping),
            metrics: self.metrics.clone(),
            is_ended: false,
        })
    }

    /// Ends all streams, and allows no further ones.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }
}

/// What is read when metrics are collected.
#[derive(Debug)]
struct Gauges(Arc<Streams>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(streams) = self;
        gauge(
            &mut encoder,
            "jeton_feed_subscribers",
            "Clients that follow the revocation feed by a stream",
            streams.open(),
        )?;
        gauge(
            &mut encoder,
            "jeton_feed_subscribers_limit",
            "Streams that may be open at once",
            streams.most(),
        )?;
        gauge(
            &mut encoder,
            "jeton_audit_subscribers",
            "Clients that follow the audit by a stream",
            streams.open_audit(),
        )?;
        gauge(
            &mut encoder,
            "jeton_audit_subscribers_limit",
            "Streams of the audit that may be open at once",
            AUDIT_STREAMS,
        )
    }
}

impl Permit {
    /// Counts events that are handed to the stream now, the first of which the server has known since an instant.
    pub(super) fn delivered(&self, since: Instant) {
        self.metrics.delivery.observe(since.elapsed().as_secs_f64());
    }

    /// Notes that the server ends the stream.
    pub(super) fn end(&mut self) {
        self.is_ended = true;
    }
}
