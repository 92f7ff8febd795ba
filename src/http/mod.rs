//! Who is asking, and how it is said.
//!
//! Several APIs over the same operations, each with its own paths, shapes and errors. [`Api::of`] says
//! which one a request is for; that one's router answers it, whatever comes of it.

pub mod address;
mod api;
pub mod caller;
pub mod connections;
mod dialects;
pub mod docs;
mod error;
mod health;
pub mod input;
mod kind;
mod nouns;
mod oauth;
mod openapi;
mod origin;
mod rate_limit;
mod v1;
mod whole;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use ipnet::IpNet;
use tower::ServiceExt;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use api::{Api, Document};
pub use error::{Failure, rendered_by};
pub use rate_limit::RateLimits;

use crate::authority::Authority;
use crate::http::api::Surface;
use crate::http::dialects::{cave, quant, terraform};

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

/// The document of an API. The native one's holds what RFCs define too: it is one API to its users.
pub fn document(document: Document) -> OpenApi {
    match document {
        Document::Native => native().document.merge_from(oauth().document),
        Document::Cave => cave::surface().document,
        Document::Terraform => terraform::surface().document,
        Document::Quant => quant::surface().document,
    }
}

/// Everything that is served.
pub fn router(app: Arc<App>) -> Router {
    let documents = Document::ALL.into_iter().fold(Router::new(), |router, one| {
        // Written once: it is the same for everybody.
        let text = Bytes::from(document(one).to_pretty_json().unwrap_or_default());
        let json = [(header::CONTENT_TYPE, "application/json")];
        router.route(one.path(), get(async move || (json, text)))
    });
    let native = native().beside(documents).beside(docs::router());
    let surfaces = [
        native,
        oauth(),
        cave::surface(),
        terraform::surface(),
        quant::surface(),
    ];
    let routers = Arc::new(surfaces.map(|surface| surface.served(&app)));
    Router::new().fallback(async move |mut request: Request| {
        let [native, oauth, cave, terraform, quant] = &*routers;
        let api = Api::of(&request);
        request.extensions_mut().insert(api);
        let router = match api {
            Api::Native => native,
            Api::OAuth => oauth,
            Api::Cave => cave,
            Api::Terraform => terraform,
            Api::Quant => quant,
        };
        router.clone().oneshot(request).await
    })
}

fn native() -> Surface {
    let routes = OpenApiRouter::with_openapi(openapi::preface(&v1::ABOUT))
        .merge(v1::routes())
        .merge(oauth::published())
        .merge(health::routes());
    Surface::new(routes, v1::errors, v1::render)
}

fn oauth() -> Surface {
    Surface::new(oauth::routes(), oauth::errors, oauth::render)
}

/// An answer without a body.
fn no_content() -> impl IntoResponse {
    axum::http::StatusCode::NO_CONTENT
}
