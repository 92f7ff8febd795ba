//! The public keys (RFC 7517).

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::http::App;
use crate::http::caller::Anyone;
use crate::http::oauth::kept::{Kept, open};
use crate::keys::Jwks;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(keys).layer(open()))
}

/// A set of public keys (RFC 7517, section 5).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = JsonWebKeySet)]
struct KeySet {
    /// The keys, each with `kid`, `alg`, `use` and its public members.
    #[schema(min_items = 1)]
    keys: Vec<serde_json::Value>,
}

/// The public keys
///
/// Verifies every token that is alive. It may be kept for as long as `Cache-Control` says: no key
/// signs before every kept copy has it.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "verification", security(()), operation_id = "jwks",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the copy at hand")),
    responses(
        (status = OK, description = "The keys", content_type = "application/jwk-set+json", body = KeySet,
            headers(("ETag" = String, description = "Names this state of the set"),
                    ("Cache-Control" = String, description = "For how long it may be kept"))),
        (status = NOT_MODIFIED, description = "The copy at hand is current")))]
async fn keys(_: Anyone, State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let Jwks { body, etag, max_age } = app.authority.keys().jwks();
    let keys = Kept {
        content_type: "application/jwk-set+json",
        body,
        etag,
        max_age,
    };
    keys.answer(&headers)
}
