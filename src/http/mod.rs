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

/// The document of everything that is served.
pub fn document() -> OpenApi {
    Surfaces::all().document
}

/// Everything that is served, each surface with errors of its own form.
pub fn router(app: Arc<App>) -> Router {
    let Surfaces {
        native,
        oauth,
        document,
    } = Surfaces::all();
    // Written once: it is the same for everybody.
    let document = Bytes::from(document.to_pretty_json().unwrap_or_default());
    let json = [(header::CONTENT_TYPE, "application/json")];
    let native = native
        .route("/openapi.json", get(async move || (json, document)))
        .fallback(async || Failure::NoRoute);
    let served = |surface: Router<Arc<App>>| {
        let surface = surface.method_not_allowed_fallback(async || Failure::NoMethod);
        rate_limit::limited(surface, &app).with_state(Arc::clone(&app))
    };
    rendered_by(served(native).merge(docs::router()), v1::render)
        .merge(rendered_by(served(oauth), oauth::render))
}

/// Every operation and what the document says of it.
struct Surfaces {
    native: Router<Arc<App>>,
    oauth: Router<Arc<App>>,
    document: OpenApi,
}

impl Surfaces {
    fn all() -> Self {
        let (native, document) = OpenApiRouter::with_openapi(openapi::preface())
            .merge(v1::routes())
            .merge(oauth::published())
            .merge(health::routes())
            .split_for_parts();
        let (oauth, more) = oauth::routes().split_for_parts();
        Self {
            native,
            oauth,
            document: openapi::complete(document.merge_from(more)),
        }
    }
}

/// An answer without a body.
fn no_content() -> impl IntoResponse {
    axum::http::StatusCode::NO_CONTENT
}
