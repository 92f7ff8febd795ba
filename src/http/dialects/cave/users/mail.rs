//! What needs mail, which jeton does not send: registering, and a new password for a forgotten one.
//!
//! Nothing is pretended. Where CAVE would answer that a mail is on its way, the answer says that none is;
//! and the tokens that such mails would carry do not exist, so each of them is invalid.

use std::sync::Arc;

use axum::routing::post;
use utoipa::ToSchema;
use utoipa::openapi::path::Operation;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{
    Content, HttpMethod, ObjectBuilder, Paths, Ref, Required, Response, SecurityRequirement, Type,
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::http::App;
use crate::http::caller::Anyone;
use crate::http::dialects::cave::render::Refusal;
use crate::http::dialects::cave::sent::{Body, Sent};
use crate::http::input::{Fields, Form, Refused, Request};
use crate::http::openapi;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(refused::<AddressForm>([
            "/users/register",
            "Register (refused)",
            "This server sends no mail: a site administrator makes accounts.",
            "Cannot register: this server sends no mail. A site administrator makes accounts.",
        ]))
        .routes(refused::<ConfirmForm>([
            "/users/confirm",
            "Confirm a registration (refused)",
            "There is none to confirm.",
            "Invalid confirmation token.",
        ]))
        .routes(refused::<AddressForm>([
            "/users/forgot-password",
            "Ask for a new password (refused)",
            "This server sends no mail: a site administrator sets passwords.",
            "Cannot reset the password: this server sends no mail. A site administrator sets passwords.",
        ]))
        .routes(refused::<Reset>([
            "/users/reset-password",
            "Set a new password in place of a forgotten one (refused)",
            "There is no token for it, since this server sends no mail.",
            "Invalid token.",
        ]))
}

/// Returns an endpoint that refuses every request it can read, with its part of the document.
fn refused<B>([path, summary, description, answer]: [&'static str; 4]) -> UtoipaMethodRouter<Arc<App>>
where
    B: Body<Form: ToSchema> + Send + 'static,
{
    let form = Content::new(Some(Ref::from_schema_name(<B::Form as ToSchema>::name())));
    let body = RequestBodyBuilder::new().content("application/json", form);
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let texts = format!("`{answer}`, `{}`, or the request cannot be read", B::UNREADABLE);
    let refusal = Response::builder()
        .description(texts)
        .content("text/plain", Content::new(Some(text)));
    let operation = Operation::builder()
        .tag("users")
        .operation_id(path.rsplit('/').next().map(|name| name.replace('-', "_")))
        .summary(Some(summary))
        .description(Some(description))
        .security(SecurityRequirement::default())
        .request_body(Some(body.required(Some(Required::True)).build()))
        .response("400", refusal.build());
    let mut paths = Paths::new();
    paths.add_path_operation(path, vec![HttpMethod::Post], operation.build());
    let handler = async move |_: Anyone, _: Sent<(), B>| Refusal::wrong(answer);
    (vec![openapi::schema::<B::Form>()], paths, post(handler))
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
