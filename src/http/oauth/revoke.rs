//! Ending a token that one has (RFC 7009).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::caller::{Caller, Holder};
use crate::http::input::{Form, Input};
use crate::http::oauth::OAuthError;
use crate::http::origin::RequestOrigin;
use crate::http::{App, Failure};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(revoke))
}

/// Which token, and why.
#[derive(Form)]
#[form(body, name = "RevokePresented", encoding = UrlEncoded, repeated = Refused, example = json!({"token": "eyJhbGciOiJFUzI1NiJ9.e30.AA", "reason": "found in a public gist"}))]
struct RevokeForm {
    /// The token, with or without its prefix.
    token: String,
    /// Taken, and not needed: a token says itself what it is.
    #[expect(dead_code, reason = "the RFC has it, and nothing hangs on it")]
    token_type_hint: Option<String>,
    /// Why, in your words. Seen by those who manage the token.
    #[form(length(max = 1000))]
    reason: Option<String>,
}

/// End a token that you have
///
/// Nobody's permission is needed: who finds a leaked token can end it, and who was handed one too.
/// The answer means that it is refused from now on, and that this is on disk. It is the same for a
/// token that was not active anyway, or is none, and presenting it here is no use of it. With a credential the revocation is in the caller's
/// name, without one in that of the `holder`.
#[utoipa::path(post, path = "/oauth/revoke", tag = "verification", security(()), operation_id = "revoke_presented_token",
    request_body(content = RevokeForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = OK, description = "It is not active"),
              (status = UNAUTHORIZED, description = "A credential was sent, and it is not active", body = OAuthError),
              (status = SERVICE_UNAVAILABLE, description = "It may still be active: something that must work does not, or is too busy", body = OAuthError)))]
async fn revoke(
    caller: Option<Caller<Holder>>,
    State(app): State<Arc<App>>,
    origin: RequestOrigin,
    Input { body, .. }: Input<(), (), RevokeForm>,
) -> Result<StatusCode, Failure> {
    let reason = reason(body.reason, origin.address());
    app.authority
        .revoke_presented(&body.token, caller.as_deref(), origin.0, reason)
        .await?;
    Ok(StatusCode::OK)
}

/// Nobody vouches for who did it, so that from where is all there is to go after.
fn reason(given: Option<String>, address: IpAddr) -> String {
    match given {
        Some(reason) => format!("{reason} (from {address})"),
        None => format!("from {address}"),
    }
}
