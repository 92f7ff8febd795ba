//! `POST /tokens/{id}/rotate`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;

use crate::authority::Rotate;
use crate::http::caller::{Caller, TokensWrite};
use crate::http::input::{Fields, Form, Input, Refused, Request};
use crate::http::v1::render::Problem;
use crate::http::v1::tokens::TokenPath;
use crate::http::v1::tokens::create::{CreatedToken, created, expiry};
use crate::http::{App, Failure};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Grace, Lifetime};

/// How. The body may be absent, empty, `null` or `{}`.
#[derive(Debug, Form)]
#[form(body, name = "RotateToken", presence = Optional, unknown = Forbidden, example = json!({"grace_period": "24h"}))]
pub(crate) struct RotateForm {
    /// How long the one before stays good, within its own life: a number and `s`, `m`, `h`, `d`, `w`
    /// or `y`, at most 30 days; `0s` ends it at once. A day by default.
    grace_period: Option<Grace>,
    /// How long the new one lives: as for a new token. Without any of the three it lives as long as
    /// the one before was given.
    expires_in: Option<Lifetime>,
    /// How many days it lives.
    #[form(range(min = 1, max = 365))]
    expires_in_days: Option<i64>,
    /// When it ends.
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
/// Issues a successor with the same rights, and records at once that the one before ends after its
/// grace. Somebody who finds it leaked meanwhile can still revoke it at once. It must be active, you
/// must manage it, and its scopes and projects must be within yours; a person's token is rotated by
/// that person only. Of one token and its successors at most two are alive: rotating again ends the
/// one that is still in its grace. What is in its grace counts against no limit while its successor
/// lives.
#[utoipa::path(post, path = "/api/v1/tokens/{id}/rotate", tag = "tokens", operation_id = "rotate_token",
    params(TokenPath), request_body = Option<RotateForm>,
    responses((status = CREATED, description = "The new token, this once", body = CreatedToken,
                  headers(("Location" = String, description = "The address of its metadata"),
                          ("Cache-Control" = String, description = "`no-store`"))),
              (status = CONFLICT, description = "The token is revoked, expired or replaced already", body = Problem)))]
pub(super) async fn rotate(
    caller: Caller<TokensWrite>,
    State(app): State<Arc<App>>,
    Input { path, body, .. }: Input<TokenPath, (), Rotate>,
) -> Result<impl IntoResponse, Failure> {
    let issued = app.authority.rotate(&caller, path.reference()?, body).await?;
    Ok(created(&issued))
}
