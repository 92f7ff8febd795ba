//! `/login` and `/logout`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::authority::password::Password;
use crate::http::address::ClientAddress;
use crate::http::caller::{Anyone, Caller, LoggedIn};
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::nouns;
use crate::http::v1::render::Problem;
use crate::http::{App, Failure, no_content};
use jeton_core::clock::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(login))
        .routes(routes!(logout))
}

/// E-mail and password.
#[derive(Form)]
#[form(body, name = "Login", echo = Nothing)]
pub(in crate::http) struct LoginForm {
    #[form(length(min = 1, max = 254), example = "admin@example.com")]
    email: String,
    #[form(length(min = 1), example = "the password that the first start printed")]
    password: String,
}

/// E-mail and password, as they are tried.
pub(in crate::http) struct Login {
    pub(in crate::http) email: String,
    pub(in crate::http) password: Password,
}

impl Request for Login {
    type Form = LoginForm;

    fn parse(form: LoginForm, _: &mut Fields<'_>) -> Result<Self, Refused> {
        Ok(Self {
            email: form.email,
            password: Password::new(form.password),
        })
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
    ClientAddress(address): ClientAddress,
    Input { body, .. }: Input<(), (), Login>,
) -> Result<impl IntoResponse, Failure> {
    let session = app.authority.login(&body.email, body.password, address).await?;
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
