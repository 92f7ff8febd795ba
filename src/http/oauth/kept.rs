//! Documents that anybody may read and keep for a while.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower_http::cors::{Any, CorsLayer};

/// A public document.
pub(super) struct Kept {
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
    /// Names this state of the document in this coding, in quotes.
    pub(super) etag: String,
    /// For how many seconds it may be kept.
    pub(super) max_age: u32,
}

impl Kept {
    /// The document, or 304 where the copy at hand is current.
    pub(super) fn answer(self, headers: &HeaderMap) -> Response {
        let cached = [
            (header::CACHE_CONTROL, format!("public, max-age={}", self.max_age)),
            (header::ETAG, self.etag.clone()),
        ];
        let has_current = listed(headers, header::IF_NONE_MATCH)
            .map(|tag| tag.trim_start_matches("W/"))
            .any(|tag| tag == self.etag || tag == "*");
        if has_current {
            return (StatusCode::NOT_MODIFIED, cached).into_response();
        }
        let content_type = [(header::CONTENT_TYPE, self.content_type)];
        (content_type, cached, self.body).into_response()
    }
}

/// The items of a header that is a list.
pub(super) fn listed(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

/// Lets any page's script read: no credential is involved. There is no preflight, since a plain GET needs
/// none, and `If-None-Match` is the browser's own.
pub(super) fn open() -> CorsLayer {
    CorsLayer::new().allow_origin(Any).expose_headers([header::ETAG])
}
