//! What services that receive tokens ask the authority for, as RFCs define it: errors too.

mod authorize_request;
mod introspect;
mod jwks;
mod metadata;
mod render;
mod revoke;

use std::sync::Arc;

use axum::routing::any;
use utoipa_axum::router::OpenApiRouter;

pub(super) use render::{OAuthError, render};

use crate::http::{App, Failure};

/// Where this surface's own paths begin.
pub(super) const ROOT: &str = "/oauth/";

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(metadata::routes())
        .merge(jwks::routes())
        .merge(introspect::routes())
        .merge(revoke::routes())
        .merge(authorize_request::routes())
        // In place of a fallback, which a router has only one of: an unknown address below this one
        // is answered in this surface's form.
        .route("/oauth/{*unknown}", any(async || Failure::NoRoute))
}
