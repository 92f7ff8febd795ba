//! `/login` and `/logout`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Schema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::authority::password::Password;
use crate::http::caller::{Anyone, Caller, LoggedIn};
use crate::http::input::{Fault, Form, Input, Scalar, Value, string};
use crate::http::nouns;
use crate::http::origin::RequestOrigin;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(logout))
}

/// E-mail and password, as they are tried.
#[derive(Form)]
#[form(body, name = "Login", echo = Nothing)]
pub(in crate::http) struct Credentials {
    #[form(length(min = 1, max = 254), example = "admin@example.com")]
    pub(in crate::http) email: String,
    #[form(example = "the password that the first start printed")]
    pub(in crate::http) password: Password,
}

/// E-mail and password.
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

/// A session.
#[derive(Serialize, ToSchema)]
struct Session {
    /// The session's token, for `Authorization: Bearer`. It is good for the authority itself and
    /// nowhere else.
    token: String,
    #[schema(example = "Bearer")]
    token_type: &'static str,
    /// When it ends by itself.
    #[schema(value_type = nouns::Instant)]
    expires_at: Timestamp,
}

/// Log in
///
/// Gives a session to whoever knows the password. An unknown address, a wrong password and a person
/// who is shut out get the same answer after the same time. Failures slow down further attempts.
#[utoipa::path(post, path = "/api/v1/login", tag = "session", security(()), operation_id = "login", request_body = LoginForm,
    responses((status = OK, description = "A session", body = Session),
              (status = UNAUTHORIZED, description = "E-mail or password is wrong", body = Problem),
              (status = SERVICE_UNAVAILABLE, description = "Too many passwords are being checked", body = Problem)))]
async fn login(
    _: Anyone,
    State(app): State<Arc<App>>,
    origin: RequestOrigin,
    Input { body, .. }: Input<(), (), LoginForm>,
) -> Result<impl IntoResponse, Failure> {
    let Credentials { email, password } = body.credentials;
    let session = app.authority.login(&email, password, &origin.0).await?;
    Ok(Json(Session {
        token: session.token.expose().to_owned(),
        token_type: "Bearer",
        expires_at: session.expires_at,
    }))
}

/// Log out
///
/// Ends the session that the request came with; from the answer on it is refused.
#[utoipa::path(post, path = "/api/v1/logout", tag = "session", operation_id = "logout",
    responses((status = NO_CONTENT, description = "The session has ended")))]
async fn logout(caller: Caller<LoggedIn>, State(app): State<Arc<App>>) -> Result<impl IntoResponse, Failure> {
    app.authority.logout(&caller).await?;
    Ok(no_content())
}
