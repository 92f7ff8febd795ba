//! Examples of errors in OpenAPI documents, rendered from failures as the responses are.

use std::time::Duration;

use axum::http::header;
use axum::response::Response;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, RefOr};

use crate::authority::{AlreadyDone, Counted, Error, Inactive, KeyStateFault, LostLine, LostPlace};
use crate::http::Failure;
use crate::http::domain_types;
use crate::http::input::{self, Fault, InputError, Location, Scalar, Violation, Violations};
use jeton_core::clock::{Day, Timestamp};
use jeton_core::directory::Email;
use jeton_core::token::{ManagementScope, OwnerKind, TokenId};
use jeton_store::Made;
use jeton_verifier::Rejection;
use jeton_verifier::feed::NotACursor;

/// Returns one of every failure with its name: the code, or what tells it from others with the same code.
pub(super) fn failures() -> Vec<(&'static str, Failure)> {
    let refused = [
        ("not_authenticated", Error::NoCredential),
        (
            "invalid_token",
            Error::BadCredential(Inactive::Rejected(Rejection::BadSignature)),
        ),
        ("token_expired", Error::BadCredential(Inactive::Expired)),
        ("token_revoked", Error::BadCredential(Inactive::Revoked)),
        ("login_failed", Error::BadLogin),
        ("wrong_setup_code", Error::WrongSetupCode),
        ("already_set_up", Error::AlreadySetUp),
        ("login_throttled", Error::LockedOut { retry_after: 30 }),
        ("forbidden", Error::Forbidden),
        ("session_needed", Error::SessionNeeded),
        ("wrong_audience", Error::WrongAudience),
        ("insufficient_scope", Error::ScopeNeeded("projects:read".into())),
        ("not_found", Error::Absent),
        ("api_token_needed", Error::ApiTokenNeeded),
        (
            "deployment_token_needed",
            Error::DeploymentTokenNeeded(ManagementScope::UsageWrite.as_str()),
        ),
        ("organization_needed", Error::OrganizationNeeded),
        ("name_taken", Error::NameTaken),
        ("address_taken", Error::AddressTaken),
        ("last_admin", Error::LastAdmin),
        ("last_site_administrator", Error::LastAdministrator),
        ("wrong_password", Error::WrongPassword),
        ("not_a_member", Error::NotAMember),
        (
            "limit_reached",
            Error::LimitReached {
                owner: OwnerKind::Team,
                limit: 3,
            },
        ),
        (
            "quota_reached:teams",
            Error::QuotaReached {
                what: Counted::Teams,
                most: 1_000,
            },
        ),
        (
            "last_token",
            Error::LastToken {
                owner: OwnerKind::Organization,
            },
        ),
        ("not_active", Error::NotActive),
        ("successor_waits", Error::KeyState(KeyStateFault::SuccessorWaits)),
        ("key_signs", Error::KeyState(KeyStateFault::Signs)),
        ("already_done", Error::AlreadyDone(Box::new(already_done()))),
        ("bad_cursor", Error::BadCursor),
        ("cursor_pruned", Error::LostPlace(LostPlace::Pruned)),
        ("cursor_ahead", Error::LostPlace(LostPlace::Ahead)),
        ("other_epoch", Error::LostPlace(LostPlace::OtherEpoch)),
        ("audit_pruned", Error::LostLine(LostLine::Pruned)),
        ("audit_ahead", Error::LostLine(LostLine::Ahead)),
        ("too_costly", Error::TooCostly),
        ("busy", Error::Busy),
        ("clock_behind", Error::ClockBehind(Duration::from_millis(4_001))),
        ("clock_differs", Error::ClockDiffers),
        ("no_signing_key", Error::NoSigningKey),
        ("unavailable", Error::Unavailable("the disk is on fire".into())),
    ];
    let input = [
        ("invalid", InputError::Invalid(Violations::default())),
        ("body_too_large", InputError::BodyTooLarge),
        ("invalid_utf8", InputError::Utf8),
        ("unsupported_media_type", InputError::UnsupportedMediaType),
        ("form_needed", InputError::FormNeeded),
        ("content_encoding", InputError::Encoded),
        (
            "body_unreadable",
            InputError::BodyUnreadable("the wire is on fire".into()),
        ),
    ];
    let rest = [
        ("ambiguous_credential", Failure::AmbiguousCredential),
        ("no_route", Failure::NoRoute),
        ("method_not_allowed", Failure::NoMethod),
        ("not_supported", Failure::NoHistory),
        ("too_many_requests", Failure::TooManyRequests { retry_after: 7 }),
    ];
    let refused = refused.map(|(name, error)| (name, Failure::Refused(error)));
    let input = input.map(|(name, error)| (name, Failure::Input(error)));
    input.into_iter().chain(rest).chain(refused).collect()
}

fn already_done() -> AlreadyDone {
    AlreadyDone {
        at: Timestamp::from_seconds(1_767_355_200).unwrap_or_default(),
        made: Some(Made::Token(TokenId(2))),
        token: None,
    }
}

/// Returns the failure of a name. The name of a scope is the failure to have it, `quota_reached:` goes
/// before what is counted, and `deployment_token_needed:` before a scope.
fn failure(name: &str) -> Option<Failure> {
    if let Some(counted) = name.strip_prefix("quota_reached:") {
        let what = match counted {
            "tokens" => Counted::Tokens,
            "organizations" => Counted::Organizations,
            "teams" => Counted::Teams,
            "projects" => Counted::Projects,
            "members" => Counted::Members,
            "sessions" => Counted::Sessions,
            "idempotency_keys" => Counted::IdempotencyKeys,
            _ => return None,
        };
        return Some(Error::QuotaReached { what, most: 1_000 }.into());
    }
    if let Some(scope) = name.strip_prefix("deployment_token_needed:") {
        let scopes =
            [ManagementScope::RevocationsRead, ManagementScope::UsageWrite].map(ManagementScope::as_str);
        let scope = scopes.into_iter().find(|known| *known == scope)?;
        return Some(Error::DeploymentTokenNeeded(scope).into());
    }
    if name.contains(':') {
        return Some(Error::ScopeNeeded(name.to_owned().into()).into());
    }
    let mut all = failures().into_iter();
    all.find_map(|(known, failure)| (known == name).then_some(failure))
}

/// Adds an example of a failure to the response that has its status and media type, if there is one.
fn add(operation: &mut Operation, render: fn(&Failure) -> Response, name: &str, failure: &Failure) {
    let (head, body) = render(failure).into_parts();
    let media_type = head.headers.get(header::CONTENT_TYPE);
    let media_type = media_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default();
    let response = operation.responses.responses.get_mut(head.status.as_str());
    let Some(RefOr::T(response)) = response else {
        return;
    };
    let (Some(RefOr::T(content)), Some(Ok(body))) = (
        response.content.get_mut(media_type),
        body.collect().now_or_never(),
    ) else {
        return;
    };
    let bytes = body.to_bytes();
    let value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&bytes).into_owned()));
    // A document has one example or several, not both.
    if let Some(declared) = content.example.take() {
        let example = ExampleBuilder::new().value(Some(declared)).build();
        content.examples.insert("declared".to_owned(), example.into());
    }
    // Some APIs answer several failures with the same text.
    if !content.examples.values().any(|other| is(other, &value)) {
        let example = ExampleBuilder::new().value(Some(value));
        let example = || example.build().into();
        content.examples.entry(name.to_owned()).or_insert_with(example);
    }
}

fn is(example: &RefOr<Example>, value: &Value) -> bool {
    matches!(example, RefOr::T(example) if example.value.as_ref() == Some(value))
}

/// Returns the names of failures in the place of an example: one, or a list.
fn named(example: &Value) -> Option<Vec<String>> {
    let names = match example {
        Value::Array(names) => names.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?,
        name => vec![name.as_str()?],
    };
    let known = |name: &str| failure(name).map(|_| name.to_owned());
    names.into_iter().map(known).collect()
}

/// Adds examples to the errors of an operation: of the named failures, of the failures that its
/// responses name as their `example`, and of an invalid request. Each goes to the response with the
/// status that its failure has. An example of that name which the response declares stays: the API has a text
/// of its own for the operation.
pub(super) fn add_all<'a>(
    operation: &mut Operation,
    render: fn(&Failure) -> Response,
    names: impl IntoIterator<Item = &'a str>,
    invalid: Option<Violations>,
) {
    let mut names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    for content in contents(operation) {
        let declared = content.example.take_if(|example| named(example).is_some());
        names.extend(declared.as_ref().and_then(named).unwrap_or_default());
    }
    for name in names {
        if let Some(failure) = failure(&name) {
            add(operation, render, &name, &failure);
        }
    }
    if let Some(violations) = invalid {
        add(
            operation,
            render,
            "invalid",
            &InputError::Invalid(violations).into(),
        );
    }
    for content in contents(operation) {
        if content.examples.len() == 1
            && let Some((_, RefOr::T(only))) = content.examples.pop_first()
        {
            content.example = only.value;
        }
    }
}

fn contents(operation: &mut Operation) -> impl Iterator<Item = &mut Content> {
    let errors = operation.responses.responses.iter_mut();
    let errors = errors.filter(|(status, _)| status.starts_with(['4', '5']));
    let contents = errors.flat_map(|(_, response)| match response {
        RefOr::T(response) => response.content.values_mut().collect(),
        RefOr::Ref(_) => Vec::new(),
    });
    contents.filter_map(|content| match content {
        RefOr::T(content) => Some(content),
        RefOr::Ref(_) => None,
    })
}

/// Returns the violations of a request to an operation: of an empty object, or of a parameter. `None`
/// if there is no simple one.
pub(super) fn violations(document: &Value, operation: &Value) -> Option<Violations> {
    let content = operation
        .pointer("/requestBody/content")
        .and_then(Value::as_object);
    let body = content.and_then(|content| content.values().next());
    if let Some(body) = body {
        let schema = resolve(document, &body["schema"]);
        let mut detail = Vec::new();
        missing(document, schema, &Location::root("body"), &mut detail);
        let no_object = || Violation::new(Fault::ObjectType, Location::root("body"), &[(); 0]);
        if detail.is_empty() {
            detail.push(no_object());
        }
        let violations = Violations { detail };
        // Forms with a password echo nothing.
        let properties = schema["properties"].as_object();
        return Some(match properties.is_some_and(|all| all.contains_key("password")) {
            true => violations.without_input(),
            false => violations,
        });
    }
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let mut faults = parameters.filter_map(|parameter| {
        let schema = resolve(document, &parameter["schema"]);
        let part = ["path", "query"]
            .into_iter()
            .find(|part| parameter["in"] == *part)?;
        let at = Location::root(part).field(parameter["name"].as_str()?.to_owned());
        let is_of =
            |name: &str| [schema.get("type"), schema.pointer("/type/0")].contains(&Some(&name.into()));
        let (fault, input) = match (schema["format"].as_str(), schema["minLength"].as_u64()) {
            _ if is_of("integer") => (Fault::IntegerParsing, "x"),
            _ if is_of("boolean") => (Fault::BooleanParsing, "x"),
            (Some("email"), _) => (invalid_email()?, "x"),
            (Some("date"), _) => (invalid_date()?, "x"),
            (Some(domain_types::CURSOR), _) => {
                let error = NotACursor.to_string();
                (Fault::Value { error }, "x")
            }
            (None, Some(min_length)) if schema["pattern"].is_null() => {
                (Fault::StringTooShort { min_length }, "")
            }
            _ => return None,
        };
        Some(Violation::new(fault, at, input))
    });
    faults.next().map(Violations::from)
}

/// Returns the fault of a text that is no e-mail address.
fn invalid_email() -> Option<Fault> {
    let error = "x".parse::<Email>().err()?.to_string();
    Some(Fault::Value { error })
}

/// Returns the fault of a text that is no date.
fn invalid_date() -> Option<Fault> {
    Day::read(&input::Value::Text("x".into())).err()
}

/// Adds the violations of an empty object.
fn missing(document: &Value, schema: &Value, at: &Location, detail: &mut Vec<Violation>) {
    let required = schema["required"].as_array().into_iter().flatten();
    for name in required.filter_map(Value::as_str) {
        let at = at.field(name.to_owned());
        let field = schema.get("properties").and_then(|fields| fields.get(name));
        let field = resolve(document, field.unwrap_or(&Value::Null));
        match field["properties"].is_object() {
            // Counts as empty when absent, so that its missing fields are reported.
            true => missing(document, field, &at, detail),
            false => detail.push(Violation::new(Fault::Missing, at, &Map::new())),
        }
    }
}

/// Resolves references, and a schema that is combined with null.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.trim_start_matches('#'));
        return schema.map_or(&Value::Null, |schema| resolve(document, schema));
    }
    let choices = ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|choice| schema[choice].as_array());
    match choices.flatten().find(|one| one["type"] != "null") {
        Some(one) => resolve(document, one),
        None => schema,
    }
}
