//! What is observed of every request: its id, its metrics, and its line in the log.

mod context;
mod id;
mod line;
mod metrics;

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use prometheus_client::registry::Registry;
use uuid::Uuid;

use self::context::{within, within_sync};
use self::id::Ids;
use self::line::RequestLog;
use self::metrics::Metrics;
use crate::config::LogRequests;
use crate::http::api::Api;

pub(crate) use self::context::RequestContext;
pub(super) use self::context::spawn;
pub(super) use self::id::REQUEST_ID;
pub(super) use self::metrics::Operations;

/// What all requests share.
#[derive(Debug)]
pub(super) struct Requests {
    ids: Ids,
    metrics: Metrics,
    log: RequestLog,
}

impl Requests {
    /// Creates it. `random` makes the ids of requests unique across servers.
    pub(super) fn new(random: Uuid) -> Self {
        Self {
            ids: Ids::new(random),
            metrics: Metrics::default(),
            log: RequestLog::default(),
        }
    }

    /// Adds the metrics of requests.
    pub(super) fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Handles a request with a future that `handle` returns, counts it, and returns its response with its id, and what
    /// is known of it.
    pub(super) async fn observe<F: Future<Output = Response>>(
        &self,
        api: Api,
        operations: &Operations,
        log: LogRequests,
        mut request: Request,
        handle: impl FnOnce(Request) -> F,
    ) -> (Response, Arc<RequestContext>) {
        let context = Arc::new(RequestContext::new(api, request.headers(), &self.ids));
        request.extensions_mut().insert(Arc::clone(&context));
        self.metrics.in_flight.inc();
        let observed = Observed {
            requests: self,
            operations,
            log,
            method: request.method().clone(),
            context: Arc::clone(&context),
            begun: Instant::now(),
            status: None,
        };
        let mut response = within(Arc::clone(&context), handle(request)).await;
        response.headers_mut().insert(REQUEST_ID, context.id.clone());
        observed.answered(response.status());
        (response, context)
    }
}

/// A request that is being handled. It is counted when this is dropped, also if the client has gone away.
struct Observed<'r> {
    requests: &'r Requests,
    operations: &'r Operations,
    log: LogRequests,
    method: Method,
    context: Arc<RequestContext>,
    begun: Instant,
    status: Option<StatusCode>,
}

impl Observed<'_> {
    fn answered(mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Returns the status that is counted for a request without a response.
    fn unanswered() -> StatusCode {
        match std::thread::panicking() {
            true => StatusCode::INTERNAL_SERVER_ERROR,
            // As nginx has it: the client closed the connection.
            false => StatusCode::from_u16(499).unwrap_or(StatusCode::REQUEST_TIMEOUT),
        }
    }
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        let status = self.status.unwrap_or_else(Self::unanswered);
        let route = self.context.route.get().map(MatchedPath::as_str);
        let operation = self.operations.find(&self.method, route);
        self.requests.metrics.in_flight.dec();
        operation.observe(status, took);
        let log = || {
            let line = &self.requests.log;
            line.write(self.log, operation, status, took, &self.context);
        };
        within_sync(Arc::clone(&self.context), log);
    }
}
