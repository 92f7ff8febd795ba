//! What is known of a request while it is handled, for its response and for the log.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue};

use super::id::{self, Ids};
use crate::authority::Active;
use crate::http::api::Api;
use crate::http::{App, Failure};

tokio::task_local! {
    /// The request that the current task handles, for the lines that it writes into the log. Everything else finds
    /// the context in the extensions of the request.
    ///
    /// Far cheaper than a span of `tracing`, which stores its fields as text for each request, and there at every
    /// level of the log.
    static CURRENT: Arc<RequestContext>;
}

/// What is known of a request.
pub(crate) struct RequestContext {
    pub(in crate::http) api: Api,
    /// The value of `X-Request-Id`, in the request or drawn.
    pub(super) id: HeaderValue,
    /// The trace of a valid `traceparent` (W3C Trace Context), as 32 hexadecimal digits.
    pub(super) trace_id: Option<[u8; 32]>,
    /// The route, if one matches.
    pub(in crate::http) route: OnceLock<MatchedPath>,
    /// The caller's token, once it has been authenticated.
    pub(in crate::http) caller: OnceLock<Active>,
    /// The address of a caller.
    pub(in crate::http) address: OnceLock<IpAddr>,
    /// The server, if the request can revoke tokens.
    pub(in crate::http) writes: OnceLock<Arc<App>>,
    /// The body of a valid form, for the violations that an operation finds.
    pub(in crate::http) body: OnceLock<String>,
    /// The reason why the request failed.
    pub(in crate::http) failure: OnceLock<Arc<Failure>>,
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the body, which may contain secrets.
        f.debug_struct("RequestContext")
            .field("api", &self.api)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl RequestContext {
    /// Returns the context of a request with these headers.
    pub(super) fn new(api: Api, headers: &HeaderMap, ids: &Ids) -> Self {
        Self {
            id: id::given(headers).unwrap_or_else(|| ids.draw()),
            trace_id: id::trace(headers),
            ..Self::without_id(api)
        }
    }

    /// Returns the context in the extensions of a request. The router of an API without that of all, as in tests,
    /// begins one.
    pub(in crate::http) fn of(request: &mut Request) -> Arc<Self> {
        let begin = || Arc::new(Self::without_id(Api::Native));
        Arc::clone(request.extensions_mut().get_or_insert_with(begin))
    }

    /// Returns the context of a call that a page makes for the request.
    pub(in crate::http) fn of_part(&self) -> Self {
        Self {
            id: self.id.clone(),
            trace_id: self.trace_id,
            ..Self::without_id(self.api)
        }
    }

    fn without_id(api: Api) -> Self {
        Self {
            api,
            id: HeaderValue::from_static("-"),
            trace_id: None,
            route: OnceLock::new(),
            caller: OnceLock::new(),
            address: OnceLock::new(),
            writes: OnceLock::new(),
            body: OnceLock::new(),
            failure: OnceLock::new(),
        }
    }

    /// Returns the id of the request.
    pub(crate) fn id(&self) -> &str {
        // Always plain: other ids are not taken from a request.
        self.id.to_str().unwrap_or_default()
    }

    /// Returns the trace that the request belongs to.
    pub(crate) fn trace_id(&self) -> Option<&str> {
        std::str::from_utf8(self.trace_id.as_ref()?).ok()
    }

    /// Calls a function with the request that the current task handles, if it handles one.
    pub(crate) fn with_current<T>(use_it: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(|current| use_it(current)).ok()
    }
}

/// Handles a request: lines that the future writes into the log have the ids of the request.
pub(super) fn within<F: Future>(context: Arc<RequestContext>, future: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(context, future)
}

/// Same as [`within`], for a function.
pub(super) fn within_sync<T>(context: Arc<RequestContext>, function: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(context, function)
}

/// Runs a future in a task of its own, as a part of the request that the current task handles.
pub(in crate::http) fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    match CURRENT.try_with(Arc::clone) {
        Ok(context) => drop(tokio::spawn(within(context, future))),
        Err(_) => drop(tokio::spawn(future)),
    }
}
