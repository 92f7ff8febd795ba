//! How the native API says what went wrong.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Error;
use crate::http::Failure;
use crate::http::input::InputError;

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
    if let Some(value) = challenge(failure) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    if let Some(seconds) = retry_after(failure) {
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
        Error::LimitReached { limit } => {
            let detail =
                format!("The owner has {limit} active tokens, the most that the organization allows.");
            return (StatusCode::CONFLICT, "limit_reached", detail);
        }
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
        Error::Unavailable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "This cannot be done at this moment. What was asked for may have happened.",
        ),
    };
    (status, code, detail.to_owned())
}

/// RFC 6750, section 3: no error code when no credential was sent.
fn challenge(failure: &Failure) -> Option<HeaderValue> {
    let Failure::Refused(error) = failure else {
        return None;
    };
    match error {
        Error::NoCredential | Error::BadLogin => Some(HeaderValue::from_static("Bearer realm=\"jeton\"")),
        Error::BadCredential(_) => Some(HeaderValue::from_static(
            "Bearer realm=\"jeton\", error=\"invalid_token\"",
        )),
        Error::ScopeNeeded(scope) => {
            let value = format!("Bearer realm=\"jeton\", error=\"insufficient_scope\", scope=\"{scope}\"");
            HeaderValue::from_str(&value).ok()
        }
        _ => None,
    }
}

fn retry_after(failure: &Failure) -> Option<u64> {
    match failure {
        Failure::TooManyRequests { retry_after } => Some(*retry_after),
        Failure::Refused(Error::LockedOut { retry_after }) => Some(u64::from(*retry_after)),
        Failure::Refused(Error::Busy) => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::Inactive;

    /// Every failure there is. A new one that is not added here is still rendered by the table, which
    /// has no wildcard; here it is shown to whoever reads the snapshot.
    fn failures() -> Vec<Failure> {
        let refused = [
            Error::NoCredential,
            Error::BadCredential(Inactive::Revoked),
            Error::BadLogin,
            Error::LockedOut { retry_after: 30 },
            Error::Forbidden,
            Error::SessionNeeded,
            Error::WrongAudience,
            Error::ScopeNeeded("tokens:read"),
            Error::Absent,
            Error::OrganizationNeeded,
            Error::NameTaken,
            Error::LastAdmin,
            Error::LastAdministrator,
            Error::WrongPassword,
            Error::NotAMember,
            Error::LimitReached { limit: 3 },
            Error::BadCursor,
            Error::Busy,
            Error::Unavailable("the disk is on fire".into()),
        ];
        let input = [
            InputError::Invalid(crate::http::input::Violations::default()),
            InputError::BodyTooLarge,
            InputError::Utf8,
            InputError::UnsupportedMediaType,
            InputError::BodyUnreadable("the wire is on fire".into()),
        ];
        let rest = [
            Failure::AmbiguousCredential,
            Failure::NoRoute,
            Failure::NoMethod,
            Failure::NoHistory,
            Failure::TooManyRequests { retry_after: 7 },
        ];
        let refused = refused.into_iter().map(Failure::Refused);
        let input = input.into_iter().map(Failure::Input);
        input.chain(rest).chain(refused).collect()
    }

    #[tokio::test]
    async fn the_table_from_failures_to_answers() {
        let mut table = String::new();
        for failure in failures() {
            let (head, body) = render(&failure).into_parts();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
            let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let text = body.to_string();
            assert!(!text.contains("on fire"), "a cause is never sent: {text}");
            let header = |name| {
                let value = head.headers.get(name).and_then(|value| value.to_str().ok());
                value.map_or_else(String::new, |value| format!(" {name}={value}"))
            };
            let code = body
                .get("code")
                .and_then(serde_json::Value::as_str)
                .unwrap_or("HTTPValidationError");
            let (challenge, wait) = (header("www-authenticate"), header("retry-after"));
            table.push_str(&format!("{} {code}{challenge}{wait}\n", head.status.as_u16()));
        }
        insta::assert_snapshot!(table, @r#"
        422 HTTPValidationError
        413 body_too_large
        400 invalid_utf8
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
        400 organization_needed
        409 name_taken
        409 last_admin
        409 last_site_administrator
        403 wrong_password
        409 not_a_member
        409 limit_reached
        400 bad_cursor
        503 busy retry-after=1
        503 unavailable
        "#);
    }
}
