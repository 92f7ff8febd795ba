//! The key set (RFC 7517).

use std::sync::Arc;

use crate::http::routes::routes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};

use crate::http::cacheable::{CacheableDocument, for_any_origin};
use crate::http::caller::Anyone;
use crate::http::v1::Problem;
use crate::http::{App, Failure};
use crate::keys::Jwks;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(keys).map(for_any_origin))
}

/// A JSON Web Key Set (RFC 7517, section 5).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JsonWebKeySet)]
struct KeySet {
    /// The public keys, each with `kid`, `alg`, `use` and its public members.
    #[schema(min_items = 1)]
    keys: Vec<serde_json::Value>,
}

/// Get the key set (JWKS)
///
/// Returns the public keys that verify all active tokens (RFC 7517). Cache it for as long as `Cache-Control` says: a
/// new key signs only after all cached copies have expired.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "verification", security(()), operation_id = "jwks",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the cached copy")),
    responses(
        (status = OK, description = "The key set", content_type = "application/jwk-set+json", body = KeySet,
            headers(("ETag" = String, description = "The version of the key set"),
                    ("Cache-Control" = String, description = "How long the response may be cached"))),
        (status = NOT_MODIFIED, description = "The cached copy is current"),
        (status = SERVICE_UNAVAILABLE, description = "Revocations by other servers may be missing", body = Problem, example = json!("busy"))))]
async fn keys(_: Anyone, State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    let Jwks { body, etag, max_age } = app.authority.jwks()?;
    let keys = CacheableDocument {
        content_type: "application/jwk-set+json",
        body,
        etag,
        caching: format!("public, max-age={max_age}"),
    };
    Ok(keys.respond(&headers))
}
