//! Terraform's API: JSON:API documents below `/api/v2`.

mod account;
mod data;
mod discovery;
mod document;
mod headers;
mod organization_memberships;
mod organizations;
mod page;
mod path;
mod render;
mod teams;
mod token_ttl_policies;
mod tokens;
mod user;

use utoipa_axum::router::OpenApiRouter;

use crate::http::api::Surface;
use crate::http::openapi::{self, About, schema};

/// The beginning of its document.
const ABOUT: About = About {
    title: "Terraform",
    description: "\
The tokens, organizations and teams of jeton, as clients of HCP Terraform and Terraform Enterprise (go-tfe, \
pytfe, terrasnek, curl) ask for them.

Requests and answers are JSON:API documents. A POST, PATCH or DELETE needs \
`Content-Type: application/vnd.api+json`, also without a body, and is answered with 415 otherwise. What the \
caller may not see or do is answered with 404, as what does not exist. A token's secret is shown once, where \
it is made.

Every answer has `TFP-API-Version` and `X-Request-Id`; where the deployment limits requests also \
`X-RateLimit-Limit` (a second), `X-RateLimit-Remaining` (at this moment) and `X-RateLimit-Reset` (seconds \
until the next one is answered).",
    tags: &[
        ("start", "What clients ask before anything else"),
        ("organizations", "Organizations, and who belongs to them"),
        ("teams", "Teams, and who belongs to them"),
        ("tokens", "Tokens of whichever kind, by their ids"),
        ("team tokens", "What acts for a team"),
        ("organization tokens", "What acts for an organization"),
        ("user tokens", "What acts for a person"),
        (
            "token lifetimes",
            "How long an organization's tokens live at most",
        ),
    ],
    schemas: || vec![schema::<render::ErrorDocument>()],
};

/// The whole API.
pub(in crate::http) fn surface() -> Surface {
    let routes = OpenApiRouter::with_openapi(openapi::preface(&ABOUT))
        .merge(discovery::routes())
        .merge(account::routes())
        .merge(organizations::routes())
        .merge(organization_memberships::routes())
        .merge(teams::routes())
        .merge(tokens::routes())
        .merge(token_ttl_policies::routes());
    Surface::new(routes, render::errors, render::render).within(headers::stated)
}
