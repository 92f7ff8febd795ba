//! How Terraform says what went wrong: JSON:API's error objects.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::authority::Error;
use crate::http::Failure;
use crate::http::dialects::terraform::document::JsonApi;
use crate::http::error::INVALID_TOKEN;
use crate::http::input::{Fault, InputError, JSON_API, Location, LocationPart, Violation};
use crate::http::kind::{Description, Kind};
use crate::http::openapi::{self, ErrorAnswer, Takes};

/// What is wrong with a request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorDocument {
    errors: Vec<ErrorObject>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorObject {
    /// The status, as text.
    #[schema(value_type = String, example = "404")]
    status: Status,
    /// What kind of thing is wrong; one text for each kind.
    #[schema(example = "not found")]
    title: &'static str,
    /// What is wrong, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
}

/// A status that is written as text: clients do not read it as a number.
#[derive(Debug, Clone, Copy)]
struct Status(StatusCode);

impl Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// Where in a request something is wrong.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Source {
    /// In the document, as RFC 6901 writes it.
    #[schema(example = json!({"pointer": "/data/attributes/expired-at"}))]
    Pointer(String),
    /// In a parameter of the query.
    Parameter(String),
    /// In a header.
    Header(String),
}

/// The errors of an operation, as its document has them. Nothing is forbidden here: it does not exist.
pub(super) fn errors(takes: Takes) -> Vec<ErrorAnswer> {
    let body = || openapi::named(JSON_API, "ErrorDocument");
    let answer = |status, description| ErrorAnswer {
        status,
        description,
        body: body(),
    };
    let mut errors = openapi::usual_errors(takes, body);
    errors.retain(|error| !["403", "404", "415"].contains(&error.status));
    if takes.write {
        errors.push(answer(
            "415",
            "The request does not say that it is of JSON:API, with or without a body",
        ));
    }
    if takes.caller {
        errors.push(answer(
            "404",
            "It does not exist, or the caller may not see or do this",
        ));
    }
    if takes.body {
        errors.push(answer(
            "422",
            "Some attributes are wrong: all of them, in their order",
        ));
    }
    errors
}

/// Returns this API's answer to a failure.
pub(super) fn render(failure: &Failure) -> Response {
    let errors = said(failure);
    // What is wrong with the address comes before what is wrong with the rest.
    let first = errors.first().map(|error| error.status.0);
    let status = first.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
    let challenge =
        (status == StatusCode::UNAUTHORIZED).then(|| failure.challenge().unwrap_or(INVALID_TOKEN));
    failure.with_headers((status, JsonApi(ErrorDocument { errors })), challenge)
}

fn said(failure: &Failure) -> Vec<ErrorObject> {
    if let Failure::Input(InputError::Invalid(violations)) = failure {
        let mut errors: Vec<ErrorObject> = violations.detail.iter().map(violated).collect();
        // An address that cannot be says no more than one that is not.
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
        return vec![violated(&taken(&attributes, "name"))];
    }
    let (status, usual) = usual(failure);
    let detail = own_words(failure).map_or(usual, Some);
    vec![ErrorObject {
        status: Status(status),
        title: title(status),
        detail: detail.filter(|detail| !detail.is_empty()).map(Cow::into_owned),
        source: None,
    }]
}

/// Returns the status of a failure, and its text where that is said.
fn usual(failure: &Failure) -> (StatusCode, Option<Cow<'static, str>>) {
    let Description { kind, text, .. } = failure.description();
    let kind = match failure {
        // A token that is meant for other services is none here.
        Failure::Refused(Error::WrongAudience) => Kind::InvalidToken,
        // Their own clients take it for a wrong attribute.
        Failure::Refused(Error::NotAMember) => Kind::InvalidInput,
        _ => kind,
    };
    match kind {
        // Whoever may not do something is told that there is nothing.
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
        | Kind::Throttled
        | Kind::Busy
        | Kind::Unavailable => (kind.status(), Some(text)),
    }
}

/// Returns what Terraform is told in words of its own; an empty text where nothing is said.
fn own_words(failure: &Failure) -> Option<Cow<'static, str>> {
    let words = match failure {
        Failure::Input(InputError::UnsupportedMediaType | InputError::FormNeeded) => {
            return Some(format!("Send Content-Type: {JSON_API}, also without a body.").into());
        }
        Failure::AmbiguousCredential => "Send one Authorization header: Bearer.",
        Failure::TooManyRequests { .. } => "You have exceeded the API's rate limit.",
        Failure::Refused(error) => match error {
            Error::LimitReached { limit, .. } => {
                let many = format!("there are {limit} active tokens, the most that the organization allows");
                return Some(format!("Validation failed: {many}").into());
            }
            Error::AddressTaken => return Some(format!("Validation failed: Email {TAKEN}").into()),
            Error::NotAMember => {
                "Validation failed: only an admin can bring in people from outside the organization"
            }
            Error::LockedOut { .. } => "Too many failed logins.",
            Error::LastAdministrator => "At least one site administrator has to stay.",
            Error::LastToken { .. } => "It is the last active token, and the organization keeps that.",
            Error::NotActive => "The token is revoked, expired or replaced already.",
            Error::OrganizationNeeded => "The organization has to be named.",
            Error::BadCursor => "",
            Error::Busy => "Too much to do at this moment.",
            _ => return None,
        },
        _ => return None,
    };
    Some(words.into())
}

/// An attribute that has to be unique and is not.
pub(super) fn taken(attributes: &Location, name: &'static str) -> Violation {
    let fault = Fault::Value {
        error: TAKEN.to_owned(),
    };
    Violation::new(fault, attributes.field(name), &())
}

/// What is said of it, after the attribute's name and in the words that clients compare.
const TAKEN: &str = "has already been taken";

/// What is said of a wrong field. What stands in the path cannot be, so it does not exist; the query is
/// JSON:API's 400, as is what is no JSON at all.
fn violated(violation: &Violation) -> ErrorObject {
    let (status, source) = match violation.loc.parts() {
        Some((LocationPart::Name(part), rest)) => match &**part {
            "path" => (StatusCode::NOT_FOUND, None),
            "query" => (StatusCode::BAD_REQUEST, Some(Source::Parameter(last(rest)))),
            "header" => (StatusCode::BAD_REQUEST, Some(Source::Header(last(rest)))),
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

/// The name of a parameter or a header.
fn last(way: &[LocationPart]) -> String {
    way.first().map(segment).unwrap_or_default()
}

/// The way to a value, as RFC 6901 writes it.
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
        400 [{"detail":"The body ended early or could not be read.","status":"400","title":"bad request"}]
        400 [{"detail":"Send one Authorization header: Bearer.","status":"400","title":"bad request"}]
        404 [{"status":"404","title":"not found"}]
        405 [{"status":"405","title":"method not allowed"}]
        501 [{"status":"501","title":"not implemented"}]
        429 [{"detail":"You have exceeded the API's rate limit.","status":"429","title":"Too many requests"}] retry-after=7
        401 [{"status":"401","title":"unauthorized"}] www-authenticate=Bearer realm="jeton"
        401 [{"status":"401","title":"unauthorized"}] www-authenticate=Bearer realm="jeton", error="invalid_token"
        401 [{"status":"401","title":"unauthorized"}] www-authenticate=Bearer realm="jeton"
        429 [{"detail":"Too many failed logins.","status":"429","title":"Too many requests"}] retry-after=30
        404 [{"status":"404","title":"not found"}]
        404 [{"status":"404","title":"not found"}]
        401 [{"status":"401","title":"unauthorized"}] www-authenticate=Bearer realm="jeton", error="invalid_token"
        404 [{"status":"404","title":"not found"}]
        404 [{"status":"404","title":"not found"}]
        404 [{"status":"404","title":"not found"}]
        400 [{"detail":"The organization has to be named.","status":"400","title":"bad request"}]
        422 [{"detail":"Validation failed: Name has already been taken","source":{"pointer":"/data/attributes/name"},"status":"422","title":"invalid attributes"}]
        422 [{"detail":"Validation failed: Email has already been taken","status":"422","title":"invalid attributes"}]
        409 [{"detail":"An organization must keep at least one admin.","status":"409","title":"conflict"}]
        409 [{"detail":"At least one site administrator has to stay.","status":"409","title":"conflict"}]
        404 [{"status":"404","title":"not found"}]
        422 [{"detail":"Validation failed: only an admin can bring in people from outside the organization","status":"422","title":"invalid attributes"}]
        422 [{"detail":"Validation failed: there are 3 active tokens, the most that the organization allows","status":"422","title":"invalid attributes"}]
        409 [{"detail":"It is the last active token, and the organization keeps that.","status":"409","title":"conflict"}]
        409 [{"detail":"The token is revoked, expired or replaced already.","status":"409","title":"conflict"}]
        400 [{"status":"400","title":"bad request"}]
        503 [{"detail":"Too much to do at this moment.","status":"503","title":"service unavailable"}] retry-after=1
        503 [{"detail":"No signing key is available. Nothing was changed.","status":"503","title":"service unavailable"}]
        503 [{"detail":"The request failed in the server. It may have been carried out: check before you retry.","status":"503","title":"service unavailable"}]
        "#);
    }

    fn blamed(places: &[(Location, Fault)]) -> Vec<serde_json::Value> {
        let violation = |(at, fault): &(Location, Fault)| Violation::new(fault.clone(), at.clone(), &());
        let detail = places.iter().map(violation).collect();
        let failure = Failure::Input(InputError::Invalid(Violations { detail }));
        let objects = said(&failure).into_iter();
        objects
            .map(|object| serde_json::to_value(object).unwrap())
            .collect()
    }

    #[test]
    fn a_wrong_field_is_named_where_it_stands() {
        let number = Location::root("query").field("page[number]");
        let name = Location::root("body").field("data").index(3).field("a/b~c");
        let errors = blamed(&[(number, Fault::IntegerParsing), (name, Fault::Missing)]);
        insta::assert_snapshot!(serde_json::Value::from(errors).to_string(), @r#"[{"detail":"page[number]: Input should be a valid integer, unable to parse string as an integer","source":{"parameter":"page[number]"},"status":"400","title":"bad request"},{"detail":"a/b~c: Field required","source":{"pointer":"/data/3/a~1b~0c"},"status":"422","title":"invalid attributes"}]"#);
    }

    #[test]
    fn what_cannot_stand_in_a_path_does_not_exist_and_nothing_else_is_said() {
        let path = Location::root("path").field("team_id");
        let body = Location::root("body").field("data");
        let errors = blamed(&[(path, Fault::StringType), (body, Fault::ObjectType)]);
        insta::assert_snapshot!(serde_json::Value::from(errors).to_string(), @r#"[{"status":"404","title":"not found"}]"#);
    }
}
