//! How QuantCDN says what went wrong.

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Error;
use crate::http::Failure;
use crate::http::input::InputError;
use crate::http::kind::Kind;
use crate::http::openapi::{self, ErrorAnswer, Takes};

/// An error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QuantError {
    /// What is wrong, for people, with the names of the fields that are.
    #[schema(example = "name: Field required")]
    message: String,
    /// That it is an error: always `true`. Their Go client takes nothing without it for one.
    #[schema(example = true)]
    error: bool,
}

/// The errors of an operation, as its document has them.
pub(super) fn errors(takes: Takes) -> Vec<ErrorAnswer> {
    let body = || openapi::named("application/json", "QuantError");
    let mut errors = openapi::usual_errors(takes, body);
    if takes.body {
        errors.push(ErrorAnswer {
            status: "422",
            description: "Some fields are wrong: the message names all of them",
            body: body(),
        });
    }
    errors
}

/// Returns this API's answer to a failure.
pub(super) fn render(failure: &Failure) -> Response {
    let message = match failure {
        Failure::Input(InputError::Invalid(violations)) => violations.to_string(),
        Failure::Input(InputError::UnsupportedMediaType) => {
            "without Authorization: Bearer, a write needs Content-Type: application/json".to_owned()
        }
        other => other.to_string(),
    };
    let body = Json(QuantError { message, error: true });
    failure.with_headers((status(failure), body), failure.challenge())
}

fn status(failure: &Failure) -> StatusCode {
    let kind = match failure {
        Failure::Input(InputError::Invalid(violations)) if violations.is_malformed() => Kind::BadRequest,
        // QuantCDN keeps no token, and has no other status for what is well asked and not allowed.
        Failure::Refused(Error::LastToken { .. }) => Kind::Limit,
        other => other.description().kind,
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
        413 the body is longer than 64 KiB
        400 the request is not valid UTF-8
        415 without Authorization: Bearer, a write needs Content-Type: application/json
        415 the body must be application/x-www-form-urlencoded
        400 the body could not be read to its end
        400 the request must have one readable Authorization header
        404 there is nothing at this address
        405 this address does not take this method
        501 the past is not kept
        429 too many requests retry-after=7
        401 no credential was presented www-authenticate=Bearer realm="jeton"
        401 the presented token is not active www-authenticate=Bearer realm="jeton", error="invalid_token"
        401 e-mail or password is wrong www-authenticate=Bearer realm="jeton"
        429 too many failed logins retry-after=30
        403 not allowed
        403 this needs a session
        403 the token is meant for others
        403 the token lacks the scope tokens:read www-authenticate=Bearer realm="jeton", error="insufficient_scope", scope="tokens:read"
        404 not found
        404 a session is no API token
        400 no organization was named
        409 the name is taken
        409 the address is taken
        409 the last admin of an organization cannot be removed
        409 the last site administrator cannot be removed
        403 the current password is wrong
        409 not a member of the organization
        403 too many active tokens
        403 the last active token of an owner is kept
        409 the token is no longer active
        400 the cursor does not belong to this list
        503 too much to do retry-after=1
        503 no key is here to sign with
        503 unavailable
        "#);
    }
}
