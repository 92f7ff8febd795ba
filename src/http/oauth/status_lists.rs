//! The published status lists (Token Status List, section 8).

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::authority::Error;
use crate::http::caller::Anyone;
use crate::http::oauth::kept::{Kept, listed, open};
use crate::http::v1::Problem;
use crate::http::{App, Failure};

/// For how many seconds the list of lists may be kept: a new list comes with its first token.
const MAX_AGE: u32 = 60;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list).layer(open()))
        .routes(routes!(lists).layer(open()))
}

/// One status list
///
/// A signed list of one bit a token: set means revoked. A token names its list and its bit in the claim
/// `status`; the list names its address in `sub`, for how many seconds it is to be used in `ttl`, and
/// when it ends in `exp`, neither of which goes beyond the next revocation that is known to come. A list
/// that is fetched after a revocation was answered shows it; `feed` says up to which revocation it does.
///
/// The bits are `status_list.lst`: base64url of a zlib stream of 131,072 bytes, the first token in the
/// least significant bit of the first. Verify the signature like a token's, and that `typ` is
/// `statuslist+jwt` and `sub` the address that the token names. A revocation that lies ahead sets its bit
/// up to a second early, since a list is good for at least that long.
#[utoipa::path(get, path = "/status-lists/{list}", tag = "verification", security(()), operation_id = "status_list",
    params(("list" = String, Path, description = "Its number", example = "1"),
           ("If-None-Match" = Option<String>, Header, description = "The `ETag` of the copy at hand"),
           ("Accept-Encoding" = Option<String>, Header, description = "`gzip` saves about three tenths")),
    responses(
        (status = OK, description = "The list", content_type = "application/statuslist+jwt", body = String,
            headers(("ETag" = String, description = "Names this state of the list"),
                    ("Cache-Control" = String, description = "For how long it may be kept: `ttl`"),
                    ("Vary" = String, description = "Names `accept-encoding`"))),
        (status = NOT_MODIFIED, description = "The copy at hand is current"),
        (status = NOT_IMPLEMENTED, description = "A list of the past was asked for, by `time` in the query: they are not kept", body = Problem),
        (status = SERVICE_UNAVAILABLE, description = "What it must show cannot be read, or is not complete yet", body = Problem)))]
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
    let gzip = match takes_gzip(&headers) {
        true => published.gzip().await,
        false => None,
    };
    let is_gzip = gzip.is_some();
    let kept = Kept {
        content_type: "application/statuslist+jwt",
        etag: format!("\"{}{}\"", published.tag, if is_gzip { "-gzip" } else { "" }),
        body: gzip.unwrap_or_else(|| published.body.clone()),
        max_age: published.validity.ttl,
    };
    let mut response = kept.answer(&headers);
    let answered = response.headers_mut();
    answered.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if is_gzip {
        answered.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// The addresses of all status lists.
#[derive(Debug, Serialize, ToSchema)]
struct StatusLists {
    /// Each as tokens name it.
    #[schema(example = json!(["https://jeton.example.org/status-lists/1"]))]
    status_lists: Vec<String>,
}

/// All status lists
///
/// Where to fetch every list that a live token can name (Token Status List, section 9), for whoever wants
/// to have them at hand before a token comes.
#[utoipa::path(get, path = "/status-lists", tag = "verification", security(()), operation_id = "status_lists",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of the copy at hand")),
    responses(
        (status = OK, description = "Their addresses", body = StatusLists,
            headers(("ETag" = String, description = "Names this state of the list"),
                    ("Cache-Control" = String, description = "For how long it may be kept"))),
        (status = NOT_MODIFIED, description = "The copy at hand is current"),
        (status = SERVICE_UNAVAILABLE, description = "They cannot be read", body = Problem)))]
async fn lists(_: Anyone, State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    let status_lists = app.authority.status_lists().await?;
    let body = serde_json::to_vec(&StatusLists { status_lists }).unwrap_or_default();
    let kept = Kept {
        content_type: "application/json",
        etag: format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest(&SHA256, &body))),
        body: body.into(),
        max_age: MAX_AGE,
    };
    Ok(kept.answer(&headers))
}

/// In its one spelling, so that a list has one address.
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

/// Whether an answer in gzip is welcome (RFC 9110, section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let quality = |named: &str| {
        listed(headers, header::ACCEPT_ENCODING).find_map(|item| {
            let (coding, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = parameters.trim().strip_prefix("q=").unwrap_or("1");
            coding
                .trim()
                .eq_ignore_ascii_case(named)
                .then(|| weight.trim().parse::<f32>().unwrap_or(0.0))
        })
    };
    quality("gzip")
        .or_else(|| quality("*"))
        .is_some_and(|quality| quality > 0.0)
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

    #[test]
    fn a_list_has_one_address() {
        assert_eq!(number("1"), Some(1));
        assert_eq!(number("4294967295"), Some(u32::MAX));
        for text in ["", "0x1", "+1", "01", "-1", " 1", "1/", "4294967296", "one"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
