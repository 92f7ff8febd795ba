//! Error responses of Terraform's API: JSON:API error objects.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Error;
use crate::http::Failure;
use crate::http::dialects::terraform::document::JsonApi;
use crate::http::input::{Fault, InputError, JSON_API, Location, LocationPart, Violation};
use crate::http::kind::Kind;
use crate::http::openapi::{self, ErrorAnswer, Inputs};

/// A document of errors.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorDocument {
    errors: Vec<ErrorObject>,
}

/// An error.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorObject {
    /// The status code, as a string.
    #[schema(value_type = String, example = "404")]
    status: Status,
    /// The kind of error.
    #[schema(example = "not found")]
    title: &'static str,
    /// The error message.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The location of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
}

/// A status code, serialized as a string since clients do not parse a number.
#[derive(Debug, Clone, Copy)]
struct Status(StatusCode);

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// The location of an error.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Source {
    /// A JSON pointer (RFC 6901) into the document.
    #[schema(example = json!({"pointer": "/data/attributes/expired-at"}))]
    Pointer(String),
    /// A query parameter.
    Parameter(String),
    /// A header.
    Header(String),
}

/// Returns the errors of an operation for the OpenAPI document. This API has no 403: forbidden
/// resources are 404.
pub(super) fn errors(inputs: Inputs) -> Vec<ErrorAnswer> {
    let body = || openapi::body_named(JSON_API, "ErrorDocument");
    let answer = |status, description| ErrorAnswer {
        status,
        description,
        body: body(),
    };
    let mut errors = openapi::common_errors(inputs, body);
    errors.retain(|error| !["403", "404", "415"].contains(&error.status));
    if inputs.write {
        errors.push(answer(
            "415",
            "The request has no `Content-Type: application/vnd.api+json`, which is needed also without a body",
        ));
    }
    if inputs.caller {
        errors.push(answer(
            "404",
            "The resource does not exist, or the caller may not see or change it",
        ));
    }
    if inputs.body {
        errors.push(answer(
            "422",
            "Invalid attributes, all of them, in the order of the attributes",
        ));
    }
    errors
}

/// Renders a failure as JSON:API errors.
pub(super) fn render(failure: &Failure) -> Response {
    let errors = error_objects(failure);
    // Errors in the path come first and determine the status.
    let first = errors.first().map(|error| error.status.0);
    let status = first.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
    let challenge = match status {
        StatusCode::UNAUTHORIZED => failure.challenge().or_else(|| failure.invalid_token()),
        _ => None,
    };
    failure.with_headers((status, JsonApi(ErrorDocument { errors })), challenge)
}

fn error_objects(failure: &Failure) -> Vec<ErrorObject> {
    if let Failure::Input(InputError::Invalid(violations)) = failure {
        let mut errors: Vec<ErrorObject> = violations.detail.iter().map(error_object).collect();
        // An invalid path is answered like an unknown one, with a single error.
        if errors
            .first()
            .is_some_and(|first| first.status.0 == StatusCode::NOT_FOUND)
        {
            errors.truncate(1);
        }
        return errors;
    }
    if let Failure::Refused(Error::NameTaken) = failure {
        let attributes = Location::root("body").field("data").field("attributes");
        return vec![error_object(&not_unique(&attributes, "name"))];
    }
    let (status, usual) = status_and_message(failure);
    let detail = terraform_message(failure).map_or(usual, Some);
    vec![ErrorObject {
        status: Status(status),
        title: title(status),
        detail: detail.filter(|detail| !detail.is_empty()).map(Cow::into_owned),
        source: None,
    }]
}

/// Returns the status of a failure, and its message if the API sends one.
fn status_and_message(failure: &Failure) -> (StatusCode, Option<Cow<'static, str>>) {
    let description = failure.description();
    let kind = match failure {
        // A token for other services counts as invalid.
        Failure::Refused(Error::WrongAudience) => Kind::InvalidToken,
        // Terraform's clients expect this as an invalid attribute.
        Failure::Refused(Error::NotAMember) => Kind::InvalidInput,
        _ => description.kind(),
    };
    let text = description.text;
    match kind {
        // A forbidden resource is answered like an unknown one.
        Kind::Forbidden => (StatusCode::NOT_FOUND, None),
        Kind::Unauthenticated
        | Kind::InvalidToken
        | Kind::NotFound
        | Kind::MethodNotAllowed
        | Kind::InvalidInput
        | Kind::NotSupported => (kind.status(), None),
        Kind::AlreadyExists | Kind::Limit => (
            StatusCode::UNPROCESSABLE_ENTITY,
            Some(format!("Validation failed: {text}").into()),
        ),
        Kind::BadRequest
        | Kind::TooLarge
        | Kind::UnsupportedMedia
        | Kind::Conflict
        | Kind::Gone
        | Kind::Throttled
        | Kind::Busy
        | Kind::Unavailable => (kind.status(), Some(text)),
    }
}

/// Returns the messages that Terraform words differently; an empty text suppresses the message.
fn terraform_message(failure: &Failure) -> Option<Cow<'static, str>> {
    let words = match failure {
        Failure::Input(InputError::UnsupportedMediaType | InputError::FormNeeded) => {
            return Some(format!("Send Content-Type: {JSON_API}, also without a body.").into());
        }
        Failure::AmbiguousCredential => "Send one Authorization header: Bearer.",
        Failure::TooManyRequests { .. } => "You have exceeded the API's rate limit.",
        Failure::Refused(error) => match error {
            Error::LimitReached { limit, .. } => {
                let many = format!("the owner already has {limit} active tokens, the organization's limit");
                return Some(format!("Validation failed: {many}").into());
            }
            Error::AddressTaken => return Some(format!("Validation failed: Email {TAKEN}").into()),
            Error::NotAMember => {
                "Validation failed: only an admin of the organization can add users from outside of it"
            }
            Error::LockedOut { .. } => "Too many failed logins.",
            Error::LastAdministrator => "At least one site administrator must remain.",
            Error::LastToken { .. } => {
                "This is the owner's last active token, which the organization's policy keeps."
            }
            Error::NotActive => "The token is revoked, expired or already replaced.",
            Error::OrganizationNeeded => "Name the organization: the caller does not belong to exactly one.",
            Error::BadCursor => "",
            Error::Busy => "The server is overloaded: retry after the seconds in Retry-After.",
            _ => return None,
        },
        _ => return None,
    };
    Some(words.into())
}

/// Returns the violation of an attribute that must be unique.
pub(super) fn not_unique(attributes: &Location, name: &'static str) -> Violation {
    let fault = Fault::Value {
        error: TAKEN.to_owned(),
    };
    Violation::new(fault, attributes.field(name), &())
}

/// The message after the attribute's name, which clients compare.
const TAKEN: &str = "has already been taken";

/// Converts a violation. An invalid path is 404; an invalid query or header and malformed JSON are 400.
fn error_object(violation: &Violation) -> ErrorObject {
    let (status, source) = match violation.loc.parts() {
        Some((LocationPart::Name(part), rest)) => match &**part {
            "path" => (StatusCode::NOT_FOUND, None),
            "query" => (
                StatusCode::BAD_REQUEST,
                Some(Source::Parameter(parameter_name(rest))),
            ),
            // As for the other APIs: a new key is needed, not another form of it.
            "header" if violation.kind == "idempotency_key_reused" => (
                StatusCode::UNPROCESSABLE_ENTITY,
                Some(Source::Header(parameter_name(rest))),
            ),
            "header" => (
                StatusCode::BAD_REQUEST,
                Some(Source::Header(parameter_name(rest))),
            ),
            _ if violation.kind == "json_invalid" => (StatusCode::BAD_REQUEST, None),
            _ => (
                StatusCode::UNPROCESSABLE_ENTITY,
                Some(Source::Pointer(pointer(rest))),
            ),
        },
        _ => (StatusCode::UNPROCESSABLE_ENTITY, None),
    };
    let text = violation
        .msg
        .strip_prefix("Value error, ")
        .unwrap_or(&violation.msg);
    let name = violation.loc.name();
    let detail = match &source {
        Some(_) if text == TAKEN => Some(format!("Validation failed: {} {text}", capitalized(name))),
        Some(_) => Some(format!("{name}: {text}")),
        None => (status == StatusCode::BAD_REQUEST).then(|| text.to_owned()),
    };
    ErrorObject {
        status: Status(status),
        title: title(status),
        detail,
        source,
    }
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// Returns the name of a parameter or header.
fn parameter_name(way: &[LocationPart]) -> String {
    way.first().map(segment).unwrap_or_default()
}

/// Returns the JSON pointer (RFC 6901) to a value.
fn pointer(way: &[LocationPart]) -> String {
    let escaped = |part| format!("/{}", segment(part).replace('~', "~0").replace('/', "~1"));
    way.iter().map(escaped).collect()
}

fn segment(part: &LocationPart) -> String {
    match part {
        LocationPart::Name(name) => name.clone().into_owned(),
        LocationPart::Index(index) => index.to_string(),
    }
}

fn title(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad request",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::NOT_FOUND => "not found",
        StatusCode::METHOD_NOT_ALLOWED => "method not allowed",
        StatusCode::CONFLICT => "conflict",
        StatusCode::GONE => "gone",
        StatusCode::PAYLOAD_TOO_LARGE => "payload too large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported media type",
        StatusCode::UNPROCESSABLE_ENTITY => "invalid attributes",
        StatusCode::TOO_MANY_REQUESTS => "Too many requests",
        StatusCode::NOT_IMPLEMENTED => "not implemented",
        _ => "service unavailable",
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::http::error::tests::table;
    use crate::http::input::Violations;

    #[tokio::test]
    async fn the_table_from_failures_to_errors() {
        let table = table(render, "errors").await;
        insta::assert_snapshot!(table, @r#"
        422 []
        413 [{"detail":"The body is longer than 64 KiB.","status":"413","title":"payload too large"}]
        400 [{"detail":"The request is not valid UTF-8.","status":"400","title":"bad request"}]
        415 [{"detail":"Send Content-Type: application/vnd.api+json, also without a body.","status":"415","title":"unsupported media type"}]
        415 [{"detail":"Send Content-Type: application/vnd.api+json, also without a body.","status":"415","title":"unsupported media type"}]
        415 [{"detail":"Send the body without Content-Encoding.","status":"415","title":"unsupported media type"}]
        400 [{"detail":"The body ended early or could not be read.","status":"400","title":"bad request"}]
        400 [{"detail":"Send one Authorization header: Bearer.","status":"400","title":"bad request"}]
        404 [{"status":"404","title":"not found"}]
        405 [{"status":"405","title":"method not allowed"}]
        501 [{"status":"501","title":"not implemented"}]
        429 [{"detail":"You have exceeded the API's rate limit.","status":"429","title":"Too many requests"}] retry-after=7
        401 [{"status":"401","title":"unauthorized"}] www-authenticate=Bearer realm="jeton"
        401 [{"status":"401","title":"unauthorized"}] www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token is not active. Log in again, or use another API token; the owner of this one sees its status in `GET /api/v1/tokens?include_revoked=true`."
        401 [{"status":"401","title":"unauthorized"}] www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token has expired. Log in again, or create another API token."
        401 [{"status":"401","title":"unauthorized"}] www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token is revoked. Log in again, or use another API token; the owner of this one sees when, by whom and why in `GET /api/v1/tokens?include_revoked=true`."
        401 [{"status":"401","title":"unauthorized"}] www-authenticate=Bearer realm="jeton"
        404 [{"status":"404","title":"not found"}]
        409 [{"detail":"This deployment has an administrator, or another server's start printed the code: log in, or ask them for an account.","status":"409","title":"conflict"}]
        429 [{"detail":"Too many failed logins.","status":"429","title":"Too many requests"}] retry-after=30
        404 [{"status":"404","title":"not found"}]
        404 [{"status":"404","title":"not found"}]
        401 [{"status":"401","title":"unauthorized"}] www-authenticate=Bearer realm="jeton", error="invalid_token", error_description="The token is for other services: its audience does not include this one. Create a token with this `audience`."
        404 [{"status":"404","title":"not found"}]
        404 [{"status":"404","title":"not found"}]
        404 [{"status":"404","title":"not found"}]
        404 [{"status":"404","title":"not found"}]
        400 [{"detail":"Name the organization: the caller does not belong to exactly one.","status":"400","title":"bad request"}]
        422 [{"detail":"Validation failed: Name has already been taken","source":{"pointer":"/data/attributes/name"},"status":"422","title":"invalid attributes"}]
        422 [{"detail":"Validation failed: Email has already been taken","status":"422","title":"invalid attributes"}]
        409 [{"detail":"An organization must keep at least one admin.","status":"409","title":"conflict"}]
        409 [{"detail":"At least one site administrator must remain.","status":"409","title":"conflict"}]
        404 [{"status":"404","title":"not found"}]
        422 [{"detail":"Validation failed: only an admin of the organization can add users from outside of it","status":"422","title":"invalid attributes"}]
        422 [{"detail":"Validation failed: the owner already has 3 active tokens, the organization's limit","status":"422","title":"invalid attributes"}]
        422 [{"detail":"Validation failed: The quota is reached: at most 1000 teams of one organization. Remove one first.","status":"422","title":"invalid attributes"}]
        409 [{"detail":"This is the owner's last active token, which the organization's policy keeps.","status":"409","title":"conflict"}]
        409 [{"detail":"The token is revoked, expired or already replaced.","status":"409","title":"conflict"}]
        409 [{"detail":"A successor of the signing key is published already, and signs once all cached key sets have it. To rotate again, wait until then, or retire it; after a leak, revoke the signing key.","status":"409","title":"conflict"}]
        409 [{"detail":"The key signs, and retires when its successor begins to: rotate it, or revoke it after a leak.","status":"409","title":"conflict"}]
        409 [{"detail":"A request with this Idempotency-Key was carried out already, at 2026-01-02T12:00:00.000Z, and created the token 2. No response shows its secret again: rotate it with a grace period of 0 to get another.","status":"409","title":"conflict"}]
        400 [{"status":"400","title":"bad request"}]
        410 [{"detail":"The events after this cursor are no longer kept: start again from `GET /api/v1/revocations/snapshot`.","status":"410","title":"gone"}]
        409 [{"detail":"The feed has not come as far as this cursor, since its end was lost: start again from `GET /api/v1/revocations/snapshot`.","status":"409","title":"conflict"}]
        409 [{"detail":"The cursor is of another history of the feed, such as before a restore: start again from `GET /api/v1/revocations/snapshot`.","status":"409","title":"conflict"}]
        410 [{"detail":"The lines after this one are no longer kept: `GET /api/v1/audit` lists those that are.","status":"410","title":"gone"}]
        409 [{"detail":"The audit has no such line, since its end was lost or another history was restored: `GET /api/v1/audit` lists what is there.","status":"409","title":"conflict"}]
        400 [{"detail":"Too many rows would be read for this order, filter or count: name an organization, a token or a shorter time, sort by `created_at`, or leave out the count.","status":"400","title":"bad request"}]
        503 [{"detail":"The server is overloaded: retry after the seconds in Retry-After.","status":"503","title":"service unavailable"}] retry-after=1
        503 [{"detail":"The server's clock is behind the latest recorded instant, and nothing is issued until it has caught up: retry after the seconds in Retry-After.","status":"503","title":"service unavailable"}] retry-after=5
        503 [{"detail":"The server's clock differs from that of the database by more than a second, and it changes nothing until the clock is right. Nothing was changed: retry, at another server.","status":"503","title":"service unavailable"}]
        503 [{"detail":"No signing key is available. Nothing was changed.","status":"503","title":"service unavailable"}]
        503 [{"detail":"The request failed in the server. It may have been carried out: check before you retry.","status":"503","title":"service unavailable"}]
        "#);
    }

    fn blamed(places: &[(Location, Fault)]) -> Vec<serde_json::Value> {
        let violation = |(at, fault): &(Location, Fault)| Violation::new(fault.clone(), at.clone(), &());
        let detail = places.iter().map(violation).collect();
        let failure = Failure::Input(InputError::Invalid(Violations { detail }));
        let objects = error_objects(&failure).into_iter();
        objects
            .map(|object| serde_json::to_value(object).unwrap())
            .collect()
    }

    #[test]
    fn a_violation_names_the_location() {
        let number = Location::root("query").field("page[number]");
        let name = Location::root("body").field("data").index(3).field("a/b~c");
        let errors = blamed(&[(number, Fault::IntegerParsing), (name, Fault::Missing)]);
        insta::assert_snapshot!(serde_json::Value::from(errors).to_string(), @r#"[{"detail":"page[number]: Input should be a valid integer, unable to parse string as an integer","source":{"parameter":"page[number]"},"status":"400","title":"bad request"},{"detail":"a/b~c: Field required","source":{"pointer":"/data/3/a~1b~0c"},"status":"422","title":"invalid attributes"}]"#);
    }

    #[test]
    fn an_invalid_path_is_404_without_other_errors() {
        let path = Location::root("path").field("team_id");
        let body = Location::root("body").field("data");
        let errors = blamed(&[(path, Fault::StringType), (body, Fault::ObjectType)]);
        insta::assert_snapshot!(serde_json::Value::from(errors).to_string(), @r#"[{"status":"404","title":"not found"}]"#);
    }
}
