//! The headers of every response.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn};
use axum::response::Response;

use crate::http::rate_limit::RateLimitState;

const API_VERSION: HeaderName = HeaderName::from_static("tfp-api-version");
const APP_NAME: HeaderName = HeaderName::from_static("tfp-appname");

/// The API version that recent clients expect.
const VERSION: HeaderValue = HeaderValue::from_static("2.6");

/// The name by which go-tfe and the provider know a service that has all features of the API and no version of
/// its own. Under any other name they expect a version of Terraform Enterprise and refuse to work without it.
const NAME: HeaderValue = HeaderValue::from_static("HCP Terraform");

/// Adds the API version, the name of the service and the rate limit to all responses.
pub(super) fn add_to_responses(router: Router) -> Router {
    router.layer(from_fn(state))
}

async fn state(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let state = response.extensions_mut().remove::<RateLimitState>();
    let headers = response.headers_mut();
    headers.insert(API_VERSION, VERSION);
    headers.insert(APP_NAME, NAME);
    headers.extend(state.into_iter().flat_map(limits));
    response
}

/// Returns the headers of the limit with the fewest remaining requests. All are numbers that parse as
/// floats: go-tfe ends the process if the last one does not.
fn limits(state: RateLimitState) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let stated = [
        ("x-ratelimit-limit", state.rate.per_second.to_string()),
        ("x-ratelimit-remaining", state.remaining.to_string()),
        (
            "x-ratelimit-reset",
            format!("{:.3}", state.until_next().as_secs_f64()),
        ),
    ];
    stated
        .into_iter()
        .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?)))
}
