//! Counts and durations of requests, by operation.
//!
//! Labels have few values: the five APIs, the operations of the OpenAPI documents and `none`, and statuses. Looking
//! a label set up in a family takes six times as long as counting, so each operation keeps its handles.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use utoipa::openapi::{OpenApi, PathItem};

use crate::http::api::Api;

/// The upper bounds of the durations, in seconds.
const DURATIONS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The statuses of responses. Others are counted too, more slowly.
const STATUSES: [u16; 25] = [
    200, 201, 202, 204, 302, 303, 304, 308, 400, 401, 403, 404, 405, 406, 409, 410, 413, 415, 422, 429, 499,
    500, 501, 503, 504,
];

/// The operation of a request that matches none.
const NONE: &str = "none";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    surface: &'static str,
    operation: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    surface: &'static str,
    operation: String,
    status: u16,
}

/// The metrics of all requests.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<OperationLabels, Histogram, fn() -> Histogram>,
    pub(super) in_flight: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            in_flight: Gauge::default(),
        }
    }
}

impl Metrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_http_requests",
            "Requests by API, operation and status; 499 if the client closed the connection before the response",
            self.requests.clone(),
        );
        registry.register(
            "jeton_http_request_duration_seconds",
            "The time from the end of a request's headers to the start of its response",
            self.durations.clone(),
        );
        registry.register(
            "jeton_http_requests_in_flight",
            "Requests whose response has not started",
            self.in_flight.clone(),
        );
    }
}

/// The operations of an API, by route and method.
#[derive(Debug)]
pub(in crate::http) struct Operations {
    routes: HashMap<String, Route, foldhash::fast::RandomState>,
    none: Operation,
}

#[derive(Debug, Default)]
struct Route {
    methods: Vec<(Method, Operation)>,
    /// Answers all other methods.
    others: Option<Operation>,
}

/// An operation, with the handles of its metrics.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) surface: &'static str,
    pub(super) name: String,
    metrics: Metrics,
    duration: OnceLock<Histogram>,
    statuses: [OnceLock<Counter>; STATUSES.len()],
}

impl Operations {
    /// Returns the operations of a document. `everywhere` has the routes that answer every method, each with the id
    /// of its operation.
    pub(in crate::http) fn new(
        api: Api,
        document: &OpenApi,
        everywhere: &[(&str, &str)],
        metrics: &super::Requests,
    ) -> Self {
        let operation = |name: &str| Operation::new(api.as_str(), name, &metrics.metrics);
        let mut routes: HashMap<String, Route, _> = HashMap::default();
        for (path, item) in &document.paths.paths {
            let methods = named(item).map(|(method, name)| (method, operation(name)));
            routes.entry(path.clone()).or_default().methods.extend(methods);
        }
        for (path, name) in everywhere {
            routes.entry((*path).to_owned()).or_default().others = Some(operation(name));
        }
        Self {
            routes,
            none: operation(NONE),
        }
    }

    /// Returns the operation of a request by its method and its route.
    pub(super) fn find(&self, method: &Method, route: Option<&str>) -> &Operation {
        self.find_documented(method, route).unwrap_or(&self.none)
    }

    fn find_documented(&self, method: &Method, route: Option<&str>) -> Option<&Operation> {
        let route = self.routes.get(route?)?;
        let of_method = |wanted: &Method| {
            let mut methods = route.methods.iter();
            methods.find_map(|(method, operation)| (method == wanted).then_some(operation))
        };
        let found = of_method(method).or(route.others.as_ref());
        match *method {
            // The router answers HEAD by the handler of GET.
            Method::HEAD => found.or_else(|| of_method(&Method::GET)),
            _ => found,
        }
    }
}

/// Returns the methods of a path with the ids of their operations.
fn named(item: &PathItem) -> impl Iterator<Item = (Method, &str)> {
    let methods = [
        (Method::GET, &item.get),
        (Method::HEAD, &item.head),
        (Method::POST, &item.post),
        (Method::PUT, &item.put),
        (Method::PATCH, &item.patch),
        (Method::DELETE, &item.delete),
    ];
    methods.into_iter().filter_map(|(method, operation)| {
        let name = operation.as_ref()?.operation_id.as_deref()?;
        Some((method, name))
    })
}

impl Operation {
    fn new(surface: &'static str, name: &str, metrics: &Metrics) -> Self {
        Self {
            surface,
            name: name.to_owned(),
            metrics: metrics.clone(),
            duration: OnceLock::new(),
            statuses: [const { OnceLock::new() }; STATUSES.len()],
        }
    }

    /// Returns whether this reports the state of the server, for which 503 is no failure.
    pub(super) fn is_probe(&self) -> bool {
        self.name == "readiness"
    }

    /// Counts a request.
    pub(super) fn observe(&self, status: StatusCode, took: Duration) {
        let durations = || {
            let labels = OperationLabels {
                surface: self.surface,
                operation: self.name.clone(),
            };
            self.metrics.durations.get_or_create_owned(&labels)
        };
        self.duration.get_or_init(durations).observe(took.as_secs_f64());
        let status = status.as_u16();
        let count = || {
            let labels = RequestLabels {
                surface: self.surface,
                operation: self.name.clone(),
                status,
            };
            self.metrics.requests.get_or_create_owned(&labels)
        };
        let handle = STATUSES
            .iter()
            .zip(&self.statuses)
            .find(|(known, _)| **known == status);
        match handle {
            Some((_, handle)) => handle.get_or_init(count).inc(),
            None => count().inc(),
        };
    }
}
