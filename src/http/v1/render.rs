//! How the native API says what went wrong.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Error;
use crate::http::Failure;
use crate::http::input::InputError;
use crate::http::openapi::{self, ErrorAnswer, Takes};

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// What is wrong, for people.
    #[schema(example = "There is no such thing, or it is not yours to see.")]
    detail: String,
    /// What is wrong, for programs. Never changes.
    #[schema(example = "not_found")]
    code: String,
}

/// The errors of an operation, as its document has them.
pub(crate) fn errors(takes: Takes) -> Vec<ErrorAnswer> {
    let mut errors = openapi::usual_errors(takes, || openapi::named("application/json", "Problem"));
    if takes.anything && takes.caller || takes.body {
        errors.push(ErrorAnswer {
            status: "422",
            description: "Some fields are wrong: all of them, in their order",
            body: openapi::named("application/json", "HTTPValidationError"),
        });
    }
    errors
}

/// The one table from failures to answers of the native API.
pub(crate) fn render(failure: &Failure) -> Response {
    let (status, code, detail) = match failure {
        Failure::Input(InputError::Invalid(violations)) => {
            return (StatusCode::UNPROCESSABLE_ENTITY, Json(violations)).into_response();
        }
        Failure::Input(InputError::BodyTooLarge) => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "The body is longer than 64 KiB.".to_owned(),
        ),
        Failure::Input(InputError::Utf8) => (
            StatusCode::BAD_REQUEST,
            "invalid_utf8",
            "The request is not valid UTF-8.".to_owned(),
        ),
        Failure::Input(InputError::UnsupportedMediaType) => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Without Authorization: Bearer, a write needs Content-Type: application/json.".to_owned(),
        ),
        Failure::Input(InputError::FormNeeded) => (
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "The body must be application/x-www-form-urlencoded.".to_owned(),
        ),
        Failure::Input(InputError::BodyUnreadable(_)) => (
            StatusCode::BAD_REQUEST,
            "body_unreadable",
            "The body could not be read to its end.".to_owned(),
        ),
        Failure::AmbiguousCredential => (
            StatusCode::BAD_REQUEST,
            "ambiguous_credential",
            "Send one Authorization header: Bearer, or Basic with the token as username.".to_owned(),
        ),
        Failure::NoRoute => (
            StatusCode::NOT_FOUND,
            "not_found",
            "There is nothing at this address.".to_owned(),
        ),
        Failure::NoMethod => (
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This address does not take this method; see Allow.".to_owned(),
        ),
        Failure::NoHistory => (
            StatusCode::NOT_IMPLEMENTED,
            "not_supported",
            "Only the present state is kept; ask without time.".to_owned(),
        ),
        Failure::TooManyRequests { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "too_many_requests",
            "Too many requests; see Retry-After.".to_owned(),
        ),
        Failure::Refused(error) => refused(error),
    };
    let mut response = (
        status,
        Json(Problem {
            detail,
            code: code.to_owned(),
        }),
    )
        .into_response();
    if let Some(value) = failure.challenge() {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    if let Some(seconds) = failure.retry_after() {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn refused(error: &Error) -> (StatusCode, &'static str, String) {
    let (status, code, detail) = match error {
        Error::NoCredential => (
            StatusCode::UNAUTHORIZED,
            "not_authenticated",
            "Send a token: Authorization: Bearer.",
        ),
        Error::BadCredential(_) => (
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "The token is not active: unknown, expired or revoked.",
        ),
        Error::BadLogin => (
            StatusCode::UNAUTHORIZED,
            "login_failed",
            "E-mail or password is wrong.",
        ),
        Error::LockedOut { .. } => (
            StatusCode::TOO_MANY_REQUESTS,
            "login_throttled",
            "Too many failed logins; see Retry-After.",
        ),
        Error::Forbidden => (
            StatusCode::FORBIDDEN,
            "forbidden",
            "Your role does not allow this.",
        ),
        Error::SessionNeeded => (
            StatusCode::FORBIDDEN,
            "session_needed",
            "A person has to do this, logged in; no API token can.",
        ),
        Error::WrongAudience => (
            StatusCode::FORBIDDEN,
            "wrong_audience",
            "The token is meant for other services, not for this API.",
        ),
        Error::ScopeNeeded(scope) => {
            let detail = format!("The token lacks the scope {scope}.");
            return (StatusCode::FORBIDDEN, "insufficient_scope", detail);
        }
        Error::Absent => (
            StatusCode::NOT_FOUND,
            "not_found",
            "There is no such thing, or it is not yours to see.",
        ),
        Error::NoApiToken => (
            StatusCode::NOT_FOUND,
            "not_found",
            "This address is about the API token that you send, and a session is none.",
        ),
        Error::OrganizationNeeded => (
            StatusCode::BAD_REQUEST,
            "organization_needed",
            "Name the organization, in the field organization or the header x-business-id: you have not exactly one.",
        ),
        Error::NameTaken => (
            StatusCode::CONFLICT,
            "name_taken",
            "This name belongs to another.",
        ),
        Error::AddressTaken => (
            StatusCode::CONFLICT,
            "name_taken",
            "This address belongs to another person.",
        ),
        Error::LastAdmin => (
            StatusCode::CONFLICT,
            "last_admin",
            "An organization keeps at least one admin.",
        ),
        Error::LastAdministrator => (
            StatusCode::CONFLICT,
            "last_site_administrator",
            "At least one site administrator who can log in has to stay.",
        ),
        Error::WrongPassword => (
            StatusCode::FORBIDDEN,
            "wrong_password",
            "current_password is missing or wrong.",
        ),
        Error::NotAMember => (
            StatusCode::CONFLICT,
            "not_a_member",
            "Only an admin of the organization can bring in people from outside of it.",
        ),
        Error::LimitReached { limit, .. } => {
            let detail =
                format!("The owner has {limit} active tokens, the most that the organization allows.");
            return (StatusCode::CONFLICT, "limit_reached", detail);
        }
        Error::NotActive => (
            StatusCode::CONFLICT,
            "not_active",
            "The token is revoked, expired or replaced already; issue another.",
        ),
        Error::LastToken { .. } => (
            StatusCode::CONFLICT,
            "last_token",
            "It is the last active token of its owner, and the organization keeps that; force revokes it.",
        ),
        // Made into a list of violations before it comes here.
        Error::Invalid(_) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "Some fields are wrong.",
        ),
        Error::BadCursor => (
            StatusCode::BAD_REQUEST,
            "bad_cursor",
            "The cursor belongs to another list; repeat the parameters it was given with.",
        ),
        Error::Busy => (
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Too much to do at this moment; see Retry-After.",
        ),
        Error::NoSigningKey => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "No key signs at this moment. Nothing was done.",
        ),
        Error::Unavailable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "This cannot be done at this moment. What was asked for may have happened.",
        ),
    };
    (status, code, detail.to_owned())
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
        415 Without Authorization: Bearer, a write needs Content-Type: application/json.
        415 The body must be application/x-www-form-urlencoded.
        400 The body could not be read to its end.
        400 Send one Authorization header: Bearer, or Basic with the token as username.
        404 There is nothing at this address.
        405 This address does not take this method; see Allow.
        501 Only the present state is kept; ask without time.
        429 Too many requests; see Retry-After. retry-after=7
        401 Send a token: Authorization: Bearer. www-authenticate=Bearer realm="jeton"
        401 The token is not active: unknown, expired or revoked. www-authenticate=Bearer realm="jeton", error="invalid_token"
        401 E-mail or password is wrong. www-authenticate=Bearer realm="jeton"
        429 Too many failed logins; see Retry-After. retry-after=30
        403 Your role does not allow this.
        403 A person has to do this, logged in; no API token can.
        403 The token is meant for other services, not for this API.
        403 The token lacks the scope tokens:read. www-authenticate=Bearer realm="jeton", error="insufficient_scope", scope="tokens:read"
        404 There is no such thing, or it is not yours to see.
        404 This address is about the API token that you send, and a session is none.
        400 Name the organization, in the field organization or the header x-business-id: you have not exactly one.
        409 This name belongs to another.
        409 This address belongs to another person.
        409 An organization keeps at least one admin.
        409 At least one site administrator who can log in has to stay.
        403 current_password is missing or wrong.
        409 Only an admin of the organization can bring in people from outside of it.
        409 The owner has 3 active tokens, the most that the organization allows.
        409 It is the last active token of its owner, and the organization keeps that; force revokes it.
        409 The token is revoked, expired or replaced already; issue another.
        400 The cursor belongs to another list; repeat the parameters it was given with.
        503 Too much to do at this moment; see Retry-After. retry-after=1
        503 No key signs at this moment. Nothing was done.
        503 This cannot be done at this moment. What was asked for may have happened.
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
        400 body_unreadable
        400 ambiguous_credential
        404 not_found
        405 method_not_allowed
        501 not_supported
        429 too_many_requests retry-after=7
        401 not_authenticated www-authenticate=Bearer realm="jeton"
        401 invalid_token www-authenticate=Bearer realm="jeton", error="invalid_token"
        401 login_failed www-authenticate=Bearer realm="jeton"
        429 login_throttled retry-after=30
        403 forbidden
        403 session_needed
        403 wrong_audience
        403 insufficient_scope www-authenticate=Bearer realm="jeton", error="insufficient_scope", scope="tokens:read"
        404 not_found
        404 not_found
        400 organization_needed
        409 name_taken
        409 name_taken
        409 last_admin
        409 last_site_administrator
        403 wrong_password
        409 not_a_member
        409 limit_reached
        409 last_token
        409 not_active
        400 bad_cursor
        503 busy retry-after=1
        503 unavailable
        503 unavailable
        "#);
    }
}
