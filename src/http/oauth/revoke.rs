//! Revocation of a presented token (RFC 7009).

use std::net::IpAddr;
use std::sync::Arc;

use crate::http::routes::routes;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse};
use utoipa_axum::router::OpenApiRouter;

use crate::http::caller::{Caller, Holder};
use crate::http::error::{REVOCATION_CURSOR, revocation_cursor};
use crate::http::input::{Form, Input};
use crate::http::oauth::OAuthError;
use crate::http::origin::RequestOrigin;
use crate::http::{App, Failure};
use jeton_core::text::Prose;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(revoke))
}

/// The token to revoke.
#[derive(Form)]
#[form(body, name = "RevokePresented", encoding = UrlEncoded, repeated = Refused, example = json!({"token": "eyJhbGciOiJFUzI1NiJ9.e30.AA", "reason": "found in a public gist"}))]
struct RevokeForm {
    /// The token, with or without the configured prefix. Whitespace around it is ignored.
    #[form(length(min = 1))]
    token: String,
    /// Ignored. RFC 7009 and RFC 7662 define it.
    #[expect(dead_code, reason = "required by the RFC and ignored")]
    token_type_hint: Option<String>,
    /// The reason, at most 1000 characters. Users who manage the token see it.
    #[form(length(max = 1000))]
    reason: Option<Prose>,
}

/// Revoke a presented token
///
/// Revokes the given token permanently (RFC 7009). No credential is needed, so that anyone who finds a leaked token
/// can revoke it. The revocation is durable before the response is sent. The response is the same if the token was
/// not active or is not a token. This does not change `last_used_at`. `revoked_by` is the caller if the request has
/// a credential, else `holder`.
#[utoipa::path(post, path = "/oauth/revoke", tag = "verification", security(()), operation_id = "revoke_presented_token",
    request_body(content = RevokeForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = OK, description = "The token is not active", headers(("Revocation-Cursor" = String, description = "A position in the revocation feed that includes the revocation"))),
              (status = UNAUTHORIZED, description = "The request has a credential that is not active", body = OAuthError),
              (status = SERVICE_UNAVAILABLE, description = "The server is overloaded or failed; the token may still be active", body = OAuthError, example = json!(["busy", "unavailable"]))))]
async fn revoke(
    caller: Option<Caller<Holder>>,
    State(app): State<Arc<App>>,
    origin: RequestOrigin,
    Input { body, .. }: Input<(), (), RevokeForm>,
) -> Result<impl IntoResponse, Failure> {
    let reason = reason(body.reason, origin.address());
    app.authority
        // A token that was read from a file ends in a newline. What verifies stays strict.
        .revoke_presented(body.token.trim_ascii(), caller.as_deref(), origin.0, reason)
        .await?;
    let cursor = revocation_cursor(&app)
        .await
        .map(|cursor| (REVOCATION_CURSOR, cursor));
    Ok(AppendHeaders(cursor))
}

/// Returns the reason to record. The client is unauthenticated, so its address is the only trace.
fn reason(given: Option<Prose>, address: IpAddr) -> String {
    match given {
        Some(reason) => format!("{reason} (from {address})"),
        None => format!("from {address}"),
    }
}
