//! Revocation of a token: `POST /tokens/{id}/revoke`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use jeton_verifier::event::Position;
use jeton_verifier::feed::Cursor;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::authority::Revoked;
use crate::http::caller::{Caller, TokensWrite};
use crate::http::domain_types;
use crate::http::input::{Form, Input};
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::{BUSINESS, TokenPath};
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::text::Prose;
use jeton_store::LastToken;

/// How to revoke a token. The body may be absent, empty, `null` or `{}`.
///
/// An unknown field is an error, except in a request with the header `x-business-id` that uses no other
/// documented field than `reason`: there, unknown fields are ignored.
#[derive(Debug, Form)]
#[form(body, name = "RevokeToken", presence = Optional, unknown = ForbiddenUnless(BUSINESS, &["reason"]), example = json!({"reason": "leaked in a build log"}))]
pub(crate) struct RevokeForm {
    /// The reason, at most 1000 characters. Users who manage the token see it.
    #[form(length(max = 1000))]
    pub(super) reason: Option<Prose>,
    /// Whether to revoke the token even if it is the owner's last active token and the organization's policy
    /// sets `keep_last_token`. Ignored if the token revokes itself.
    #[form(default = false)]
    force: bool,
}

/// A revoked token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevokedToken {
    /// The number of the token, as a string.
    #[schema(example = "2")]
    id: String,
    /// The `jti` claim.
    jti: Uuid,
    /// The display name.
    #[schema(example = "ci")]
    name: String,
    /// When the token was revoked first. Revoking again does not change it.
    #[schema(value_type = domain_types::Instant)]
    revoked_at: Timestamp,
    /// Who revoked the token.
    #[schema(example = "admin@example.com")]
    revoked_by: String,
    /// The reason given for the revocation.
    #[schema(required = true)]
    revocation_reason: Option<String>,
    /// A position in the revocation feed that includes the revocation: wait for it to know that a verifier has it.
    #[schema(value_type = String, min_length = 75, max_length = 75)]
    revocation_cursor: Cursor,
}

impl RevokedToken {
    pub(super) fn of(Revoked { record, note, .. }: Revoked, position: Position) -> Self {
        Self {
            id: record.id.to_string(),
            jti: record.token.jti,
            name: record.token.name.clone(),
            revoked_at: note.revoked_at,
            revoked_by: note.revoked_by,
            revocation_reason: note.reason,
            revocation_cursor: Cursor(position),
        }
    }
}

/// Revoke a token
///
/// Revokes the token permanently. The revocation is durable before the response is sent, and the authority
/// refuses the token from then on. Revoking a revoked token changes nothing and returns the same response, except for
/// `revocation_cursor`.
#[utoipa::path(post, path = "/api/v1/tokens/{id}/revoke", tag = "tokens", operation_id = "revoke_token",
    params(TokenPath), request_body = Option<RevokeForm>,
    responses((status = CREATED, description = "The token is revoked", body = RevokedToken),
              (status = CONFLICT, description = "It is the owner's last active token, and the organization's policy sets `keep_last_token`", body = Problem, example = json!("last_token"))))]
pub(super) async fn revoke(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TokenPath, (), RevokeForm>,
) -> Result<impl IntoResponse, Failure> {
    let last_token = if body.force {
        LastToken::MayGo
    } else {
        LastToken::Stays
    };
    let revoked = app
        .authority
        .revoke(
            &caller,
            path.reference()?,
            body.reason.map(Into::into),
            last_token,
        )
        .await?;
    let position = app.authority.revocation_position().await?;
    Ok((StatusCode::CREATED, Json(RevokedToken::of(revoked, position))))
}
