//! The published status lists (Token Status List, section 8).

use std::sync::Arc;

use crate::http::routes::routes;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};

use crate::authority::Error;
use crate::http::cacheable::{CacheableDocument, for_any_origin, respond_signed};
use crate::http::caller::Anyone;
use crate::http::v1::Problem;
use crate::http::{App, Failure};

/// How long clients may cache the aggregation, in seconds: a new list appears with its first token.
const MAX_AGE: u32 = 60;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list).map(for_any_origin))
        .routes(routes!(lists).map(for_any_origin))
}

/// Get a status list
///
/// Returns a signed status list (Token Status List) with one bit per token: 1 means revoked. A token names its list
/// and its index in the claim `status`. In the list, `sub` is the URL of the list, `ttl` the number of seconds for
/// which it may be used, and `exp` its expiry; both end before the next scheduled revocation. A list fetched after
/// the response to a revocation includes it; `feed` is the position in the revocation feed up to which it is
/// complete.
///
/// To read it, verify the signature as for a token, and check that `typ` is `statuslist+jwt` and `sub` is the URL
/// that the token names. `status_list.lst` is the base64url encoding of a zlib stream of 131,072 bytes; index 0 is
/// the least significant bit of the first byte. The bit of a scheduled revocation is set up to one second early,
/// since a list is valid for at least one second.
#[utoipa::path(get, path = "/status-lists/{list}", tag = "verification", security(()), operation_id = "status_list",
    params(("list" = String, Path, description = "The number of the status list", example = "1"),
           ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the cached copy"),
           ("Accept-Encoding" = Option<String>, Header, description = "With `gzip`, the response is about 30% smaller")),
    responses(
        (status = OK, description = "The status list", content_type = "application/statuslist+jwt", body = String,
            headers(("ETag" = String, description = "The version of the list"),
                    ("Cache-Control" = String, description = "How long the response may be cached: `ttl` seconds"),
                    ("Vary" = String, description = "`accept-encoding`"))),
        (status = NOT_MODIFIED, description = "The cached copy is current"),
        (status = NOT_IMPLEMENTED, description = "The query has `time`: past status lists are not kept", body = Problem, example = json!("not_supported")),
        (status = SERVICE_UNAVAILABLE, description = "The revocations cannot be read or are not completely loaded yet", body = Problem, example = json!("unavailable"))))]
async fn list(
    _: Anyone,
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let number = path
        .ok()
        .and_then(|Path(text)| number(&text))
        .ok_or(Error::Absent)?;
    if asks_for_the_past(query.as_deref()) {
        return Err(Failure::NoHistory);
    }
    let published = app.authority.status_list(number).await?;
    let caching = format!("public, max-age={}", published.validity.ttl);
    Ok(respond_signed("application/statuslist+jwt", &published.text, caching, &headers).await)
}

/// The URLs of all status lists.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatusListAggregation)]
struct StatusLists {
    /// The URLs, exactly as in the claim `status` of tokens.
    #[schema(example = json!(["https://jeton.example.org/status-lists/1"]))]
    status_lists: Vec<String>,
}

/// List status lists
///
/// Returns the URL of every status list that an active token can name (Token Status List, section 9), for verifiers
/// that fetch the lists in advance.
#[utoipa::path(get, path = "/status-lists", tag = "verification", security(()), operation_id = "status_lists",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the cached copy")),
    responses(
        (status = OK, description = "The URLs of the status lists", body = StatusLists,
            headers(("ETag" = String, description = "The version of the list"),
                    ("Cache-Control" = String, description = "How long the response may be cached"))),
        (status = NOT_MODIFIED, description = "The cached copy is current"),
        (status = SERVICE_UNAVAILABLE, description = "The status lists cannot be read", body = Problem, example = json!("unavailable"))))]
async fn lists(_: Anyone, State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    let status_lists = app.authority.status_lists().await?;
    let body = serde_json::to_vec(&StatusLists { status_lists }).unwrap_or_default();
    let document = CacheableDocument {
        content_type: "application/json",
        etag: format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest(&SHA256, &body))),
        body: body.into(),
        caching: format!("public, max-age={MAX_AGE}"),
    };
    Ok(document.respond(&headers))
}

/// Parses a list number in its canonical spelling, so that a list has one URL.
fn number(text: &str) -> Option<u32> {
    text.parse()
        .ok()
        .filter(|number: &u32| number.to_string() == text)
}

fn asks_for_the_past(query: Option<&str>) -> bool {
    let pairs = query
        .into_iter()
        .flat_map(|query| form_urlencoded::parse(query.as_bytes()));
    pairs.into_iter().any(|(name, _)| name == "time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_address() {
        assert_eq!(number("1"), Some(1));
        assert_eq!(number("4294967295"), Some(u32::MAX));
        for text in ["", "0x1", "+1", "01", "-1", " 1", "1/", "4294967296", "one"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
