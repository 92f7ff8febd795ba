//! The console: pages for a browser, below `/console`. A file a screen.
//!
//! Each page calls the native API in this process ([`api`]) with the session in its cookie, which is read nowhere else.
//! Everything works without the script.

mod api;
mod assets;
mod chart;
mod form;
mod page;
mod session;
mod words;

mod absent;
mod account;
mod audit;
mod create;
mod cut_offs;
mod found;
mod home;
mod incident;
mod inspect;
mod keys;
mod members;
mod organizations;
mod people;
mod policy;
mod revoke_many;
mod setup;
mod sign_in;
mod teams;
mod token;
mod tokens;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use tower_http::csrf::CsrfLayer;
use utoipa_axum::router::OpenApiRouter;

use self::api::Native;
use self::session::Cookie;
use crate::http::api::Surface;
use crate::http::{Api, App, Failure};

/// The headers of every answer.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action 'self'; base-uri 'self'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// Returns all pages, given the router of the native API. They are in no OpenAPI document: programs call the API.
pub(super) fn surface(native: Router, app: &Arc<App>) -> Surface {
    let pages = OpenApiRouter::new();
    Surface::new(Api::Console, pages, |_| Vec::new(), render).with_routes(routes(native, app))
}

fn routes(native: Router, app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .merge(account::routes())
        .merge(audit::routes())
        .merge(create::routes())
        .merge(cut_offs::routes())
        .merge(found::routes())
        .merge(home::routes())
        .merge(incident::routes())
        .merge(inspect::routes())
        .merge(keys::routes())
        .merge(members::routes())
        .merge(organizations::routes())
        .merge(people::routes())
        .merge(policy::routes())
        .merge(revoke_many::routes())
        .merge(setup::routes())
        .merge(sign_in::routes())
        .merge(teams::routes())
        .merge(token::routes())
        .merge(tokens::routes())
        .merge(assets::routes())
        .merge(absent::routes())
        .method_not_allowed_fallback(absent::unexpected_method)
        .layer(from_fn_with_state(Arc::clone(app), keep_session))
        .layer(CsrfLayer::new())
        .layer(Extension(Native(native)))
}

/// Adds the headers of every answer, and keeps the session of one that neither begins nor ends it.
async fn keep_session(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let cookie = Cookie::of(&app);
    let kept = cookie
        .session(request.headers())
        .and_then(|session| cookie.keep(session));
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if let (Some(kept), false) = (kept, headers.contains_key(header::SET_COOKIE)) {
        headers.insert(header::SET_COOKIE, kept);
    }
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A page shows what only its reader may see, and one of them a secret.
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Renders what no page answers.
fn render(failure: &Failure) -> Response {
    let (status, text) = match failure {
        Failure::NoRoute => (StatusCode::NOT_FOUND, "There is no such page."),
        Failure::NoMethod => (
            StatusCode::METHOD_NOT_ALLOWED,
            "This page does not take such a request.",
        ),
        Failure::TooManyRequests { .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "Too many requests. Wait a little.")
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "This did not work."),
    };
    failure.with_headers((status, text), None).into_response()
}
