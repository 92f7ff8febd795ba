//! One error that leaves handlers, rendered by the surface that the request came to.
//!
//! A handler's `Err` becomes a bare response that carries the [`Failure`]; the layer of the router it
//! leaves through ([`rendered_by`]) says it in that surface's own form. So an operation shared by
//! several surfaces cannot answer in the wrong one, and neither can an extractor.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};

use crate::authority;
use crate::http::input::{Fault, InputError, Location, Violation, Violations};

/// Why a request has no good answer, as facts.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request itself.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The operation.
    #[error(transparent)]
    Refused(authority::Error),
    /// Two `Authorization` headers, or one that cannot be read: which of them would count is
    /// anybody's guess.
    #[error("the request must have one readable Authorization header")]
    AmbiguousCredential,
    /// No such address.
    #[error("there is nothing at this address")]
    NoRoute,
    /// The address is there, the method is not.
    #[error("this address does not take this method")]
    NoMethod,
    /// The state of something at an instant in the past.
    #[error("the past is not kept")]
    NoHistory,
    /// More requests than this deployment allows the caller or the address.
    #[error("too many requests")]
    TooManyRequests {
        /// Seconds until the next can be let through.
        retry_after: u64,
    },
}

impl From<authority::Error> for Failure {
    /// What the authority finds wrong with fields joins what their own types and bounds say.
    fn from(error: authority::Error) -> Self {
        match error {
            authority::Error::Invalid(faults) => {
                let detail = faults.into_iter().map(|fault| {
                    let at = Location::root("body").field(fault.field);
                    let at = fault.index.map_or_else(|| at.clone(), |index| at.index(index));
                    Violation::new(Fault::Value { error: fault.message }, at, &fault.input)
                });
                InputError::Invalid(Violations {
                    detail: detail.collect(),
                })
                .into()
            }
            other => Self::Refused(other),
        }
    }
}

impl Failure {
    /// Logs what an operator must know, once, with its causes, none of which is ever sent.
    fn log(&self) {
        if let Self::Refused(authority::Error::Unavailable(cause)) = self {
            let causes =
                std::iter::successors(Some(&**cause as &dyn std::error::Error), |error| error.source());
            let causes: Vec<String> = causes.map(ToString::to_string).collect();
            tracing::error!(causes = causes.join(": "), "a request was not carried out");
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.log();
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl IntoResponse for InputError {
    fn into_response(self) -> Response {
        Failure::from(self).into_response()
    }
}

/// Has every failure that leaves a router said in one surface's form, and every answer kept by
/// nobody unless it says otherwise: what is answered is one caller's.
///
/// One layer for all of it, since each costs every request.
pub fn rendered_by<S>(router: Router<S>, render: fn(&Failure) -> Response) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(map_response(move |mut response: Response| async move {
        if let Some(failure) = response.extensions_mut().remove::<Arc<Failure>>() {
            response = said(response, render(&failure));
        }
        let headers = response.headers_mut();
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        headers
            .entry(header::X_CONTENT_TYPE_OPTIONS)
            .or_insert(HeaderValue::from_static("nosniff"));
        response
    }))
}

/// Keeps what the router said beside the failure, such as `Allow`.
fn said(bare: Response, mut rendered: Response) -> Response {
    for (name, value) in bare.headers() {
        if !rendered.headers().contains_key(name) {
            rendered.headers_mut().append(name, value.clone());
        }
    }
    rendered
}
