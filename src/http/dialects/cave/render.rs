//! Error responses of CAVE's API: plain text, or a status without a body.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};

use crate::authority::Error;
use crate::http::Failure;
use crate::http::input::InputError;
use crate::http::kind::Kind;
use crate::http::openapi::{self, ErrorAnswer, Inputs};
use jeton_core::token::OwnerKind;

/// The reason why a request of this API failed.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A failure common to all APIs.
    Failure(Failure),
    /// A status and message specific to CAVE.
    Response(StatusCode, Cow<'static, str>),
}

impl Refusal {
    /// Returns a 400 with CAVE's message.
    pub(super) fn bad_request(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Response(StatusCode::BAD_REQUEST, text.into())
    }

    /// Converts the error of creating a resource with a unique name.
    pub(super) fn of_creation(error: Error, kind: &str, name: &str) -> Self {
        match error {
            Error::NameTaken => {
                let text = format!("{kind} '{name}' already exists.");
                Self::Response(StatusCode::CONFLICT, text.into())
            }
            other => other.into(),
        }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failure(error.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Failure(failure) => failure.into_response(),
            Self::Response(status, text) => (status, text).into_response(),
        }
    }
}

/// Returns the errors of an operation for the OpenAPI document.
pub(super) fn errors(inputs: Inputs) -> Vec<ErrorAnswer> {
    let text = || Some(("text/plain", text_schema()));
    let mut errors = vec![(
        "429",
        "Too many requests; `Retry-After` says when to retry",
        text(),
    )];
    if inputs.caller {
        errors.push((
            "401",
            "The request has no credential; `WWW-Authenticate` asks for Basic",
            None,
        ));
        errors.push((
            "403",
            "The credential is not active, or the role does not allow this",
            None,
        ));
        errors.push(("503", "The server is overloaded or failed", text()));
    }
    if inputs.caller || inputs.body {
        errors.push(("400", "The request is invalid", text()));
    }
    if inputs.path {
        errors.push(("404", "The resource does not exist, or you may not see it", None));
    }
    if inputs.key {
        errors.push(("409", openapi::ALREADY_DONE, text()));
    }
    if inputs.body {
        errors.push(("413", "The body is longer than 64 KiB", text()));
    }
    let errors = errors.into_iter().map(|(status, description, body)| ErrorAnswer {
        status,
        description,
        body,
    });
    errors.collect()
}

fn text_schema() -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).into()
}

/// Renders a failure as CAVE does.
pub(super) fn render(failure: &Failure) -> Response {
    let (status, text) = answer(failure);
    let response = match text.is_empty() {
        true => status.into_response(),
        false => (status, text).into_response(),
    };
    let challenge = match failure {
        Failure::Refused(Error::NoCredential) => Some(HeaderValue::from_static("Basic realm=\"Restricted\"")),
        _ => None,
    };
    failure.with_headers(response, challenge)
}

fn answer(failure: &Failure) -> (StatusCode, Cow<'static, str>) {
    if let Some(exception) = exception(failure) {
        return exception;
    }
    let description = failure.description();
    let (kind, text) = (description.kind(), description.text);
    let status = match kind {
        Kind::Unauthenticated | Kind::NotFound | Kind::MethodNotAllowed => return (kind.status(), "".into()),
        Kind::InvalidToken | Kind::Forbidden => return (StatusCode::FORBIDDEN, "".into()),
        Kind::TooLarge => return (kind.status(), format!("Request Entity Too Large: {text}").into()),
        Kind::BadRequest | Kind::InvalidInput | Kind::UnsupportedMedia | Kind::NotSupported => {
            return (StatusCode::BAD_REQUEST, format!("Bad Request: {text}").into());
        }
        Kind::Conflict | Kind::Limit => StatusCode::BAD_REQUEST,
        Kind::AlreadyExists | Kind::Gone | Kind::Throttled | Kind::Busy | Kind::Unavailable => kind.status(),
    };
    (status, text)
}

/// Returns the status and message of failures for which CAVE differs from their kind.
fn exception(failure: &Failure) -> Option<(StatusCode, Cow<'static, str>)> {
    let text = match failure {
        Failure::Input(InputError::Invalid(violations)) if violations.is_malformed() => {
            "Bad Request: Invalid Json"
        }
        Failure::Input(InputError::Invalid(violations)) if violations.is_in_path() => {
            return Some((StatusCode::NOT_FOUND, "".into()));
        }
        Failure::Input(InputError::Utf8) => "Bad Request: Invalid UTF-8",
        Failure::Input(InputError::UnsupportedMediaType | InputError::FormNeeded) => {
            "Bad Request: Expecting text/json or application/json body"
        }
        Failure::NoHistory => "Bad Request: Past states are not kept.",
        Failure::Refused(error) => match error {
            // Only admins of the organization may add users from outside of it.
            Error::NotAMember => return Some((StatusCode::FORBIDDEN, "".into())),
            Error::AlreadyDone(_) => return Some((StatusCode::CONFLICT, failure.description().text)),
            Error::Unavailable(_) => {
                let text = "Oops! We've experienced an internal error. Please try your request again later.";
                return Some((StatusCode::SERVICE_UNAVAILABLE, text.into()));
            }
            Error::LimitReached { owner, .. } => {
                let text = format!("Too many tokens for {}.", word(*owner));
                return Some((StatusCode::BAD_REQUEST, text.into()));
            }
            Error::LastToken { owner } => {
                let text = format!("Cannot delete the last {} token.", word(*owner));
                return Some((StatusCode::BAD_REQUEST, text.into()));
            }
            Error::BadLogin => "Login failed.",
            Error::WrongPassword => "Cannot change the password: current_password is missing or wrong.",
            Error::LastAdmin => "Cannot remove the last organization admin.",
            Error::LastAdministrator => "Cannot remove the last administrator.",
            Error::OrganizationNeeded => {
                "Bad Request: Name the organization: you do not belong to exactly one."
            }
            Error::NotActive => "The token is not active any more.",
            Error::BadCursor => "Bad Request: The cursor does not belong to this list.",
            _ => return None,
        },
        _ => return None,
    };
    Some((StatusCode::BAD_REQUEST, text.into()))
}

fn word(owner: OwnerKind) -> &'static str {
    match owner {
        OwnerKind::User => "user",
        OwnerKind::Team => "team",
        OwnerKind::Organization => "organization",
        OwnerKind::Deployment => "deployment",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::error::tests::table;

    #[tokio::test]
    async fn the_table_from_failures_to_answers() {
        let table = table(render, "").await;
        insta::assert_snapshot!(table, @r#"
        400 Bad Request: 
        413 Request Entity Too Large: The body is longer than 64 KiB.
        400 Bad Request: Invalid UTF-8
        400 Bad Request: Expecting text/json or application/json body
        400 Bad Request: Expecting text/json or application/json body
        400 Bad Request: Send the body without Content-Encoding.
        400 Bad Request: The body ended early or could not be read.
        400 Bad Request: Send one Authorization header: Bearer, or Basic with the token as username.
        404 
        405 
        400 Bad Request: Past states are not kept.
        429 Too many requests: retry after the seconds in Retry-After. retry-after=7
        401  www-authenticate=Basic realm="Restricted"
        403 
        403 
        403 
        400 Login failed.
        403 
        400 This deployment has an administrator, or another server's start printed the code: log in, or ask them for an account.
        429 Too many failed logins: retry after the seconds in Retry-After. retry-after=30
        403 
        403 
        403 
        403 
        404 
        403 
        403 
        400 Bad Request: Name the organization: you do not belong to exactly one.
        409 This name is already in use.
        409 This e-mail address belongs to another user.
        400 Cannot remove the last organization admin.
        400 Cannot remove the last administrator.
        400 Cannot change the password: current_password is missing or wrong.
        403 
        400 Too many tokens for team.
        400 The quota is reached: at most 1000 teams of one organization. Remove one first.
        400 Cannot delete the last organization token.
        400 The token is not active any more.
        400 A successor of the signing key is published already, and signs once all cached key sets have it. To rotate again, wait until then, or retire it; after a leak, revoke the signing key.
        400 The key signs, and retires when its successor begins to: rotate it, or revoke it after a leak.
        409 A request with this Idempotency-Key was carried out already, at 2026-01-02T12:00:00.000Z, and created the token 2. No response shows its secret again: rotate it with a grace period of 0 to get another.
        400 Bad Request: The cursor does not belong to this list.
        410 The events after this cursor are no longer kept: start again from `GET /api/v1/revocations/snapshot`.
        400 The feed has not come as far as this cursor, since its end was lost: start again from `GET /api/v1/revocations/snapshot`.
        400 The cursor is of another history of the feed, such as before a restore: start again from `GET /api/v1/revocations/snapshot`.
        410 The lines after this one are no longer kept: `GET /api/v1/audit` lists those that are.
        400 The audit has no such line, since its end was lost or another history was restored: `GET /api/v1/audit` lists what is there.
        400 Bad Request: Too many rows would be read for this order, filter or count: name an organization, a token or a shorter time, sort by `created_at`, or leave out the count.
        503 The server is overloaded: retry after the seconds in Retry-After. retry-after=1
        503 The server's clock is behind the latest recorded instant, and nothing is issued until it has caught up: retry after the seconds in Retry-After. retry-after=5
        503 The server's clock differs from that of the database by more than a second, and it changes nothing until the clock is right. Nothing was changed: retry, at another server.
        503 No signing key is available. Nothing was changed.
        503 Oops! We've experienced an internal error. Please try your request again later.
        "#);
    }
}
