//! What services that receive tokens ask the authority for, as RFCs define it: errors too.

mod authorize_request;
mod introspect;
mod jwks;
mod kept;
mod metadata;
mod render;
mod revoke;
mod status_lists;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

pub(super) use render::{OAuthError, errors, render};

use crate::http::App;

/// What is below `/oauth/`, with errors as RFC 6749 has them.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(introspect::routes())
        .merge(revoke::routes())
        .merge(authorize_request::routes())
}

/// What is published for everybody to keep, beside the native API.
pub(super) fn published() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(metadata::routes())
        .merge(jwks::routes())
        .merge(status_lists::routes())
}
