//! The native API, a file per resource.

mod cursor;
mod fields;
mod login;
mod me;
mod members;
mod organizations;
mod page;
mod projects;
mod render;
mod revocations;
mod scopes;
mod teams;
mod tokens;
mod usage;
mod users;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

pub(super) use render::{Problem, render};

use crate::http::App;

/// Each route stands with its whole path: nesting would take every path apart again at every request.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(login::routes())
        .merge(me::routes())
        .merge(scopes::routes())
        .merge(tokens::routes())
        .merge(revocations::routes())
        .merge(usage::routes())
        .merge(organizations::routes())
        .merge(members::routes())
        .merge(teams::routes())
        .merge(projects::routes())
        .merge(users::routes())
}
