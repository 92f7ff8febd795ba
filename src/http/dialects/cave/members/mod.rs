//! Members: `/organizations/{organization}/users`, and the same below a team, a file per operation.

mod add;
mod change;
mod list;
mod remove;

use std::sync::Arc;

use crate::http::routes::routes;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;

use crate::authority::{self, Error, RoleGiven};
use crate::http::App;
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::Form;
use jeton_core::directory::{Email, OrganizationReference, TeamReference};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list::of_organization, add::to_organization))
        .routes(routes!(change::in_organization, remove::from_organization))
        .routes(routes!(list::of_team, add::to_team))
        .routes(routes!(change::in_team, remove::from_team))
}

/// A member of an organization.
#[derive(Debug, Form)]
#[form(path)]
struct MemberPath {
    /// The organization's name or id.
    #[form(example = "default")]
    organization: OrganizationReference,
    /// The user's e-mail address.
    #[form(example = "ada@example.com")]
    email: String,
}

/// A member of a team.
#[derive(Debug, Form)]
#[form(path)]
struct TeamMemberPath {
    /// The organization's name or id.
    #[form(example = "default")]
    organization: OrganizationReference,
    /// The team's name or its `team-…` id.
    #[form(example = "runners")]
    team: TeamReference,
    /// The user's e-mail address.
    #[form(example = "ada@example.com")]
    email: String,
}

/// Returns CAVE's response to a change of role: a status without a body.
fn role_response(given: RoleGiven, otherwise: StatusCode) -> Response {
    match given {
        RoleGiven::Given => StatusCode::ACCEPTED.into_response(),
        RoleGiven::NotMeant => otherwise.into_response(),
    }
}

/// Parses an e-mail address. An invalid one is answered like an unknown user.
fn parse_email(email: &str) -> Result<Email, Error> {
    email.parse().map_err(|_| Error::Absent)
}

/// Parses an e-mail address and refuses the caller's own with the message `otherwise`.
fn other_email(caller: &authority::Caller, email: &str, otherwise: &'static str) -> Result<Email, Refusal> {
    let email = parse_email(email)?;
    match caller.logged_in() {
        Some(person) if person.email == email => Err(Refusal::bad_request(otherwise)),
        _ => Ok(email),
    }
}
