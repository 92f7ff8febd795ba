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
        Failure::Input(InputError::Invalid(violations)) if violations.is_in_path() => Kind::NotFound,
        // QuantCDN has no `keep_last_token`, and uses the status of a limit for valid requests that are
        // not allowed.
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
        403 the audience of the token does not include this API
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
        403 the owner has as many active tokens as the organization allows
        403 the quota of 1000 teams of one organization is reached
        403 the organization keeps the last active token of an owner
        409 the token is revoked, expired or already replaced
        400 the cursor does not belong to this list
        400 the list is too long for this order, filter or count
        503 the server is overloaded retry-after=1
        503 the clock is 4 seconds behind the latest recorded instant retry-after=5
        503 no signing key is available
        503 the request failed in the server and may have been carried out
        "#);
    }
}
