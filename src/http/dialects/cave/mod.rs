//! CAVE's API.

mod members;
mod organizations;
mod render;
mod sent;
mod teams;
mod tokens;
mod users;

use axum::Json;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;

use crate::http::App;
use crate::http::api::Surface;
use crate::http::openapi::{self, About};

/// The beginning of its document.
const ABOUT: About = About {
    title: "jeton as CAVE",
    description: "\
The API of CAVE, for clients that were written for it: tokens of organizations and teams, and who belongs \
where. What differs and why is told in `docs/migrating/cave.md`.

**Try it here:** call `POST /users/login` with your e-mail and password, copy `token` from the answer into \
*Authorize* (`basic`, as username with an empty password, or `bearer`), then call \
`POST /organizations/{organization}/tokens` as it stands.

Errors are plain text, or nothing beside the status: 401 without a credential, 403 with a bad one or without \
the role, 404 for what does not exist or is not yours to see. A token itself is shown once, in the answer \
that makes it; from then on `value` holds its first characters.",
    tags: &[
        ("users", "Logging in, and who you are"),
        ("organizations", "The tenants"),
        ("teams", "Groups in an organization"),
        ("members", "Who belongs to an organization or a team"),
        ("tokens", "The tokens of organizations and teams"),
    ],
    schemas: Vec::new,
};

/// The whole API.
pub(in crate::http) fn surface() -> Surface {
    let routes = OpenApiRouter::with_openapi(openapi::preface(&ABOUT))
        .merge(users::routes())
        .merge(organizations::routes())
        .merge(teams::routes())
        .merge(members::routes())
        .merge(tokens::routes());
    Surface::new(routes, render::errors, render::render)
}

/// An answer as CAVE writes it.
fn json<T: Serialize>(body: T) -> Response {
    let content_type = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
    (content_type, Json(body)).into_response()
}

/// The whole address of something that stands below the one that was called.
fn below(app: &App, uri: &Uri, id: &impl std::fmt::Display) -> String {
    format!("{}{}/{id}", app.authority.settings().issuer, uri.path())
}
