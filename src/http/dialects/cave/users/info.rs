//! The caller: `/users/info`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::UserInfo;
use crate::authority::password::{NewPassword, Password, PasswordPolicyError};
use crate::authority::{Error, PersonPatch};
use crate::http::App;
use crate::http::address::ClientAddress;
use crate::http::caller::{Authenticated, Caller, LoggedIn};
use crate::http::dialects::cave::input::{Body, CaveInput, name};
use crate::http::dialects::cave::json;
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::Form;

/// Changes to the caller. An absent field stays unchanged.
#[derive(Form)]
#[form(body, name = "ChangeUser", echo = Nothing, example = json!({"password": "correct horse battery staple", "current_password": "the present one"}))]
pub(super) struct ChangeForm {
    #[form(length(max = 255))]
    first_name: Option<String>,
    #[form(length(max = 255))]
    last_name: Option<String>,
    /// The new password, 8 to 128 characters. Setting it revokes your sessions, including the session
    /// of this request.
    password: Option<String>,
    /// The current password. Required to change `password`.
    current_password: Option<Password>,
}

const NOTHING_TO_CHANGE: &str =
    "Cannot parse request body: should contain at least one of 'first_name', 'last_name', or 'password'.";

impl Body for ChangeForm {
    const UNREADABLE: &'static str = NOTHING_TO_CHANGE;
}

/// Get the caller
///
/// For users, and for their tokens.
#[utoipa::path(get, path = "/users/info", tag = "users", operation_id = "get_user",
    responses((status = OK, description = "The caller", body = UserInfo)))]
pub(super) async fn show(caller: Caller<Authenticated>) -> Result<Response, Refusal> {
    let person = caller.person().ok_or(Error::Forbidden)?;
    Ok(json(UserInfo::of(person)))
}

/// Update the caller
///
/// Users may change their password and must give `current_password`; this revokes their sessions. Only
/// site administrators may change names. Needs a session.
#[utoipa::path(patch, path = "/users/info", tag = "users", operation_id = "change_user", request_body = ChangeForm,
    responses((status = OK, description = "The updated caller", body = UserInfo),
              (status = BAD_REQUEST, description = "Nothing to change, a password that is too short, too long or too common, or `current_password` is missing or wrong", body = String, content_type = "text/plain",
                  examples(("invalid" = (value = json!(ChangeForm::UNREADABLE)))))))]
pub(super) async fn change(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    ClientAddress(address): ClientAddress,
    CaveInput { body, .. }: CaveInput<(), ChangeForm>,
) -> Result<Response, Refusal> {
    let ChangeForm {
        first_name,
        last_name,
        password,
        current_password,
    } = body;
    if first_name.is_none() && last_name.is_none() && password.is_none() {
        return Err(Refusal::bad_request(NOTHING_TO_CHANGE));
    }
    let password = password.map(Password::new).map(NewPassword::try_from).transpose();
    let patch = PersonPatch {
        password: password.map_err(|unfit: PasswordPolicyError| Refusal::bad_request(unfit.to_string()))?,
        current_password,
        first_name: first_name
            .map(|text| name("first_name", &text))
            .transpose()?
            .map(Some),
        last_name: last_name
            .map(|text| name("last_name", &text))
            .transpose()?
            .map(Some),
        ..PersonPatch::default()
    };
    let email = &caller.person().ok_or(Error::Forbidden)?.email;
    let changed = app
        .authority
        .change_person(&caller, address, email, patch)
        .await?;
    Ok(json(UserInfo::of(&changed)))
}
