//! Terraform's API: JSON:API documents below `/api/v2`.

mod account;
mod audit_trail;
mod data;
mod discovery;
mod document;
mod entitlement_set;
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
mod users;

use utoipa_axum::router::OpenApiRouter;

use crate::http::api::{Api, Surface};
use crate::http::openapi::{self, About, schema};

/// The preface of the OpenAPI document.
const ABOUT: About = About {
    title: "Terraform",
    description: "\
The API of HCP Terraform and Terraform Enterprise for its existing clients (go-tfe, pytfe, terrasnek, curl): \
tokens, organizations, teams and audit trails.

Requests and responses are JSON:API documents. A POST, PATCH or DELETE needs \
`Content-Type: application/vnd.api+json`, also without a body; otherwise the response is 415. A resource that \
does not exist, or that the caller may not see or change, is 404. A token's secret is shown only once, in the \
response that creates it.

**Try it here:** call `POST /api/v1/login` with your e-mail address and password, copy `token` from the response \
into *Authorize* (`bearer`), then call `GET /api/v2/account/details` and \
`POST /api/v2/organizations/{organization}/teams` with the example body. The page sends no `Content-Type` without a \
body, so that a `DELETE` without one cannot be tried here.

Every response has `TFP-API-Version` and `TFP-AppName`. If the deployment has rate limits, it also has \
`X-RateLimit-Limit` (requests per second), `X-RateLimit-Remaining` (requests allowed now) and \
`X-RateLimit-Reset` (seconds until the next request is allowed).",
    tags: &[
        ("start", "Service discovery, and the caller"),
        ("organizations", "Organizations, their members and users"),
        ("teams", "Teams and their members"),
        ("tokens", "Tokens of any kind, by id"),
        ("team tokens", "Tokens that act for a team"),
        ("organization tokens", "Tokens that act for an organization"),
        ("user tokens", "Tokens that act for a user"),
        (
            "token lifetimes",
            "The maximum lifetimes of an organization's tokens",
        ),
        ("audit trails", "Who changed what in an organization"),
    ],
    schemas: || vec![schema::<render::ErrorDocument>()],
};

/// Returns the API.
pub(in crate::http) fn surface() -> Surface {
    let routes = OpenApiRouter::with_openapi(openapi::preface(&ABOUT))
        .merge(discovery::routes())
        .merge(account::routes())
        .merge(users::routes())
        .merge(organizations::routes())
        .merge(entitlement_set::routes())
        .merge(organization_memberships::routes())
        .merge(teams::routes())
        .merge(tokens::routes())
        .merge(token_ttl_policies::routes())
        .merge(audit_trail::routes());
    Surface::new(Api::Terraform, routes, render::errors, render::render).with_layer(headers::add_to_responses)
}
