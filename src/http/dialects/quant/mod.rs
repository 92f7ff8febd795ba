//! QuantCDN's API: organizations and their tokens.

mod organizations;
mod render;
mod tokens;

use utoipa_axum::router::OpenApiRouter;

use crate::http::api::Surface;
use crate::http::openapi::{self, About};

/// The preface of the OpenAPI document.
const ABOUT: About = About {
    title: "QuantCDN",
    description: "QuantCDN's API for its existing clients: organizations and their tokens. \
                  All APIs of jeton share the same organizations and tokens.\n\n\
                  An error is `{\"message\": \"…\", \"error\": true}`. The message names every invalid field.",
    tags: &[
        ("organizations", "Organizations"),
        ("tokens", "Tokens of an organization"),
    ],
    schemas: || vec![openapi::schema::<render::QuantError>()],
};

/// Returns the API.
pub(in crate::http) fn surface() -> Surface {
    let routes = OpenApiRouter::with_openapi(openapi::preface(&ABOUT))
        .merge(organizations::routes())
        .merge(tokens::routes());
    Surface::new(routes, render::errors, render::render)
}
