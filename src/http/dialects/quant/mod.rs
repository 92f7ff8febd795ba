//! QuantCDN's API: organizations and their tokens.

mod organizations;
mod render;
mod tokens;

use utoipa_axum::router::OpenApiRouter;

use crate::http::api::{Api, Surface};
use crate::http::openapi::{self, About};

/// The preface of the OpenAPI document.
const ABOUT: About = About {
    title: "QuantCDN",
    description: "QuantCDN's API for its existing clients: organizations and their tokens. \
                  All APIs of jeton share the same organizations and tokens.\n\n\
                  **Try it here:** call `POST /api/v1/login` with your e-mail address and password, copy `token` from \
                  the response into *Authorize* (`bearer`), then call `GET /api/v2/organizations` and \
                  `POST /api/v2/organizations/{organization}/tokens` with the example body.\n\n\
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
    Surface::new(Api::Quant, routes, render::errors, render::render)
}
