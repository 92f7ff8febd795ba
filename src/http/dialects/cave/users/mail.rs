//! What needs mail, which jeton does not send: registering, and a new password for a forgotten one.
//!
//! Nothing is pretended. Where CAVE would answer that a mail is on its way, the answer says that none is;
//! and the tokens that such mails would carry do not exist, so each of them is invalid.

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;
use crate::http::caller::Anyone;
use crate::http::dialects::cave::render::Refusal;
use crate::http::dialects::cave::sent::{Body, Sent};
use crate::http::input::{Fields, Form, Refused, Request};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(confirm))
        .routes(routes!(forgot_password))
        .routes(routes!(reset_password))
}

/// Whose address.
#[derive(Debug, Form)]
#[form(body, name = "Address")]
struct AddressForm {
    #[expect(dead_code, reason = "CAVE demands it, and nothing is sent to it")]
    #[form(example = "ada@example.com")]
    email: String,
}

impl Body for AddressForm {
    const UNREADABLE: &'static str = "Cannot parse request body: email is missing.";
}

/// A new account.
#[derive(Form)]
#[expect(dead_code, reason = "CAVE demands it, and no token is good")]
#[form(body, name = "Confirm", echo = Nothing)]
struct ConfirmForm {
    #[form(example = "Ada")]
    first_name: String,
    #[form(example = "Byron")]
    last_name: String,
    #[form(example = "correct horse battery staple")]
    password: String,
    /// What the mail said.
    #[form(example = "what the mail said")]
    confirmation_token: String,
}

impl Body for ConfirmForm {
    const UNREADABLE: &'static str =
        "Cannot parse JSON data: must have first_name, last_name, email, password and confirmation_token.";
}

/// A new password.
#[derive(Form)]
#[form(body, name = "ResetPassword", echo = Nothing, example = json!({"password": "correct horse battery staple", "token": "what the mail said"}))]
struct ResetForm {
    #[expect(dead_code, reason = "CAVE demands it, and no token is good")]
    password: String,
    /// What the mail said.
    token: Option<String>,
    /// The same, as CAVE's documents name it.
    confirmation_token: Option<String>,
}

/// A new password and the token that goes with it, under either name.
struct Reset;

impl Request for Reset {
    type Form = ResetForm;

    fn parse(form: ResetForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        match form.token.or(form.confirmation_token) {
            Some(_) => Ok(Self),
            None => Err(fields.refuse("token", "the token is missing")),
        }
    }
}

impl Body for Reset {
    const UNREADABLE: &'static str = "Cannot parse request body: must have a token and a password.";
}

/// Register (refused)
///
/// This server sends no mail: a site administrator makes accounts.
#[utoipa::path(post, path = "/users/register", tag = "users", security(()), operation_id = "register", request_body = AddressForm,
    responses((status = BAD_REQUEST, description = "`Cannot register: this server sends no mail. A site administrator makes accounts.`, `Cannot parse request body: email is missing.`, or the request cannot be read", body = String, content_type = "text/plain")))]
async fn register(_: Anyone, _: Sent<(), AddressForm>) -> Refusal {
    Refusal::wrong("Cannot register: this server sends no mail. A site administrator makes accounts.")
}

/// Confirm a registration (refused)
///
/// There is none to confirm.
#[utoipa::path(post, path = "/users/confirm", tag = "users", security(()), operation_id = "confirm", request_body = ConfirmForm,
    responses((status = BAD_REQUEST, description = "`Invalid confirmation token.`, `Cannot parse JSON data: must have first_name, last_name, email, password and confirmation_token.`, or the request cannot be read", body = String, content_type = "text/plain")))]
async fn confirm(_: Anyone, _: Sent<(), ConfirmForm>) -> Refusal {
    Refusal::wrong("Invalid confirmation token.")
}

/// Ask for a new password (refused)
///
/// This server sends no mail: a site administrator sets passwords.
#[utoipa::path(post, path = "/users/forgot-password", tag = "users", security(()), operation_id = "forgot_password", request_body = AddressForm,
    responses((status = BAD_REQUEST, description = "`Cannot reset the password: this server sends no mail. A site administrator sets passwords.`, `Cannot parse request body: email is missing.`, or the request cannot be read", body = String, content_type = "text/plain")))]
async fn forgot_password(_: Anyone, _: Sent<(), AddressForm>) -> Refusal {
    Refusal::wrong(
        "Cannot reset the password: this server sends no mail. A site administrator sets passwords.",
    )
}

/// Set a new password in place of a forgotten one (refused)
///
/// There is no token for it, since this server sends no mail.
#[utoipa::path(post, path = "/users/reset-password", tag = "users", security(()), operation_id = "reset_password", request_body = ResetForm,
    responses((status = BAD_REQUEST, description = "`Invalid token.`, `Cannot parse request body: must have a token and a password.`, or the request cannot be read", body = String, content_type = "text/plain")))]
async fn reset_password(_: Anyone, _: Sent<(), Reset>) -> Refusal {
    Refusal::wrong("Invalid token.")
}
