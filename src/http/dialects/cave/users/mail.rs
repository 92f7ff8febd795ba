//! Operations that need e-mail, which jeton does not send: registration and password reset.
//!
//! They fail with an error that says so, instead of claiming that a message was sent. The tokens of
//! such messages do not exist, so each is invalid.

use std::sync::Arc;

use axum::routing::post;
use utoipa::ToSchema;
use utoipa::openapi::example::Example;
use utoipa::openapi::path::Operation;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::{
    Content, HttpMethod, ObjectBuilder, Paths, Ref, Required, Response, SecurityRequirement, Type,
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use crate::http::App;
use crate::http::caller::Anyone;
use crate::http::dialects::cave::input::{Body, CaveInput};
use crate::http::dialects::cave::render::Refusal;
use crate::http::input::{Fields, Form, Refused, Request};
use crate::http::openapi;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(refused::<AddressForm>([
            "/users/register",
            "Register (refused)",
            "This server sends no e-mail: a site administrator creates accounts.",
            "Cannot register: this server sends no e-mail. A site administrator creates accounts.",
        ]))
        .routes(refused::<ConfirmForm>([
            "/users/confirm",
            "Confirm a registration (refused)",
            "There are no registrations to confirm.",
            "Invalid confirmation token.",
        ]))
        .routes(refused::<AddressForm>([
            "/users/forgot-password",
            "Request a password reset (refused)",
            "This server sends no e-mail: a site administrator sets passwords.",
            "Cannot reset the password: this server sends no e-mail. A site administrator sets passwords.",
        ]))
        .routes(refused::<Reset>([
            "/users/reset-password",
            "Reset a password (refused)",
            "No token is valid, since this server sends no e-mail.",
            "Invalid token.",
        ]))
}

/// Returns an endpoint that refuses every valid request, with its OpenAPI operation.
fn refused<B>([path, summary, description, answer]: [&'static str; 4]) -> UtoipaMethodRouter<Arc<App>>
where
    B: Body<Form: ToSchema> + Send + 'static,
{
    let form = Content::new(Some(Ref::from_schema_name(<B::Form as ToSchema>::name())));
    let body = RequestBodyBuilder::new().content("application/json", form);
    let text = ObjectBuilder::new().schema_type(Type::String).build();
    let texts = format!("`{answer}`, `{}`, or the request cannot be read", B::UNREADABLE);
    let examples = [("invalid", B::UNREADABLE), ("refused", answer)];
    let examples = examples.map(|(name, text)| (name, Example::builder().value(Some(text.into())).build()));
    let text = Content::builder().schema(Some(text)).examples_from_iter(examples);
    let refusal = Response::builder()
        .description(texts)
        .content("text/plain", text.build());
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
    let handler = async move |_: Anyone, _: CaveInput<(), B>| Refusal::bad_request(answer);
    (vec![openapi::schema::<B::Form>()], paths, post(handler))
}

/// An e-mail address.
#[derive(Debug, Form)]
#[form(body, name = "Address")]
struct AddressForm {
    #[expect(dead_code, reason = "CAVE requires it, and no e-mail is sent")]
    #[form(example = "ada@example.com")]
    email: String,
}

impl Body for AddressForm {
    const UNREADABLE: &'static str = "Cannot parse request body: email is missing.";
}

/// An account to confirm.
#[derive(Form)]
#[expect(dead_code, reason = "CAVE requires it, and no token is valid")]
#[form(body, name = "Confirm", echo = Nothing)]
struct ConfirmForm {
    #[form(example = "Ada")]
    first_name: String,
    #[form(example = "Byron")]
    last_name: String,
    #[form(example = "correct horse battery staple")]
    password: String,
    /// The token from the message.
    #[form(example = "the token from the message")]
    confirmation_token: String,
}

impl Body for ConfirmForm {
    const UNREADABLE: &'static str =
        "Cannot parse JSON data: must have first_name, last_name, email, password and confirmation_token.";
}

/// A new password.
#[derive(Form)]
#[form(body, name = "ResetPassword", echo = Nothing, example = json!({"password": "correct horse battery staple", "token": "the token from the message"}))]
struct ResetForm {
    #[expect(dead_code, reason = "CAVE requires it, and no token is valid")]
    password: String,
    /// The token from the message.
    token: Option<String>,
    /// Same as `token`, as CAVE's documents name it.
    confirmation_token: Option<String>,
}

/// A new password and its token, under either name.
struct Reset;

impl Request for Reset {
    type Form = ResetForm;

    fn parse(form: ResetForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        match form.token.or(form.confirmation_token) {
            Some(_) => Ok(Self),
            None => Err(fields.refuse("token", "`token` is missing")),
        }
    }
}

impl Body for Reset {
    const UNREADABLE: &'static str = "Cannot parse request body: must have a token and a password.";
}
