//! What every answer says beside its body.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;

use crate::http::App;
use crate::http::rate_limit::Standing;

const API_VERSION: HeaderName = HeaderName::from_static("tfp-api-version");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The version that clients of the API's last years know.
const VERSION: HeaderValue = HeaderValue::from_static("2.6");

/// The longest identifier of a request that is repeated to whoever sent it.
const LONGEST_ID: usize = 128;

/// A router whose answers say the version, which request they are for, and what is left of the limits.
pub(super) fn stated(router: Router, app: &Arc<App>) -> Router {
    router.layer(from_fn_with_state(Arc::clone(app), state))
}

async fn state(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = id(&app, request.headers());
    let mut response = next.run(request).await;
    let standing = response.extensions_mut().remove::<Standing>();
    let headers = response.headers_mut();
    headers.insert(API_VERSION, VERSION);
    headers.extend(id.map(|id| (REQUEST_ID, id)));
    headers.extend(standing.into_iter().flat_map(limits));
    response
}

/// The client's own identifier of the request where it is plain enough to stand in anybody's log.
fn id(app: &App, headers: &HeaderMap) -> Option<HeaderValue> {
    let is_plain = |value: &&HeaderValue| {
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        (1..=LONGEST_ID).contains(&value.len()) && value.as_bytes().iter().all(inner)
    };
    match headers.get(REQUEST_ID).filter(is_plain) {
        Some(own) => Some(own.clone()),
        None => HeaderValue::try_from(app.authority.fresh_id().to_string()).ok(),
    }
}

/// The limit that leaves least. All are numbers that a client can read as floats: go-tfe ends the process
/// where the last one is not.
fn limits(standing: Standing) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let stated = [
        ("x-ratelimit-limit", standing.rate.per_second.to_string()),
        ("x-ratelimit-remaining", standing.remaining.to_string()),
        (
            "x-ratelimit-reset",
            format!("{:.3}", standing.until_next().as_secs_f64()),
        ),
    ];
    stated
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
}
