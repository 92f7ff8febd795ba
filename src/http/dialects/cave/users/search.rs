//! `GET /users/search`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::UserInfo;
use crate::http::caller::{Caller, OrganizationsRead};
use crate::http::dialects::cave::json;
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::{Form, Input};
use crate::http::{App, whole};
use jeton_core::directory::Person;

/// What to look for.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct SearchForm {
    /// A part of a given name, a family name or an address, whatever its case.
    #[form(length(max = 254), example = "ada")]
    q: String,
}

/// Search people
///
/// Among those who belong to your organizations, in the order of their addresses; among all for a site
/// administrator.
#[utoipa::path(get, path = "/users/search", tag = "users", operation_id = "search_users", params(SearchForm),
    responses((status = OK, description = "Whoever was found", body = Vec<UserInfo>)))]
pub(super) async fn search(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), SearchForm>,
) -> Result<Response, Refusal> {
    let part = |slice| app.authority.find_people(&caller, &query.q, slice);
    let found = whole::slices(part, |person: &Person| person.email.to_string()).await?;
    Ok(json(found.iter().map(UserInfo::of).collect::<Vec<_>>()))
}
