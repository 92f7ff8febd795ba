//! QuantCDN's API: organizations and their tokens.

mod organizations;
mod render;
mod tokens;

use utoipa_axum::router::OpenApiRouter;

use crate::http::api::Surface;
use crate::http::openapi::{self, About};

/// The beginning of its document.
const ABOUT: About = About {
    title: "jeton for QuantCDN's clients",
    description: "QuantCDN's API of organizations and their tokens, as its clients use it. \
                  What is made here is listed, shown and revoked through every other API of jeton, and the other way round.\n\n\
                  An error is `{\"message\": \"…\", \"error\": true}`, and names every field that is wrong.",
    tags: &[
        ("organizations", "Who tokens belong to"),
        ("tokens", "What an organization's services show to each other"),
    ],
    schemas: || vec![openapi::schema::<render::QuantError>()],
};

/// The whole API.
pub(in crate::http) fn surface() -> Surface {
    let routes = OpenApiRouter::with_openapi(openapi::preface(&ABOUT))
        .merge(organizations::routes())
        .merge(tokens::routes());
    Surface::new(routes, render::errors, render::render)
}
