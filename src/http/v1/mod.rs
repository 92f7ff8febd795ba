//! The native API, a file per resource.

mod audit;
mod cursor;
mod feed;
mod invitations;
mod keys;
mod login;
mod me;
mod members;
mod nodes;
mod organizations;
mod page;
mod preview;
mod projects;
mod render;
mod revocations;
mod scopes;
mod sent_invitations;
mod sessions;
mod setup;
mod statistics;
mod teams;
mod tokens;
mod usage;
mod users;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

pub(super) use login::Credentials;
pub(super) use organizations::OrganizationPath;
use render::ErrorCode;
pub(super) use render::{Problem, errors, render};
pub(super) use teams::TeamPath;
pub(super) use tokens::BUSINESS;

use crate::http::App;
use crate::http::input::{Violation, Violations};
use crate::http::oauth::OAuthError;
use crate::http::openapi::{About, schema};

/// The preface of the OpenAPI document.
pub(super) const ABOUT: About = About {
    title: "jeton",
    description: "\
Signs API tokens as JWTs, stores their metadata, revokes them, and publishes the key set and revocations \
that services need to verify tokens offline.

**Try it here:** call `POST /api/v1/login` with your e-mail address and password, copy `token` from the response \
into *Authorize* (`bearer`), then call `POST /api/v1/tokens` with the example body.

Times are UTC, such as `2026-01-02T03:04:05.678Z`. Invalid fields are reported together, with status 422; \
every other error is `{\"detail\", \"code\"}`, where `code` is stable. Below `/oauth/`, errors are \
`{\"error\", \"error_description\"}` (RFC 6749).",
    tags: &[
        ("session", "Log in and out, look up the caller, and list and end your sessions"),
        ("invitations", "Your invitations to organizations: accept, decline, leave"),
        ("tokens", "Create, list, update, rotate and revoke tokens"),
        ("organizations", "Organizations (tenants), their policies and members"),
        ("teams", "Teams of an organization and their members"),
        ("projects", "Projects, to which a token can be restricted"),
        ("people", "Users; managed by site administrators"),
        ("audit", "Who changed what, in a chain of hashes"),
        ("verification", "Verify tokens: metadata, key set, status lists, introspection, the revocation feed"),
        ("keys", "Signing keys: list, rotate, retire and revoke them; for site administrators"),
        ("operations", "Health checks and the servers of the deployment, for operators"),
    ],
    schemas: || {
        vec![
            schema::<Violation>(),
            schema::<Violations>(),
            schema::<Problem>(),
            schema::<ErrorCode>(),
            schema::<OAuthError>(),
        ]
    },
};

/// Returns the routes, each with its full path: nested routers would re-parse the path at every level
/// of every request.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(login::routes())
        .merge(me::routes())
        .merge(sessions::routes())
        .merge(setup::routes())
        .merge(invitations::routes())
        .merge(scopes::routes())
        .merge(statistics::routes())
        .merge(tokens::routes())
        .merge(revocations::routes())
        .merge(feed::routes())
        .merge(usage::routes())
        .merge(organizations::routes())
        .merge(members::routes())
        .merge(sent_invitations::routes())
        .merge(teams::routes())
        .merge(projects::routes())
        .merge(users::routes())
        .merge(audit::routes())
        .merge(keys::routes())
        .merge(nodes::routes())
}
