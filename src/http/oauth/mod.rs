//! The RFC endpoints for services that receive tokens, with the RFCs' error formats.

mod authorize_request;
mod introspect;
mod jwks;
mod metadata;
mod render;
mod revoke;
mod status_lists;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

pub(super) use authorize_request::{EVERY_METHOD, Scopes};
pub(super) use render::{OAuthError, errors, render};

use crate::http::App;

/// Returns the routes below `/oauth/`, with errors of RFC 6749.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(introspect::routes())
        .merge(revoke::routes())
        .merge(authorize_request::routes())
}

/// Returns the routes of public, cacheable documents, which belong to the native API.
pub(super) fn published() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(metadata::routes())
        .merge(jwks::routes())
        .merge(status_lists::routes())
}
