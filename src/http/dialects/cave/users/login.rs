//! `POST /users/login`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use validator::Validate;

use crate::authority::password::Password;
use crate::clock::Timestamp;
use crate::http::App;
use crate::http::address::ClientAddress;
use crate::http::caller::Anyone;
use crate::http::dialects::cave::json;
use crate::http::dialects::cave::render::Refusal;
use crate::http::dialects::cave::sent::{Body, Sent};
use crate::http::input::{Echo, Fields, Form};

/// E-mail and password.
#[derive(Validate, ToSchema)]
#[schema(as = Login)]
pub(super) struct LoginForm {
    #[validate(length(max = 254))]
    #[schema(max_length = 254, example = "admin@example.com")]
    email: String,
    #[schema(example = "the password that the first start printed")]
    password: String,
}

impl Form for LoginForm {
    const ECHO: Echo = Echo::Nothing;

    fn fill(fields: &mut Fields<'_>) -> Self {
        Self {
            email: fields.required("email"),
            password: fields.required("password"),
        }
    }
}

impl Body for LoginForm {
    const UNREADABLE: &'static str = "Cannot parse request body: must have an email and a password.";
}

/// A session.
#[derive(Serialize, ToSchema)]
struct Session {
    /// For Basic, as username with an empty password, or for Bearer.
    token: String,
    /// When it ends by itself.
    #[schema(format = DateTime, example = "2026-01-02T03:04:05Z")]
    expires: String,
}

/// Log in
///
/// Gives a session to whoever knows the password. It lasts as long as this deployment says, however often
/// it is used. Failures slow down further attempts.
#[utoipa::path(post, path = "/users/login", tag = "users", security(()), operation_id = "login", request_body = LoginForm,
    responses((status = OK, description = "A session", body = Session),
              (status = BAD_REQUEST, description = "`Login failed.`, `Cannot parse request body: must have an email and a password.`, or the request cannot be read", body = String, content_type = "text/plain"),
              (status = SERVICE_UNAVAILABLE, description = "Too many passwords are being checked", body = String, content_type = "text/plain")))]
pub(super) async fn login(
    _: Anyone,
    State(app): State<Arc<App>>,
    ClientAddress(address): ClientAddress,
    Sent { body, .. }: Sent<(), LoginForm>,
) -> Result<Response, Refusal> {
    let password = Password::new(body.password);
    let session = app.authority.login(&body.email, password, address).await?;
    Ok(json(Session {
        token: session.token.expose().to_owned(),
        expires: to_the_second(session.expires_at),
    }))
}

/// CAVE writes this one instant without a fraction.
fn to_the_second(instant: Timestamp) -> String {
    let text = instant.to_string();
    text.split_once('.')
        .map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}
