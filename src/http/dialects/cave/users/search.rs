//! Search for users: `GET /users/search`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::UserInfo;
use crate::http::caller::{Caller, OrganizationsRead};
use crate::http::dialects::cave::json;
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::{Form, Input};
use crate::http::{App, all_pages};
use jeton_core::directory::Person;

/// A search.
#[derive(Debug, Form)]
#[form(query)]
pub(super) struct SearchForm {
    /// A part of the first name, last name or e-mail address, ignoring the case of ASCII letters.
    #[form(length(max = 254), example = "ada")]
    q: String,
}

/// Search users
///
/// Searches the members of your organizations, sorted by e-mail address. Site administrators search all
/// users.
#[utoipa::path(get, path = "/users/search", tag = "users", operation_id = "search_users", params(SearchForm),
    responses((status = OK, description = "The matching users", body = Vec<UserInfo>)))]
pub(super) async fn search(
    caller: Caller<OrganizationsRead>,
    State(app): State<Arc<App>>,
    Input { query, .. }: Input<(), SearchForm>,
) -> Result<Response, Refusal> {
    let part = |slice| app.authority.find_people(&caller, &query.q, slice);
    let found = all_pages::slices(part, |person: &Person| person.email.to_string()).await?;
    Ok(json(found.iter().map(UserInfo::of).collect::<Vec<_>>()))
}
