//! The native API, a file per resource.

mod cursor;
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

pub(super) use login::Credentials;
pub(super) use organizations::OrganizationPath;
pub(super) use render::{Problem, errors, render};
pub(super) use teams::TeamPath;

use crate::http::App;
use crate::http::input::{Violation, Violations};
use crate::http::oauth::OAuthError;
use crate::http::openapi::{About, schema};

/// The beginning of its document.
pub(super) const ABOUT: About = About {
    title: "jeton",
    description: "\
Signs API tokens as JWTs, keeps their metadata, takes them back, and publishes what services need to \
verify them without asking.

**Try it here:** call `POST /api/v1/login` with your e-mail and password, copy `token` from the answer \
into *Authorize* (`bearer`), then call `POST /api/v1/tokens` as it stands.

Times are UTC, as `2026-01-02T03:04:05.678Z`. Wrong fields are answered with 422, all of them at once; \
every other error is `{\"detail\", \"code\"}`, where `code` never changes. Below `/oauth/`, which RFCs \
define, an error is `{\"error\", \"error_description\"}`.",
    tags: &[
        ("session", "Logging in and out, and who you are"),
        ("tokens", "Issuing, finding, describing and revoking tokens"),
        ("organizations", "The tenants and their members"),
        ("teams", "Groups in an organization"),
        ("projects", "What a token can be restricted to"),
        ("people", "Those who log in; for site administrators"),
        ("verification", "What a service needs that receives tokens"),
        ("operations", "For whoever runs the server"),
    ],
    schemas: || {
        vec![
            schema::<Violation>(),
            schema::<Violations>(),
            schema::<Problem>(),
            schema::<OAuthError>(),
        ]
    },
};

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
