//! Error responses of QuantCDN's API.

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Error;
use crate::http::Failure;
use crate::http::input::InputError;
use crate::http::kind::Kind;
use crate::http::openapi::{self, ErrorAnswer, Inputs};

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QuantError {
    /// The error message, with the names of invalid fields.
    #[schema(example = "name: Field required")]
    message: String,
    /// Always `true`. QuantCDN's Go client recognises an error only by this field.
    #[schema(example = true)]
    error: bool,
}

/// Returns the errors of an operation for the OpenAPI document.
pub(super) fn errors(inputs: Inputs) -> Vec<ErrorAnswer> {
    let body = || openapi::body_named("application/json", "QuantError");
    let mut errors = openapi::common_errors(inputs, body);
    if inputs.body {
        errors.push(ErrorAnswer {
            status: "422",
            description: "Invalid fields, all of which the message names",
            body: body(),
        });
    }
    errors
}

/// Renders a failure as QuantCDN does.
pub(super) fn render(failure: &Failure) -> Response {
    let message = failure.description().text.into_owned();
    let body = Json(QuantError { message, error: true });
    failure.with_headers((status(failure), body), failure.challenge())
}

fn status(failure: &Failure) -> StatusCode {
    let kind = match failure {
        Failure::Input(InputError::Invalid(violations)) if violations.is_malformed() => Kind::BadRequest,
        Failure::Input(InputError::Invalid(violations)) if violations.is_in_path() => Kind::NotFound,
        // QuantCDN has no `keep_last_token`, and uses the status of a limit for valid requests that are
        // not allowed.
        Failure::Refused(Error::LastToken { .. }) => Kind::Limit,
        other => other.description().kind(),
    };
    match kind {
        Kind::Limit => StatusCode::FORBIDDEN,
        Kind::Unauthenticated
        | Kind::InvalidToken
        | Kind::Forbidden
        | Kind::NotFound
        | Kind::MethodNotAllowed
        | Kind::BadRequest
        | Kind::InvalidInput
        | Kind::TooLarge
        | Kind::UnsupportedMedia
        | Kind::AlreadyExists
        | Kind::Conflict
        | Kind::Gone
        | Kind::Throttled
        | Kind::NotSupported
        | Kind::Busy
        | Kind::Unavailable => kind.status(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::error::tests::table;

    #[tokio::test]
    async fn the_table_from_failures_to_answers() {
        let table = table(render, "message").await;
        insta::assert_snapshot!(table, @r#"
        422 
        413 The body is longer than 64 KiB.
        400 The request is not valid UTF-8.
        415 Send Content-Type: application/json; only requests with Authorization: Bearer may omit it.
        415 Send the body as Content-Type: application/x-www-form-urlencoded.
        415 Send the body without Content-Encoding.
        400 The body ended early or could not be read.
        400 Send one Authorization header: Bearer, or Basic with the token as username.
        404 There is no such endpoint.
        405 This endpoint does not support this method; Allow lists those it does.
        501 Past states are not kept: repeat the request without `time`.
        429 Too many requests: retry after the seconds in Retry-After. retry-after=7
        401 Authentication is required: send a token as Authorization: Bearer. www-authenticate=Bearer realm="jeton"
        401 The token is not active. Log in again, or use another API token; the owner of this one sees its status in `GET /api/v1/tokens?include_revoked=true`. www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token is not active. Log in again, or use another API token; the owner of this one sees its status in `GET /api/v1/tokens?include_revoked=true`."
        401 The token has expired. Log in again, or create another API token. www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token has expired. Log in again, or create another API token."
        401 The token is revoked. Log in again, or use another API token; the owner of this one sees when, by whom and why in `GET /api/v1/tokens?include_revoked=true`. www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token is revoked. Log in again, or use another API token; the owner of this one sees when, by whom and why in `GET /api/v1/tokens?include_revoked=true`."
        401 The e-mail address or the password is wrong. www-authenticate=Bearer realm="jeton"
        403 The code is wrong or older than 30 minutes. The server prints another one when it starts again.
        409 This deployment has an administrator, or another server's start printed the code: log in, or ask them for an account.
        429 Too many failed logins: retry after the seconds in Retry-After. retry-after=30
        403 Your role, or that of the token's owner, does not allow this.
        403 This operation needs a session: log in, and do not use an API token.
        403 The token is for other services: its audience does not include this one. Create a token with this `audience`.
        403 The token lacks the scope projects:read: create a token that has it. www-authenticate=Bearer realm="jeton", error="insufficient_scope", error_description="The token lacks the scope projects:read: create a token that has it.", scope="projects:read"
        404 No such resource, or you may not see it.
        403 This needs an API token, and the request has a session: create a token with `POST /api/v1/tokens`.
        403 Only a token of the deployment may do this: a site administrator creates one with `owner: deployment` and the scope usage:write. www-authenticate=Bearer realm="jeton", error="insufficient_scope", error_description="Only a token of the deployment may do this: a site administrator creates one with `owner: deployment` and the scope usage:write.", scope="usage:write"
        400 Name the organization in the field `organization` or the header `x-business-id`: you do not belong to exactly one.
        409 This name is already in use.
        409 This e-mail address belongs to another user.
        409 An organization must keep at least one admin.
        409 At least one site administrator who can log in must remain.
        403 `current_password` is missing or wrong.
        409 Only an admin of the organization can add users who are not its members.
        403 The owner already has 3 active tokens, the organization's limit: revoke one first.
        403 The quota is reached: at most 1000 teams of one organization. Remove one first.
        403 This is the owner's last active token, which the organization's policy keeps: `force` revokes it.
        409 The token is revoked, expired or already replaced: create another.
        409 A successor of the signing key is published already, and signs once all cached key sets have it. To rotate again, wait until then, or retire it; after a leak, revoke the signing key.
        409 The key signs, and retires when its successor begins to: rotate it, or revoke it after a leak.
        409 A request with this Idempotency-Key was carried out already, at 2026-01-02T12:00:00.000Z, and created the token 2. No response shows its secret again: rotate it with a grace period of 0 to get another.
        400 The cursor does not belong to this list: repeat the filters and the order of the request that returned it.
        410 The events after this cursor are no longer kept: start again from `GET /api/v1/revocations/snapshot`.
        409 The feed has not come as far as this cursor, since its end was lost: start again from `GET /api/v1/revocations/snapshot`.
        409 The cursor is of another history of the feed, such as before a restore: start again from `GET /api/v1/revocations/snapshot`.
        410 The lines after this one are no longer kept: `GET /api/v1/audit` lists those that are.
        409 The audit has no such line, since its end was lost or another history was restored: `GET /api/v1/audit` lists what is there.
        400 Too many rows would be read for this order, filter or count: name an organization, a token or a shorter time, sort by `created_at`, or leave out the count.
        503 The server is overloaded: retry after the seconds in Retry-After. retry-after=1
        503 The server's clock is behind the latest recorded instant, and nothing is issued until it has caught up: retry after the seconds in Retry-After. retry-after=5
        503 The server's clock differs from that of the database by more than a second, and it changes nothing until the clock is right. Nothing was changed: retry, at another server.
        503 No signing key is available. Nothing was changed.
        503 The request failed in the server. It may have been carried out: check before you retry.
        "#);
    }
}
