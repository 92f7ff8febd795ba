//! The claims as an argument of handlers, and the metadata of a resource (feature `axum`).
//!
//! ```no_run
//! use axum::Router;
//! use axum::routing::get;
//! use jeton_verifier::axum::{Authorized, resource_metadata};
//! use jeton_verifier::tower::VerifyLayer;
//! use jeton_verifier::{Requirements, Verifier};
//!
//! async fn whoami(Authorized(claims): Authorized) -> String {
//!     claims.subject.clone()
//! }
//!
//! fn app(verifier: Verifier) -> Router {
//!     let reading = Requirements::new().scope("projects:read");
//!     Router::new()
//!         .route("/whoami", get(whoami))
//!         .route_layer(VerifyLayer::new(verifier.clone()).require(reading).announce_metadata())
//!         .merge(resource_metadata(&verifier, &["projects:read"]))
//! }
//! ```

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde::Serialize;

use crate::tower::{METADATA_PATH, metadata_url};
use crate::{Claims, Verifier};

/// The claims of the request's token, which a [`VerifyLayer`](crate::tower::VerifyLayer) verified.
///
/// A handler with this argument never runs without: where the layer is missing, all requests are answered with 500.
#[derive(Debug, Clone)]
pub struct Authorized(pub Arc<Claims>);

impl<S: Sync> FromRequestParts<S> for Authorized {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        match parts.extensions.get::<Arc<Claims>>() {
            Some(claims) => Ok(Self(Arc::clone(claims))),
            None => {
                tracing::error!("a handler takes `Authorized`, but its route has no `VerifyLayer`");
                Err(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

/// Returns the route of the resource's metadata (RFC 9728): which authority's tokens the service accepts, and with
/// which scopes. The resource is the verifier's audience.
///
/// If that is a URL with a path, the route is below `/.well-known/oauth-protected-resource` with that path.
pub fn resource_metadata<S: Clone + Send + Sync + 'static>(
    verifier: &Verifier,
    scopes: &[&str],
) -> Router<S> {
    #[derive(Serialize)]
    struct Metadata<'a> {
        resource: &'a str,
        authorization_servers: [&'a str; 1],
        scopes_supported: &'a [&'a str],
        bearer_methods_supported: [&'a str; 1],
    }
    let metadata = Metadata {
        resource: verifier.audience(),
        authorization_servers: [verifier.issuer()],
        scopes_supported: scopes,
        bearer_methods_supported: ["header"],
    };
    // Texts always have a form in JSON.
    let json = serde_json::to_string(&metadata).unwrap_or_default();
    let path = metadata_url(verifier.audience()).map_or(METADATA_PATH.to_owned(), |(_, path)| path);
    let answer = move || async move {
        let headers = [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "public, max-age=300"),
        ];
        (headers, json).into_response()
    };
    Router::new().route(&path, get(answer))
}
