//! Rotation of a token: `POST /tokens/{id}/rotate`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;

use crate::authority::Rotate;
use crate::http::caller::{Caller, Once, TokensWrite};
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::TokenPath;
use crate::http::v1::tokens::create::{CreatedToken, created, expiry};
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Grace, Lifetime};

/// How to rotate a token. The body may be absent, empty, `null` or `{}`.
#[derive(Debug, Form)]
#[form(body, name = "RotateToken", presence = Optional, unknown = Forbidden, example = json!({"grace_period": "24h"}))]
pub(crate) struct RotateForm {
    /// How long the old token stays valid, at most until it expires: a whole number and a unit (`s`, `m`, `h`,
    /// `d`, `w` or `y`), at most 30 days; `0s` revokes it at once. Default: `1d`.
    grace_period: Option<Grace>,
    /// The lifetime of the new token: a positive whole number and a unit (`s`, `m`, `h`, `d`, `w` or `y`), or
    /// `never`. Without `expires_in`, `expires_in_days` and `expires_at`, it is the lifetime that the old token
    /// was created with.
    expires_in: Option<Lifetime>,
    /// The lifetime of the new token in days, 1 to 365.
    #[form(range(min = 1, max = 365))]
    expires_in_days: Option<i64>,
    /// When the new token expires. Give at most one of `expires_in`, `expires_in_days` and `expires_at`.
    expires_at: Option<Timestamp>,
}

impl Request for Rotate {
    type Form = RotateForm;

    fn parse(form: RotateForm, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        Ok(Self {
            grace: form.grace_period.unwrap_or(Grace::DAY),
            expiry: expiry(form.expires_in, form.expires_in_days, form.expires_at, fields)?,
        })
    }
}

/// Rotate a token
///
/// Creates a successor with the same rights and revokes the old token with effect after `grace_period`. The
/// token must be active, you must manage it, and its scopes and projects must be within yours. A user's token is
/// rotated by that user only. During the grace period the old token can still be revoked at once, and it does not
/// count against the organization's limit while its successor is active. Of a token and its successors at most
/// two are active: rotating again ends the grace period of the older one.
#[utoipa::path(post, path = "/api/v1/tokens/{id}/rotate", tag = "tokens", operation_id = "rotate_token",
    params(TokenPath), request_body = Option<RotateForm>,
    responses((status = CREATED, description = "The new token, shown only once", body = CreatedToken,
                  headers(("Location" = String, description = "The URL of its metadata"),
                          ("Cache-Control" = String, description = "`no-store`"))),
              (status = CONFLICT, description = "The token is revoked, expired or already replaced", body = Problem, example = json!("not_active")),
              (status = FORBIDDEN, description = "The caller may not create a token of this owner, or not with all scopes of this token", body = Problem, example = json!(["forbidden", "content:write"]))))]
pub(super) async fn rotate(
    caller: Caller<Once<TokensWrite>>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TokenPath, (), Rotate>,
) -> Result<impl IntoResponse, Failure> {
    let issued = app.authority.rotate(&caller, path.reference()?, body).await?;
    Ok(created(&issued))
}
