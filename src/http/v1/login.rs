//! Sessions: `/login` and `/logout`.

use std::sync::Arc;

use crate::http::routes::routes;
use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Schema;
use utoipa_axum::router::OpenApiRouter;

use crate::authority::Session;
use crate::authority::password::Password;
use crate::http::caller::{Anyone, Caller, LoggedIn};
use crate::http::domain_types;
use crate::http::input::{Fault, Form, Input, Scalar, Value, string};
use crate::http::origin::RequestOrigin;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(logout))
}

/// The credentials of a login attempt.
#[derive(Form)]
#[form(body, name = "Login", echo = Nothing)]
pub(in crate::http) struct Credentials {
    /// The user's e-mail address.
    #[form(length(min = 1, max = 254), example = "admin@example.com")]
    pub(in crate::http) email: String,
    /// The user's password.
    #[form(example = "correct horse battery staple")]
    pub(in crate::http) password: Password,
}

/// An e-mail address and a password.
#[derive(Form)]
#[form(body, name = "Login", echo = Nothing, unknown = Forbidden)]
struct LoginForm {
    #[form(flatten)]
    credentials: Credentials,
}

impl Scalar for Password {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        match value.text() {
            Some("") => Err(Fault::StringTooShort { min_length: 1 }),
            Some(text) => Ok(Self::new(text.to_owned())),
            None => Err(Fault::StringType),
        }
    }

    fn schema() -> Schema {
        string().min_length(Some(1)).into()
    }
}

/// A new session.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(super) struct SessionInfo {
    /// The session token, for `Authorization: Bearer`. Only this API accepts it.
    token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// When the session expires.
    #[schema(value_type = domain_types::Instant)]
    expires_at: Timestamp,
}

impl From<Session> for SessionInfo {
    fn from(session: Session) -> Self {
        Self {
            token: session.token.expose().to_owned(),
            token_type: "Bearer",
            expires_at: session.expires_at,
        }
    }
}

/// Log in
///
/// Creates a session from an e-mail address and a password. An unknown address, a wrong password and a disabled
/// user get the same response after the same time. Failed logins delay further attempts.
#[utoipa::path(post, path = "/api/v1/login", tag = "session", security(()), operation_id = "login", request_body = LoginForm,
    responses((status = OK, description = "The session", body = SessionInfo),
              (status = UNAUTHORIZED, description = "The e-mail address or the password is wrong", body = Problem, example = json!(["login_failed", "login_throttled"])),
              (status = CONFLICT, description = "The user has as many sessions as allowed", body = Problem, example = json!("quota_reached:sessions")),
              (status = SERVICE_UNAVAILABLE, description = "Too many passwords are being checked; `Retry-After` says when to retry", body = Problem, example = json!(["busy", "clock_behind", "clock_differs", "unavailable"]))))]
async fn login(
    _: Anyone,
    State(app): State<Arc<App>>,
    origin: RequestOrigin,
    Input { body, .. }: Input<(), (), LoginForm>,
) -> Result<impl IntoResponse, Failure> {
    let Credentials { email, password } = body.credentials;
    let session = app.authority.login(&email, password, &origin.0).await?;
    Ok(Json(SessionInfo::from(session)))
}

/// Log out
///
/// Revokes the session in the `Authorization` header. The authority refuses it from the response on.
#[utoipa::path(post, path = "/api/v1/logout", tag = "session", operation_id = "logout",
    responses((status = NO_CONTENT, description = "The session is revoked")))]
async fn logout(
    caller: Caller<LoggedIn>,
    State(app): State<Arc<App>>,
    // Refuses the form of another site.
    _: Input,
) -> Result<impl IntoResponse, Failure> {
    app.authority.logout(&caller).await?;
    Ok(no_content())
}
