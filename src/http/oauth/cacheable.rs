//! Public documents that clients may cache.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tower_http::cors::{Any, CorsLayer};

/// A public document.
pub(super) struct CacheableDocument {
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
    /// The entity tag of this version and content coding, in quotes.
    pub(super) etag: String,
    /// How long clients may cache it, in seconds.
    pub(super) max_age: u32,
}

impl CacheableDocument {
    /// Returns the document, or 304 if the client's cached copy is current.
    pub(super) fn respond(self, headers: &HeaderMap) -> Response {
        let cached = [
            (header::CACHE_CONTROL, format!("public, max-age={}", self.max_age)),
            (header::ETAG, self.etag.clone()),
        ];
        let has_current = list_items(headers, header::IF_NONE_MATCH)
            .map(|tag| tag.trim_start_matches("W/"))
            .any(|tag| tag == self.etag || tag == "*");
        if has_current {
            return (StatusCode::NOT_MODIFIED, cached).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, self.content_type)];
        (content_type, cached, self.body).into_response()
    }
}

/// Returns the items of a list header.
pub(super) fn list_items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

/// Allows scripts of any origin to read (CORS), since no credential is involved. A script that keeps a document itself
/// sends `If-None-Match`, which needs a preflight.
pub(super) fn for_any_origin<S: Clone + Send + Sync + 'static>(
    documents: MethodRouter<S>,
) -> MethodRouter<S> {
    let allowed = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers([header::IF_NONE_MATCH])
        .expose_headers([header::ETAG]);
    // The layer answers preflights. Without a handler, the router's own answer for other methods would come first.
    documents.options(async || StatusCode::NO_CONTENT).layer(allowed)
}
