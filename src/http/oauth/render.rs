//! Error responses of the RFC endpoints: RFC 6749, section 5.2, and RFC 6750, section 3.

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Error;
use crate::http::Failure;
use crate::http::error::oauth_text;
use crate::http::kind::Kind;
use crate::http::openapi::{self, ErrorAnswer, Inputs};

/// An OAuth error (RFC 6749, section 5.2).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OAuthError {
    /// The error code.
    #[schema(example = "invalid_request")]
    error: &'static str,
    /// The error message. It can change between versions.
    #[schema(example = "token: Field required")]
    error_description: String,
}

/// Returns the errors of an operation for the OpenAPI document. OAuth uses 400 both for an invalid
/// field and for a malformed request.
pub(crate) fn errors(inputs: Inputs) -> Vec<ErrorAnswer> {
    openapi::common_errors(inputs, || openapi::body_named("application/json", "OAuthError"))
}

/// Renders a failure as an OAuth error.
pub(crate) fn render(failure: &Failure) -> Response {
    let (status, error) = answer(failure);
    let body = OAuthError {
        error,
        error_description: oauth_text(&failure.description().text),
    };
    let challenge = match status {
        StatusCode::UNAUTHORIZED => failure.challenge().or_else(|| failure.invalid_token()),
        _ => failure.challenge(),
    };
    failure.with_headers((status, Json(body)), challenge)
}

fn answer(failure: &Failure) -> (StatusCode, &'static str) {
    let kind = match failure {
        // RFC 9068, section 4: a token for another audience is rejected as invalid, and a session is for
        // the authority only.
        Failure::Refused(Error::WrongAudience | Error::ApiTokenNeeded) => Kind::InvalidToken,
        Failure::Refused(Error::ScopeNeeded(_)) => return (StatusCode::FORBIDDEN, "insufficient_scope"),
        other => other.description().kind(),
    };
    let error = match kind {
        // "No client authentication included" (RFC 6749).
        Kind::Unauthenticated => "invalid_client",
        Kind::InvalidToken => "invalid_token",
        Kind::Forbidden => "access_denied",
        Kind::InvalidInput => return (StatusCode::BAD_REQUEST, "invalid_request"),
        Kind::BadRequest
        | Kind::NotFound
        | Kind::MethodNotAllowed
        | Kind::TooLarge
        | Kind::UnsupportedMedia
        | Kind::AlreadyExists
        | Kind::Conflict
        | Kind::Gone
        | Kind::Limit
        | Kind::NotSupported => "invalid_request",
        Kind::Throttled | Kind::Busy | Kind::Unavailable => "temporarily_unavailable",
    };
    (kind.status(), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::error::tests::table;

    #[tokio::test]
    async fn the_descriptions_of_failures() {
        let table = table(render, "error_description").await;
        insta::assert_snapshot!(table, @r#"
        400 
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
        401 The token is for other services: its audience does not include this one. Create a token with this `audience`. www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token is for other services: its audience does not include this one. Create a token with this `audience`."
        403 The token lacks the scope projects:read: create a token that has it. www-authenticate=Bearer realm="jeton", error="insufficient_scope", error_description="The token lacks the scope projects:read: create a token that has it.", scope="projects:read"
        404 No such resource, or you may not see it.
        401 This needs an API token, and the request has a session: create a token with `POST /api/v1/tokens`. www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="This needs an API token, and the request has a session: create a token with `POST /api/v1/tokens`."
        403 Only a token of the deployment may do this: a site administrator creates one with `owner: deployment` and the scope usage:write. www-authenticate=Bearer realm="jeton", error="insufficient_scope", error_description="Only a token of the deployment may do this: a site administrator creates one with `owner: deployment` and the scope usage:write.", scope="usage:write"
        400 Name the organization in the field `organization` or the header `x-business-id`: you do not belong to exactly one.
        409 This name is already in use.
        409 This e-mail address belongs to another user.
        409 An organization must keep at least one admin.
        409 At least one site administrator who can log in must remain.
        403 `current_password` is missing or wrong.
        409 Only an admin of the organization can add users who are not its members.
        409 The owner already has 3 active tokens, the organization's limit: revoke one first.
        409 The quota is reached: at most 1000 teams of one organization. Remove one first.
        409 This is the owner's last active token, which the organization's policy keeps: `force` revokes it.
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

    #[tokio::test]
    async fn the_table_from_failures_to_errors() {
        let table = table(render, "error").await;
        insta::assert_snapshot!(table, @r#"
        400 invalid_request
        413 invalid_request
        400 invalid_request
        415 invalid_request
        415 invalid_request
        415 invalid_request
        400 invalid_request
        400 invalid_request
        404 invalid_request
        405 invalid_request
        501 invalid_request
        429 temporarily_unavailable retry-after=7
        401 invalid_client www-authenticate=Bearer realm="jeton"
        401 invalid_token www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token is not active. Log in again, or use another API token; the owner of this one sees its status in `GET /api/v1/tokens?include_revoked=true`."
        401 invalid_token www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token has expired. Log in again, or create another API token."
        401 invalid_token www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token is revoked. Log in again, or use another API token; the owner of this one sees when, by whom and why in `GET /api/v1/tokens?include_revoked=true`."
        401 invalid_client www-authenticate=Bearer realm="jeton"
        403 access_denied
        409 invalid_request
        429 temporarily_unavailable retry-after=30
        403 access_denied
        403 access_denied
        401 invalid_token www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token is for other services: its audience does not include this one. Create a token with this `audience`."
        403 insufficient_scope www-authenticate=Bearer realm="jeton", error="insufficient_scope", error_description="The token lacks the scope projects:read: create a token that has it.", scope="projects:read"
        404 invalid_request
        401 invalid_token www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="This needs an API token, and the request has a session: create a token with `POST /api/v1/tokens`."
        403 access_denied www-authenticate=Bearer realm="jeton", error="insufficient_scope", error_description="Only a token of the deployment may do this: a site administrator creates one with `owner: deployment` and the scope usage:write.", scope="usage:write"
        400 invalid_request
        409 invalid_request
        409 invalid_request
        409 invalid_request
        409 invalid_request
        403 access_denied
        409 invalid_request
        409 invalid_request
        409 invalid_request
        409 invalid_request
        409 invalid_request
        409 invalid_request
        409 invalid_request
        409 invalid_request
        400 invalid_request
        410 invalid_request
        409 invalid_request
        409 invalid_request
        410 invalid_request
        409 invalid_request
        400 invalid_request
        503 temporarily_unavailable retry-after=1
        503 temporarily_unavailable retry-after=5
        503 temporarily_unavailable
        503 temporarily_unavailable
        503 temporarily_unavailable
        "#);
    }

    #[test]
    fn a_description_has_no_character_that_the_rfc_forbids() {
        assert_eq!(oauth_text("a \"b\" \\ c\n\u{e9}"), "a 'b' ' c''");
    }
}
