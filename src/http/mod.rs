//! The HTTP server: several APIs over the same operations, each with its own paths, bodies and errors.
//!
//! [`Api::of`] selects the API of a request; the API's router answers it, including errors.

pub mod address;
mod all_pages;
mod api;
mod cacheable;
pub mod caller;
pub mod connections;
mod console;
mod dialects;
pub mod docs;
mod domain_types;
mod error;
mod event_stream;
mod examples;
mod health;
mod idempotency_key;
pub mod input;
mod kind;
mod oauth;
mod openapi;
mod origin;
mod rate_limit;
mod requests;
mod routes;
mod streamed;
mod streams;
mod unconfirmed;
mod v1;

#[cfg(fuzzing)]
pub use idempotency_key::fuzz_idempotency_key;

use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{MatchedPath, Request};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use ipnet::IpNet;
use prometheus_client::registry::Registry;
use tower::ServiceExt;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use api::{Api, Document};
pub use error::{Failure, rendered_by};
pub use rate_limit::RateLimits;
pub(crate) use requests::RequestContext;
pub use streams::Streams;

use crate::authority::Authority;
use crate::config::LogRequests;
use crate::http::api::Surface;
use crate::http::dialects::{cave, dayzero, quant, terraform};
use crate::http::requests::Requests;

/// The state shared by all handlers.
#[derive(Debug)]
pub struct App {
    /// The operations.
    pub authority: Authority,
    /// The settings that may change while the process runs.
    pub adjustable: Arc<ArcSwap<Adjustable>>,
    /// The open streams.
    pub streams: Arc<Streams>,
    requests: Requests,
}

/// The settings of the HTTP server that may change while the process runs.
#[derive(Debug, Default)]
pub struct Adjustable {
    /// The limits of new connections, and the number of connections.
    pub limits: connections::Limits,
    /// Proxies whose forwarded addresses are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The rate limits.
    pub rate_limits: RateLimits,
    /// Which requests have a line of their own in the log.
    pub log_requests: LogRequests,
}

impl App {
    /// Creates the state.
    pub fn new(authority: Authority, adjustable: Adjustable, streams: Arc<Streams>) -> Self {
        Self {
            requests: Requests::new(authority.fresh_id()),
            authority,
            adjustable: Arc::new(ArcSwap::from_pointee(adjustable)),
            streams,
        }
    }

    /// Ends all streams and marks the server as not ready, so that load balancers send requests to other servers.
    pub fn stop(&self) {
        self.streams.stop();
    }

    /// Adds the metrics of requests.
    pub fn register(&self, registry: &mut Registry) {
        self.requests.register(registry);
    }

    /// Returns whether the server stops.
    pub fn is_stopping(&self) -> bool {
        self.streams.is_stopping()
    }
}

/// Returns the OpenAPI document of an API at the root of its host. The native one includes the RFC
/// endpoints, and every other one a login.
pub fn document(document: Document) -> OpenApi {
    let native = |operations: &[&str]| openapi::excerpt(native().into_document(), operations);
    let with_login = |document: OpenApi| document.merge_from(native(&["login"]));
    match document {
        Document::Native => self::native().into_document().merge_from(oauth().into_document()),
        Document::Cave => cave::surface().into_document(),
        Document::Terraform => with_login(terraform::surface().into_document()),
        Document::DayZero => openapi::preface(&dayzero::ABOUT).merge_from(native(&dayzero::OPERATIONS)),
        Document::Quant => with_login(quant::surface().into_document()),
    }
}

/// Returns the router of all APIs.
pub fn router(app: Arc<App>) -> Router {
    let server = openapi::server(app.authority.issuer());
    let documents = Document::ALL.into_iter().fold(Router::new(), |router, one| {
        let server = server.clone();
        // Made at the first request, which takes longer than the rest of a start, and once: it is the same for all
        // callers.
        let text = Arc::new(LazyLock::new(move || {
            let mut document = document(one);
            document.servers = Some(vec![server.clone()]);
            Bytes::from(document.to_pretty_json().unwrap_or_default())
        }));
        let json = [(header::CONTENT_TYPE, "application/json")];
        router.route(one.path(), get(async move || (json, Bytes::clone(&text))))
    });
    let native = native().with_routes(documents).with_routes(docs::router());
    let native = native.into_router(&app);
    let others = [
        oauth(),
        cave::surface(),
        terraform::surface(),
        quant::surface(),
        console::surface(native.0.clone(), &app),
    ];
    let routers = Arc::new((native, others.map(|surface| surface.into_router(&app))));
    Router::new().fallback(async move |request: Request| {
        let (native, [oauth, cave, terraform, quant, console]) = &*routers;
        let api = Api::of(&request);
        let (router, operations) = match api {
            Api::Native => native,
            Api::OAuth => oauth,
            Api::Cave => cave,
            Api::Terraform => terraform,
            Api::Quant => quant,
            Api::Console => console,
        };
        let handle = async |request| match router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let method = request.method().clone();
        let log = app.adjustable.load().log_requests;
        let observed = app.requests.observe(api, operations, log, request, handle);
        let (response, context) = observed.await;
        // The OAuth endpoints refuse clients of services, and administrators nothing.
        if response.status() == StatusCode::FORBIDDEN
            && api != Api::OAuth
            && let (Some(caller), Some(address)) = (context.caller.get(), context.address.get())
        {
            let path = context.route.get().map_or("", MatchedPath::as_str);
            let operation = format!("{method} {path}");
            app.authority.count_refused_request(caller, *address, &operation);
        }
        response
    })
}

fn native() -> Surface {
    let routes = OpenApiRouter::with_openapi(openapi::preface(&v1::ABOUT))
        .merge(v1::routes())
        .merge(oauth::published())
        .merge(health::routes());
    Surface::new(Api::Native, routes, v1::errors, v1::render)
}

fn oauth() -> Surface {
    Surface::new(Api::OAuth, oauth::routes(), oauth::errors, oauth::render)
        .with_every_method(&oauth::EVERY_METHOD)
}

/// Returns a response without a body.
fn no_content() -> impl IntoResponse {
    axum::http::StatusCode::NO_CONTENT
}
