//! Login: `POST /users/login`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::App;
use crate::http::caller::Anyone;
use crate::http::dialects::cave::input::{Body, CaveInput};
use crate::http::dialects::cave::json;
use crate::http::dialects::cave::render::Refusal;
use crate::http::origin::RequestOrigin;
use crate::http::v1::Credentials;
use jeton_core::clock::Timestamp;

impl Body for Credentials {
    const UNREADABLE: &'static str = "Cannot parse request body: must have an email and a password.";
}

/// A session.
#[derive(Serialize, ToSchema)]
struct Session {
    /// The session token, for Basic as username with an empty password, or for Bearer.
    token: String,
    /// When the session expires.
    #[schema(format = DateTime, example = "2026-01-02T03:04:05Z")]
    expires: String,
}

/// Log in
///
/// Creates a session from an e-mail address and a password. Its lifetime is configured and does not
/// extend with use. Failed logins delay further attempts.
#[utoipa::path(post, path = "/users/login", tag = "users", security(()), operation_id = "login", request_body = Credentials,
    responses((status = OK, description = "A session", body = Session),
              (status = BAD_REQUEST, description = "`Login failed.`, `Cannot parse request body: must have an email and a password.`, or the request cannot be read", body = String, content_type = "text/plain",
                  examples(("invalid" = (value = json!(Credentials::UNREADABLE))))),
              (status = SERVICE_UNAVAILABLE, description = "Too many passwords are being checked", body = String, content_type = "text/plain", example = json!("busy"))))]
pub(super) async fn login(
    _: Anyone,
    State(app): State<Arc<App>>,
    origin: RequestOrigin,
    CaveInput { body, .. }: CaveInput<(), Credentials>,
) -> Result<Response, Refusal> {
    let session = app.authority.login(&body.email, body.password, &origin.0).await?;
    Ok(json(Session {
        token: session.token.expose().to_owned(),
        expires: to_the_second(session.expires_at),
    }))
}

/// Formats an instant without fractions of a second, as CAVE does in this response.
fn to_the_second(instant: Timestamp) -> String {
    let text = instant.to_string();
    text.split_once('.')
        .map_or(text.clone(), |(seconds, _)| format!("{seconds}Z"))
}
