//! `POST /tokens/{id}/revoke`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::authority::Revoked;
use crate::http::caller::{Caller, TokensWrite};
use crate::http::input::{Form, Input};
use crate::http::nouns;
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::{BUSINESS, TokenPath};
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_store::LastToken;

/// Why. The body may be absent, empty, `null` or `{}`.
///
/// Any other field is refused. A request with `x-business-id` that uses only `reason` may have other
/// fields, which are ignored.
#[derive(Debug, Form)]
#[form(body, name = "RevokeToken", presence = Optional, unknown = ForbiddenUnless(BUSINESS, &["reason"]), example = json!({"reason": "leaked in a build log"}))]
pub(crate) struct RevokeForm {
    /// Why, in your words. Seen by those who manage the token.
    #[form(length(max = 1000))]
    pub(super) reason: Option<String>,
    /// Whether it is revoked even if it is the last active token of its owner and the organization keeps
    /// those. Whoever holds a token needs no force to end it.
    #[form(default = false)]
    force: bool,
}

/// A revoked token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RevokedToken {
    #[schema(example = "2")]
    id: String,
    jti: Uuid,
    #[schema(example = "ci")]
    name: String,
    /// When it was revoked: by the first order, whatever came after.
    #[schema(value_type = nouns::Instant)]
    revoked_at: Timestamp,
    /// Who revoked it.
    #[schema(example = "admin@example.com")]
    revoked_by: String,
    #[schema(required = true)]
    revocation_reason: Option<String>,
}

impl RevokedToken {
    pub(super) fn of(Revoked { record, note, .. }: Revoked) -> Self {
        Self {
            id: record.id.to_string(),
            jti: record.token.jti,
            name: record.token.name.clone(),
            revoked_at: note.revoked_at,
            revoked_by: note.revoked_by,
            revocation_reason: note.reason,
        }
    }
}

/// Revoke a token
///
/// From the answer on the authority refuses it, and the answer means that this is on disk. Revoking
/// again changes nothing and gives the same answer. Nothing undoes it.
#[utoipa::path(post, path = "/api/v1/tokens/{id}/revoke", tag = "tokens", operation_id = "revoke_token",
    params(TokenPath), request_body = Option<RevokeForm>,
    responses((status = CREATED, description = "It is revoked", body = RevokedToken),
              (status = CONFLICT, description = "It is the last active token of its owner, and the organization keeps those", body = Problem)))]
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
        .revoke(&caller, path.reference()?, body.reason, last_token)
        .await?;
    Ok((StatusCode::CREATED, Json(RevokedToken::of(revoked))))
}
