//! Metrics of the operations.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jeton_verifier::{Malformed, Rejection};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::authority::concurrency::ConcurrencyLimit;
use crate::authority::token_cache::TokenCache;
use crate::authority::{Authority, Error, Inactive};
use crate::keys::KeyMetrics;
use jeton_core::token::{OwnerKind, TokenKind};
use jeton_store::metrics::{Labelled, gauge};

/// Upper bounds of the time in which a status list is rendered, in seconds.
const SECONDS: [f64; 11] = [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// How people log in.
const PASSWORD: &str = "password";

/// The reasons for which tokens are refused, so that each is exported from the start.
const REFUSALS: [Inactive; 11] = [
    Inactive::Rejected(Rejection::Malformed(Malformed::TooLong)),
    Inactive::Rejected(Rejection::UnknownKey),
    Inactive::Rejected(Rejection::WrongAlgorithm),
    Inactive::Rejected(Rejection::BadSignature),
    Inactive::Rejected(Rejection::WrongType),
    Inactive::Rejected(Rejection::WrongIssuer),
    Inactive::Rejected(Rejection::WrongAudience),
    Inactive::Rejected(Rejection::Expired),
    Inactive::Unknown,
    Inactive::Gone,
    Inactive::Revoked,
];

type TwoLabels = [(&'static str, &'static str); 2];

/// The counters of operations, each looked up once. Copies share their values.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    issued: Family<TwoLabels, Counter>,
    sessions: Counter,
    of_users: Counter,
    of_teams: Counter,
    of_organizations: Counter,
    of_deployment: Counter,
    revoked: Labelled<Counter>,
    /// Tokens revoked by a request of somebody who manages them.
    pub(super) by_request: Counter,
    /// By presenting the token itself: a logout, the holder's own revocation, or RFC 7009.
    pub(super) by_presenting: Counter,
    /// By a rotation, at the end of its grace period or at once.
    pub(super) by_rotation: Counter,
    /// By another token in the same slot.
    pub(super) by_slot: Counter,
    /// By a bulk revocation, those of a new policy included.
    pub(super) by_bulk: Counter,
    refused: Labelled<Counter>,
    logins: Family<TwoLabels, Counter>,
    introspections: Labelled<Counter>,
    introspected_active: Counter,
    introspected_inactive: Counter,
    authorizations: Labelled<Counter>,
    allowed: Counter,
    denied: Counter,
    renders: Histogram,
    bulk: Labelled<Gauge>,
    /// The bulk revocations that are carried out.
    pub(super) bulk_running: Gauge,
    /// Those that failed and wait for another attempt.
    pub(super) bulk_failing: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let issued = Family::<TwoLabels, Counter>::default();
        let issued_to = |kind, owner| issued.get_or_create_owned(&[("kind", kind), ("owner", owner)]);
        let revoked = Labelled::<Counter>::default();
        let revoked_by = |cause| revoked.get_or_create_owned(&[("cause", cause)]);
        let refused = Labelled::<Counter>::default();
        for reason in REFUSALS {
            let _ = refused.get_or_create_owned(&[("reason", reason.name())]);
        }
        let logins = Family::<TwoLabels, Counter>::default();
        for result in ["success", "failure", "throttled", "error"] {
            let _ = logins.get_or_create_owned(&[("method", PASSWORD), ("result", result)]);
        }
        let introspections = Labelled::<Counter>::default();
        let authorizations = Labelled::<Counter>::default();
        let bulk = Labelled::<Gauge>::default();
        Self {
            sessions: issued_to("session", "user"),
            of_users: issued_to("api", "user"),
            of_teams: issued_to("api", "team"),
            of_organizations: issued_to("api", "organization"),
            of_deployment: issued_to("api", "deployment"),
            by_request: revoked_by("request"),
            by_presenting: revoked_by("presenting"),
            by_rotation: revoked_by("rotation"),
            by_slot: revoked_by("slot"),
            by_bulk: revoked_by("bulk"),
            introspected_active: introspections.get_or_create_owned(&[("active", "true")]),
            introspected_inactive: introspections.get_or_create_owned(&[("active", "false")]),
            allowed: authorizations.get_or_create_owned(&[("result", "allowed")]),
            denied: authorizations.get_or_create_owned(&[("result", "denied")]),
            renders: Histogram::new(SECONDS),
            bulk_running: bulk.get_or_create_owned(&[("state", "running")]),
            bulk_failing: bulk.get_or_create_owned(&[("state", "failing")]),
            issued,
            revoked,
            refused,
            logins,
            introspections,
            authorizations,
            bulk,
        }
    }
}

impl Metrics {
    /// Counts a token that is recorded.
    pub(super) fn issued(&self, kind: TokenKind, owner: OwnerKind) {
        let counter = match (kind, owner) {
            (TokenKind::Session, _) => &self.sessions,
            (TokenKind::Api, OwnerKind::User) => &self.of_users,
            (TokenKind::Api, OwnerKind::Team) => &self.of_teams,
            (TokenKind::Api, OwnerKind::Organization) => &self.of_organizations,
            (TokenKind::Api, OwnerKind::Deployment) => &self.of_deployment,
        };
        counter.inc();
    }

    /// Counts a presented token that is not active.
    pub(super) fn refused(&self, reason: Inactive) {
        self.refused.get_or_create(&[("reason", reason.name())]).inc();
    }

    /// Counts an attempt to log in with a password.
    pub(super) fn logged_in<T>(&self, outcome: &Result<T, Error>) {
        let result = match outcome {
            Ok(_) => "success",
            Err(Error::BadLogin) => "failure",
            Err(Error::LockedOut { .. }) => "throttled",
            Err(_) => "error",
        };
        self.logins
            .get_or_create(&[("method", PASSWORD), ("result", result)])
            .inc();
    }

    /// Counts an introspection.
    pub(super) fn introspected<T>(&self, active: Option<T>) {
        let counter = match active {
            Some(_) => &self.introspected_active,
            None => &self.introspected_inactive,
        };
        counter.inc();
    }

    /// Counts a request of forward-auth with an active token.
    pub(super) fn authorized<T>(&self, outcome: &Result<T, Error>) {
        let counter = match outcome {
            Ok(_) => &self.allowed,
            Err(_) => &self.denied,
        };
        counter.inc();
    }

    /// Counts a status list that was rendered.
    pub(super) fn rendered(&self, took: Duration) {
        self.renders.observe(took.as_secs_f64());
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_tokens_issued",
            "Tokens recorded, by kind and by owner",
            self.issued.clone(),
        );
        registry.register(
            "jeton_tokens_revoked",
            "Tokens revoked one by one, by cause; cut-offs are not included",
            self.revoked.clone(),
        );
        registry.register(
            "jeton_tokens_refused",
            "Presented tokens that were not active, by reason",
            self.refused.clone(),
        );
        registry.register(
            "jeton_logins",
            "Attempts to log in, by method and result",
            self.logins.clone(),
        );
        registry.register(
            "jeton_introspections",
            "Introspected tokens, by the answer",
            self.introspections.clone(),
        );
        registry.register(
            "jeton_authorizations",
            "Requests of forward-auth with an active token, by the answer",
            self.authorizations.clone(),
        );
        registry.register(
            "jeton_status_list_render_duration_seconds",
            "Time in which a status list was compressed and signed",
            self.renders.clone(),
        );
        registry.register(
            "jeton_bulk_revocations",
            "Bulk revocations that are not finished, by state",
            self.bulk.clone(),
        );
    }
}

impl Authority {
    /// Registers the metrics of the operations, the keys, the revocation index and the store.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
        self.audit.register(registry);
        self.active.tokens().register(registry);
        self.index.register_metrics(registry);
        self.store.register_metrics(registry);
        registry.register_collector(Box::new(KeyMetrics::new(&self.keys)));
        registry.register_collector(Box::new(Gauges {
            tokens: Arc::clone(self.active.tokens()),
            passwords: self.passwords.limit().clone(),
        }));
    }
}

/// What is read when metrics are collected.
#[derive(Debug)]
struct Gauges {
    tokens: Arc<TokenCache>,
    passwords: ConcurrencyLimit,
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let waiting = self.passwords.waiting();
        gauge(
            encoder,
            "jeton_password_checks_waiting",
            "Passwords that wait to be hashed; each log-in needs one",
            waiting,
        )?;
        gauge(
            encoder,
            "jeton_token_cache_entries",
            "Verified tokens in the cache",
            self.tokens.len(),
        )?;
        gauge(
            encoder,
            "jeton_token_cache_bytes",
            "Memory of the cache of verified tokens",
            self.tokens.bytes(),
        )
    }
}
