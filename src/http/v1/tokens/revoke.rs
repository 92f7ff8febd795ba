//! Revocation of a token, alone or with all that it has made: `POST /tokens/{id}/revoke`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jeton_verifier::feed::Cursor;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::authority::{Propagation, RevokeWithDescendants, Revoked};
use crate::http::caller::{Caller, RevokesOnce, TokensWrite};
use crate::http::domain_types;
use crate::http::input::{Form, Input};
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::revoke_many::{DryRun, RevokedTokens};
use crate::http::v1::tokens::{BUSINESS, TokenPath};
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::text::Prose;
use jeton_store::{BulkRevocation, LastToken};

/// How to revoke a token. The body may be absent, empty, `null` or `{}`.
///
/// An unknown field is an error, except in a request with the header `x-business-id` that uses no other
/// documented field than `reason`: there, unknown fields are ignored.
#[derive(Debug, Form)]
#[form(body, name = "RevokeToken", presence = Optional, unknown = ForbiddenUnless(BUSINESS, &["reason"]), example = json!({"reason": "leaked in a build log"}))]
pub(crate) struct RevokeForm {
    /// The reason, at most 1000 characters. Users who manage the token see it.
    #[form(length(max = 1000))]
    reason: Option<Prose>,
    /// Whether to revoke the token even if it is the owner's last active token and the organization's policy
    /// sets `keep_last_token`.
    #[form(default = false)]
    force: bool,
    /// Whether to revoke also all that the token has made: the tokens that it has created, its successors by rotation,
    /// and what those have made. `force` applies to them too.
    #[form(default = false)]
    descendants: bool,
    /// Whether to only count the tokens that would be revoked.
    #[form(default = false)]
    dry_run: bool,
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
    /// With PostgreSQL: from when on every server refuses the token, the one that answers having done so before. `null`
    /// with a database file, whose only server does.
    #[schema(value_type = Option<domain_types::Instant>, required = true)]
    refused_everywhere_by: Option<Timestamp>,
    /// With `descendants`: the bulk revocation of what the token has made. Its `matched` is 0, and its `revoked` does not
    /// count the token itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    descendants: Option<RevokedTokens>,
}

impl RevokedToken {
    pub(super) fn of(
        Revoked { record, note, .. }: Revoked,
        descendants: Option<BulkRevocation>,
        propagation: Propagation,
    ) -> Self {
        Self {
            id: record.id.to_string(),
            jti: record.token.jti,
            name: record.token.name.clone(),
            revoked_at: note.revoked_at,
            revoked_by: note.revoked_by,
            revocation_reason: note.reason,
            revocation_cursor: Cursor(propagation.position),
            refused_everywhere_by: propagation.refused_everywhere_by,
            descendants: descendants.map(|bulk| RevokedTokens::of(bulk, propagation)),
        }
    }
}

/// Revoke a token
///
/// Revokes the token permanently. The revocation is durable before the response is sent, and the authority
/// refuses the token from then on. Revoking a revoked token changes nothing and returns the same response, except for
/// `revocation_cursor` and `refused_everywhere_by`.
///
/// With `descendants`, all that the token has made is revoked too, also if the token had ended before: in the background,
/// one token after another, also after a crash. The token is revoked first, so that it makes no more. Descendants that you
/// may not revoke, such as those in another organization, stay, and are counted in `left`. The token that you call this
/// with is revoked too if it is a descendant. A descendant is not found if the record of a token between has been deleted
/// after its retention. `GET /api/v1/tokens/revoke/{id}` returns the progress.
#[utoipa::path(post, path = "/api/v1/tokens/{id}/revoke", tag = "tokens", operation_id = "revoke_token",
    params(TokenPath), request_body = Option<RevokeForm>,
    responses((status = CREATED, description = "The token is revoked", body = RevokedToken),
              (status = OK, description = "With `dry_run`: the number of tokens that would be revoked, this one included", body = DryRun),
              (status = BAD_REQUEST, description = "The request is malformed, or there are too many descendants to count, with `dry_run`", body = Problem, example = json!("too_costly")),
              (status = CONFLICT, description = "It is the owner's last active token, and the organization's policy sets `keep_last_token`", body = Problem, example = json!("last_token"))))]
pub(super) async fn revoke(
    caller: Caller<RevokesOnce<TokensWrite>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TokenPath, (), RevokeForm>,
) -> Result<Response, Failure> {
    let last_token = if body.force {
        LastToken::MayGo
    } else {
        LastToken::Stays
    };
    let (token, reason) = (path.reference()?, body.reason.map(Into::into));
    let authority = &app.authority;
    if body.dry_run {
        let count = match body.descendants {
            true => authority.count_with_descendants(&caller, token).await?,
            false => authority.count_alone(&caller, token).await?,
        };
        return Ok(Json(DryRun::of(count)).into_response());
    }
    let (revoked, descendants) = match body.descendants {
        true => {
            let revoke = RevokeWithDescendants {
                token,
                reason,
                last_token,
            };
            let (revoked, bulk) = authority.revoke_with_descendants(&caller, &revoke).await?;
            (revoked, Some(bulk))
        }
        false => (authority.revoke(&caller, token, reason, last_token).await?, None),
    };
    let propagation = authority.propagation().await?;
    let body = RevokedToken::of(revoked, descendants, propagation);
    Ok((StatusCode::CREATED, Json(body)).into_response())
}
