//! CAVE's API.

mod input;
mod members;
mod organizations;
mod render;
mod teams;
mod tokens;
mod users;

use axum::Json;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;

use crate::http::App;
use crate::http::api::{Api, Surface};
use crate::http::openapi::{self, About};

/// The preface of the OpenAPI document.
const ABOUT: About = About {
    title: "CAVE",
    description: "\
CAVE's API for its existing clients: organizations, teams, their members and their tokens. \
`docs/migrating/cave.md` lists the differences from CAVE.

**Try it here:** call `POST /users/login` with your e-mail address and password, copy `token` from the response \
into *Authorize* (`bearer`), then call `POST /organizations/{organization}/tokens` with the example body.

Errors are plain text, or only a status: 401 without a credential, 403 if the credential is not active or the \
role does not allow the operation, 404 if the resource does not exist or you may not see it. A token is shown \
only once, in the response that creates it; later responses have its first characters in `value`.",
    tags: &[
        ("users", "Login, the caller and other users"),
        ("organizations", "Organizations"),
        ("teams", "Teams of an organization"),
        ("members", "Members of organizations and teams"),
        ("tokens", "Tokens of organizations and teams"),
    ],
    schemas: Vec::new,
};

/// Returns the API.
pub(in crate::http) fn surface() -> Surface {
    let routes = OpenApiRouter::with_openapi(openapi::preface(&ABOUT))
        .merge(users::routes())
        .merge(organizations::routes())
        .merge(teams::routes())
        .merge(members::routes())
        .merge(tokens::routes());
    Surface::new(Api::Cave, routes, render::errors, render::render)
}

/// Returns a JSON response with CAVE's content type.
fn json<T: Serialize>(body: T) -> Response {
    ([(header::CONTENT_TYPE, JSON)], Json(body)).into_response()
}

/// The content type of CAVE's answers.
const JSON: &str = "application/json; charset=utf-8";

/// Returns the URL of a resource below the request's path.
fn url_below(app: &App, uri: &Uri, id: &impl std::fmt::Display) -> String {
    format!("{}{}/{id}", app.authority.issuer(), uri.path())
}
