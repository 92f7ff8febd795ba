//! Operations on the presented token, with any audience: `/tokens/current`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::authority::Rotate;
use crate::http::caller::{ApiToken, Caller, Ender, Once};
use crate::http::input::{Form, Input};
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::create::{CreatedToken, created};
use crate::http::v1::tokens::revoke::RevokedToken;
use crate::http::v1::tokens::rotate::RotateForm;
use crate::http::v1::tokens::{BUSINESS, TokenInfo};
use crate::http::{App, Failure};
use jeton_core::text::Prose;
use jeton_core::token::Status;

/// Get the current token
///
/// Returns the metadata of the API token in the `Authorization` header, which must be active. No scope is
/// needed.
#[utoipa::path(get, path = "/api/v1/tokens/current", tag = "tokens", operation_id = "get_current_token",
    responses((status = OK, description = "The metadata of the token", body = TokenInfo)))]
pub(super) async fn show(
    caller: Caller<ApiToken>,
    State(app): State<Arc<App>>,
) -> Result<Json<TokenInfo>, Failure> {
    let record = app.authority.own_record(&caller).await?;
    Ok(Json(TokenInfo::of(&record, Status::Active)))
}

/// Why the token is revoked. The body may be absent, empty, `null` or `{}`.
///
/// An unknown field is an error, except in a request with the header `x-business-id` that uses no other
/// documented field than `reason`: there, unknown fields are ignored.
#[derive(Debug, Form)]
#[form(body, name = "RevokeCurrentToken", presence = Optional, unknown = ForbiddenUnless(BUSINESS, &["reason"]), example = json!({"reason": "found in a public gist"}))]
pub(crate) struct RevokeCurrentForm {
    /// The reason, at most 1000 characters. Users who manage the token see it.
    #[form(length(max = 1000))]
    reason: Option<Prose>,
    /// Ignored: a token may always revoke itself.
    #[form(default = false)]
    #[expect(dead_code, reason = "earlier versions have documented it")]
    force: bool,
}

/// Revoke the current token
///
/// Revokes the API token in the `Authorization` header. No scope is needed, so that anyone who finds a leaked
/// token can revoke it. This does not change `last_used_at`. What the token has made stays: a caller who manages it
/// revokes that with `POST /api/v1/tokens/{id}/revoke` and `descendants`.
#[utoipa::path(post, path = "/api/v1/tokens/current/revoke", tag = "tokens", operation_id = "revoke_current_token",
    request_body = Option<RevokeCurrentForm>,
    responses((status = CREATED, description = "The token is revoked", body = RevokedToken)))]
pub(super) async fn revoke(
    caller: Caller<Ender>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), RevokeCurrentForm>,
) -> Result<impl IntoResponse, Failure> {
    let revoked = app
        .authority
        .revoke_own(&caller, body.reason.map(Into::into))
        .await?;
    let propagation = app.authority.propagation().await?;
    Ok((
        StatusCode::CREATED,
        Json(RevokedToken::of(revoked, None, propagation)),
    ))
}

/// Rotate the current token
///
/// Creates a successor with the same rights and revokes the current token with effect after `grace_period`. The
/// successor does not outlive the current token, so that a leaked token cannot be extended. No scope is needed.
#[utoipa::path(post, path = "/api/v1/tokens/current/rotate", tag = "tokens", operation_id = "rotate_current_token",
    request_body = Option<RotateForm>,
    responses((status = CREATED, description = "The new token, shown only once", body = CreatedToken,
                  headers(("Location" = String, description = "The URL of its metadata"),
                          ("Cache-Control" = String, description = "`no-store`"))),
              (status = CONFLICT, description = "The token is already replaced and in its grace period", body = Problem, example = json!("not_active"))))]
pub(super) async fn rotate(
    caller: Caller<Once<ApiToken>>,
    State(app): State<Arc<App>>,
    Input { body, .. }: Input<(), (), Rotate>,
) -> Result<impl IntoResponse, Failure> {
    Ok(created(&app.authority.rotate_own(&caller, body).await?))
}
