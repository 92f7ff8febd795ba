//! Error responses of the native API.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::{AlreadyDone, Error};
use crate::http::Failure;
use crate::http::domain_types::{self, Word};
use crate::http::input::InputError;
use crate::http::kind::Code;
use crate::http::openapi::{self, ErrorAnswer, Inputs};
use crate::http::v1::tokens::TokenInfo;
use jeton_core::clock::Timestamp;
use jeton_store::Made;

/// The code of an error.
pub(crate) type ErrorCode = Word<Code>;

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The error message. It can change between versions.
    detail: String,
    code: ErrorCode,
    /// With the code `already_done`: what the earlier request made.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<Box<DoneInfo>>,
}

/// A request that was carried out already.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DoneRequest)]
struct DoneInfo {
    /// When it was carried out.
    #[schema(value_type = domain_types::Instant)]
    at: Timestamp,
    /// What it created: `token`, `bulk_revocation`, `cut_off`, `organization`, `team`, `project`, `user` or
    /// `key`; `null`: nothing that has an id, such as a role.
    #[schema(required = true, example = "token")]
    kind: Option<&'static str>,
    /// The id, or the number as a string; for `cut_off`, the sequence number of its event.
    #[schema(required = true, example = "2")]
    id: Option<String>,
    /// The metadata of the token, if you manage it.
    #[schema(required = true)]
    token_info: Option<TokenInfo>,
}

impl From<&AlreadyDone> for DoneInfo {
    fn from(done: &AlreadyDone) -> Self {
        Self {
            at: done.at,
            kind: done.made.as_ref().map(Made::kind),
            id: done.made.as_ref().map(Made::id),
            token_info: done
                .token
                .as_ref()
                .map(|(record, status)| TokenInfo::of(record, *status)),
        }
    }
}

/// Returns the errors of an operation for the OpenAPI document.
pub(crate) fn errors(inputs: Inputs) -> Vec<ErrorAnswer> {
    let mut errors = openapi::common_errors(inputs, || openapi::body_named("application/json", "Problem"));
    if inputs.anything && inputs.caller || inputs.body {
        errors.push(ErrorAnswer {
            status: "422",
            description: "Invalid fields, all of them, in the order of the fields",
            body: openapi::body_named("application/json", "HTTPValidationError"),
        });
    }
    errors
}

/// Renders a failure with its code and message.
pub(crate) fn render(failure: &Failure) -> Response {
    if let Failure::Input(InputError::Invalid(violations)) = failure {
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(violations)).into_response();
    }
    let description = failure.description();
    let status = description.kind().status();
    let problem = Problem {
        detail: description.text.into_owned(),
        code: Word(description.code),
        done: match failure {
            Failure::Refused(Error::AlreadyDone(done)) => Some(Box::new(done.as_ref().into())),
            _ => None,
        },
    };
    failure.with_headers((status, Json(problem)), failure.challenge())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::error::tests::table;

    #[tokio::test]
    async fn the_texts_of_failures() {
        let table = table(render, "detail").await;
        insta::assert_snapshot!(table, @r#"
        422 []
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
    async fn the_table_from_failures_to_answers() {
        let table = table(render, "code").await;
        insta::assert_snapshot!(table, @r#"
        422 HTTPValidationError
        413 body_too_large
        400 invalid_utf8
        415 unsupported_media_type
        415 unsupported_media_type
        415 unsupported_media_type
        400 body_unreadable
        400 ambiguous_credential
        404 not_found
        405 method_not_allowed
        501 not_supported
        429 too_many_requests retry-after=7
        401 not_authenticated www-authenticate=Bearer realm="jeton"
        401 invalid_token www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token is not active. Log in again, or use another API token; the owner of this one sees its status in `GET /api/v1/tokens?include_revoked=true`."
        401 invalid_token www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token has expired. Log in again, or create another API token."
        401 invalid_token www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token is revoked. Log in again, or use another API token; the owner of this one sees when, by whom and why in `GET /api/v1/tokens?include_revoked=true`."
        401 login_failed www-authenticate=Bearer realm="jeton"
        403 wrong_setup_code
        409 already_set_up
        429 login_throttled retry-after=30
        403 forbidden
        403 session_needed
        403 wrong_audience
        403 insufficient_scope www-authenticate=Bearer realm="jeton", error="insufficient_scope", error_description="The token lacks the scope projects:read: create a token that has it.", scope="projects:read"
        404 not_found
        403 api_token_needed
        403 deployment_token_needed www-authenticate=Bearer realm="jeton", error="insufficient_scope", error_description="Only a token of the deployment may do this: a site administrator creates one with `owner: deployment` and the scope usage:write.", scope="usage:write"
        400 organization_needed
        409 name_taken
        409 name_taken
        409 last_admin
        409 last_site_administrator
        403 wrong_password
        409 not_a_member
        409 limit_reached
        409 quota_reached
        409 last_token
        409 not_active
        409 key_state
        409 key_state
        409 already_done
        400 bad_cursor
        410 cursor_pruned
        409 cursor_ahead
        409 other_epoch
        410 audit_pruned
        409 audit_ahead
        400 too_costly
        503 busy retry-after=1
        503 clock_behind retry-after=5
        503 clock_differs
        503 unavailable
        503 unavailable
        "#);
    }
}
