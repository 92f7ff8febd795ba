//! CAVE's API.

mod render;

use utoipa_axum::router::OpenApiRouter;

use crate::http::api::Surface;
use crate::http::openapi::{self, About};

/// The beginning of its document.
const ABOUT: About = About {
    title: "CAVE",
    description: "",
    tags: &[],
    schemas: Vec::new,
};

/// The whole API.
pub(in crate::http) fn surface() -> Surface {
    let routes = OpenApiRouter::with_openapi(openapi::preface(&ABOUT));
    Surface::new(routes, render::errors, render::render)
}
