//! The stylesheet, the script and the icon.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;

use crate::http::App;

/// The files, each with its media type.
const FILES: [(&str, &str, &str); 3] = [
    (
        "console.css",
        "text/css; charset=utf-8",
        include_str!("assets/console.css"),
    ),
    (
        "console.js",
        "text/javascript; charset=utf-8",
        include_str!("assets/console.js"),
    ),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
];

/// Pages name the version, so that a browser asks for a new one after an upgrade only.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn routes() -> Router<Arc<App>> {
    FILES
        .into_iter()
        .fold(Router::new(), |router, (name, media_type, text)| {
            let answer = (
                [
                    (header::CONTENT_TYPE, media_type),
                    (header::CACHE_CONTROL, "public, max-age=3600"),
                ],
                text,
            );
            router.route(&format!("/console/assets/{name}"), get(async move || answer))
        })
}
