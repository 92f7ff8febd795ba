//! Who is asking, and how it is said.
//!
//! The whole API on one page: [`router`].

pub mod address;
pub mod caller;
pub mod connections;
pub mod docs;
mod error;
mod health;
pub mod input;
mod oauth;
mod openapi;
mod rate_limit;
mod v1;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use ipnet::IpNet;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use error::{Failure, rendered_by};
pub use rate_limit::RateLimits;

use crate::authority::Authority;

/// What every handler can reach.
#[derive(Debug)]
pub struct App {
    /// The operations.
    pub authority: Authority,
    /// Peers whose forwarded addresses are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many requests are answered.
    pub rate_limits: RateLimits,
    stopping: AtomicBool,
}

impl App {
    /// Puts the parts together.
    pub fn new(authority: Authority, trusted_proxies: Vec<IpNet>, rate_limits: RateLimits) -> Self {
        Self {
            authority,
            trusted_proxies,
            rate_limits,
            stopping: AtomicBool::new(false),
        }
    }

    /// From now on it is not ready: whoever sends it requests should send them elsewhere.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// The document of the native API.
pub fn document() -> OpenApi {
    routes().1
}

/// Everything that is served.
pub fn router(app: Arc<App>) -> Router {
    let (router, document) = routes();
    // Written once: it is the same for everybody.
    let document = Bytes::from(document.to_pretty_json().unwrap_or_default());
    let json = [(header::CONTENT_TYPE, "application/json")];
    let router = router
        .route("/openapi.json", get(async move || (json, document)))
        .fallback(async || Failure::NoRoute)
        .method_not_allowed_fallback(async || Failure::NoMethod);
    let router = rate_limit::limited(router, &app)
        .with_state(app)
        .merge(docs::router());
    rendered_by(router, v1::render)
}

fn routes() -> (Router<Arc<App>>, OpenApi) {
    let (router, document) = OpenApiRouter::with_openapi(openapi::preface())
        .merge(v1::routes())
        .merge(oauth::routes())
        .merge(health::routes())
        .split_for_parts();
    (router, openapi::complete(document))
}

/// An answer without a body.
fn no_content() -> impl IntoResponse {
    axum::http::StatusCode::NO_CONTENT
}
