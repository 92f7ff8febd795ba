//! Error responses of the RFC endpoints: RFC 6749, section 5.2, and RFC 6750, section 3.

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Error;
use crate::http::Failure;
use crate::http::error::INVALID_TOKEN;
use crate::http::input::InputError;
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
    let description = match failure {
        Failure::Input(InputError::Invalid(violations)) => violations.to_string(),
        other => other.to_string(),
    };
    let body = OAuthError {
        error,
        error_description: permitted(&description),
    };
    let challenge = match failure {
        Failure::Refused(Error::WrongAudience) => Some(INVALID_TOKEN),
        other => other.challenge(),
    };
    failure.with_headers((status, Json(body)), challenge)
}

fn answer(failure: &Failure) -> (StatusCode, &'static str) {
    let kind = match failure {
        // RFC 9068, section 4: a token for another audience is rejected as invalid.
        Failure::Refused(Error::WrongAudience) => Kind::InvalidToken,
        Failure::Refused(Error::ScopeNeeded(_)) => return (StatusCode::FORBIDDEN, "insufficient_scope"),
        other => other.description().kind,
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
        | Kind::Limit
        | Kind::NotSupported => "invalid_request",
        Kind::Throttled | Kind::Busy | Kind::Unavailable => "temporarily_unavailable",
    };
    (kind.status(), error)
}

/// Replaces the characters that RFC 6749 does not allow in a description.
fn permitted(text: &str) -> String {
    let allowed = |letter: char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
    text.chars()
        .map(|letter| if allowed(letter) { letter } else { '\'' })
        .collect()
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
        413 the body is longer than 64 KiB
        400 the request is not valid UTF-8
        415 send Content-Type: application/json; only requests with Authorization: Bearer may omit it
        415 send the body as Content-Type: application/x-www-form-urlencoded
        415 the body has a content coding
        400 the body ended early or could not be read
        400 send exactly one readable Authorization header
        404 there is no such endpoint
        405 this endpoint does not support this method
        501 past states are not kept
        429 too many requests retry-after=7
        401 no credential was sent www-authenticate=Bearer realm="jeton"
        401 the token is not active www-authenticate=Bearer realm="jeton", error="invalid_token"
        401 the e-mail address or the password is wrong www-authenticate=Bearer realm="jeton"
        429 too many failed logins retry-after=30
        403 not allowed
        403 this operation needs a session
        401 the audience of the token does not include this API www-authenticate=Bearer realm="jeton", error="invalid_token"
        403 the token lacks the scope tokens:read www-authenticate=Bearer realm="jeton", error="insufficient_scope", scope="tokens:read"
        404 not found
        404 this endpoint needs an API token, and the request has a session
        400 name the organization: the caller does not belong to exactly one
        409 the name is already in use
        409 the e-mail address belongs to another user
        409 the last admin of an organization cannot be removed
        409 the last site administrator cannot be removed
        403 the current password is missing or wrong
        409 the user is not a member of the organization
        409 the owner has as many active tokens as the organization allows
        409 the quota of 1000 teams of one organization is reached
        409 the organization keeps the last active token of an owner
        409 the token is revoked, expired or already replaced
        400 the cursor does not belong to this list
        400 the list is too long for this order, filter or count
        503 the server is overloaded retry-after=1
        503 the clock is 4 seconds behind the latest recorded instant retry-after=5
        503 no signing key is available
        503 the request failed in the server and may have been carried out
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
    401 invalid_token www-authenticate=Bearer realm="jeton", error="invalid_token"
    401 invalid_client www-authenticate=Bearer realm="jeton"
    429 temporarily_unavailable retry-after=30
    403 access_denied
    403 access_denied
    401 invalid_token www-authenticate=Bearer realm="jeton", error="invalid_token"
    403 insufficient_scope www-authenticate=Bearer realm="jeton", error="insufficient_scope", scope="tokens:read"
    404 invalid_request
    404 invalid_request
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
    400 invalid_request
    400 invalid_request
    503 temporarily_unavailable retry-after=1
    503 temporarily_unavailable retry-after=5
    503 temporarily_unavailable
    503 temporarily_unavailable
    "#);
    }

    #[test]
    fn a_description_has_no_character_that_the_rfc_forbids() {
        assert_eq!(permitted("a \"b\" \\ c\n\u{e9}"), "a 'b' ' c''");
    }
}
