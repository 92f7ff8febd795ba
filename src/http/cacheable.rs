//! Documents that clients may cache.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use tower_http::cors::{Any, CorsLayer};

use crate::http::requests::REQUEST_ID;
use crate::revocation::SignedText;

/// A document.
pub(super) struct CacheableDocument {
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
    /// The entity tag of this version and content coding, in quotes.
    pub(super) etag: String,
    /// Who may cache it, and for how long: the value of `Cache-Control`.
    pub(super) caching: String,
}

impl CacheableDocument {
    /// Returns the document, or 304 if the client's cached copy is current.
    pub(super) fn respond(self, headers: &HeaderMap) -> Response {
        let cached = [
            (header::CACHE_CONTROL, self.caching),
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
fn list_items(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts.flat_map(|text| text.split(',')).map(str::trim)
}

/// Returns a signed text, compressed if the client accepts gzip, or 304 if the client's cached copy is current.
pub(super) async fn respond_signed(
    content_type: &'static str,
    text: &SignedText,
    caching: String,
    headers: &HeaderMap,
) -> Response {
    let gzip = match takes_gzip(headers) {
        true => text.gzip().await,
        false => None,
    };
    let is_gzip = gzip.is_some();
    let document = CacheableDocument {
        content_type,
        etag: format!("\"{}{}\"", text.tag, if is_gzip { "-gzip" } else { "" }),
        body: gzip.unwrap_or_else(|| text.body.clone()),
        caching,
    };
    let mut response = document.respond(headers);
    let answered = response.headers_mut();
    answered.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_gzip {
        answered.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Returns whether the client accepts gzip (RFC 9110, section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let quality = |named: &str| {
        list_items(headers, header::ACCEPT_ENCODING).find_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default();
            let weight = parts
                .find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('='))
                .unwrap_or("1");
            coding
                .eq_ignore_ascii_case(named)
                .then(|| weight.trim().parse::<f32>().unwrap_or(0.0))
        })
    };
    quality("gzip")
        .or_else(|| quality("*"))
        .is_some_and(|quality| quality > 0.0)
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
        .expose_headers([header::ETAG, REQUEST_ID]);
    // The layer answers preflights. Without a handler, the router's own answer for other methods would come first.
    documents.options(async || StatusCode::NO_CONTENT).layer(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, takes) in [
            (&["gzip"][..], true),
            (&["GZIP"], true),
            (&["deflate, gzip;q=0.5, br"], true),
            (&["deflate", "gzip"], true),
            (&["*"], true),
            (&["br, *;q=0.1"], true),
            (&[], false),
            (&[""], false),
            (&["br"], false),
            (&["gzip;q=0"], false),
            (&["gzip; q=0.000"], false),
            (&["gzip;Q=0"], false),
            (&["gzip;x=1;q=0"], false),
            (&["*, gzip;q=0"], false),
            (&["*;q=0"], false),
            (&["gzipped"], false),
            (&["gzip;q=x"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in accepted {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            }
            assert_eq!(takes_gzip(&headers), takes, "{accepted:?}");
        }
    }
}
