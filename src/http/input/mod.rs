//! Parses path, query, headers and body into typed requests, or into one 422 with all violations.
//!
//! A request type has a [`Form`]: one struct that declares each field once, in order, with its bounds
//! and documentation. `#[derive(Form)]` generates both the parser and the OpenAPI schema from it. A
//! form is parsed field by field with pydantic's leniency, so that an invalid field does not hide
//! another. [`Request::parse`] checks rules across fields; a form without such rules is its own
//! request. A handler takes all parts as one [`Input`], the only way to obtain a request.

mod body;
mod bounds;
mod document;
mod error;
mod field;
mod fields;
mod scalar;
mod value;
mod violation;

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequest, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use url::form_urlencoded;

pub(crate) use body::JSON_API;
pub use body::{Encoding, MAX_BODY};
pub(crate) use bounds::{length, range};
pub(crate) use document::{Document, FieldDescription, Need, null, object, parameters, schemas};
pub use error::InputError;
pub use field::Field;
pub use fields::{Fields, Refused};
pub(crate) use jeton_form::Form;
pub(crate) use scalar::string;
pub use scalar::{Choice, Scalar};
pub use value::Value;
pub use violation::{Fault, Location, LocationPart, Violation, Violations};

use crate::http::requests::RequestContext;
use crate::http::unconfirmed::Unconfirmed;

use body::Media;
use fields::{Part, read};
use value::{Object, texts};

/// The input of a handler: path, query, body and headers, each `()` if unused.
///
/// It reads the body, so it must be the last argument, after the caller.
#[derive(Debug)]
pub(crate) struct Input<P = (), Q = (), B = (), H = ()> {
    pub path: P,
    pub query: Q,
    pub body: B,
    pub headers: H,
}

/// The fields of one part of a request. Derived: see the crate `jeton-form`.
pub(crate) trait Form: Sized {
    /// Whether the form requires a body.
    const BODY: Presence = Presence::Required;

    /// The encoding of the body.
    const ENCODING: Encoding = Encoding::Json;

    /// How repeated names are handled.
    const REPEATED: Repeated = Repeated::LastCounts;

    /// How unknown fields are handled.
    const UNKNOWN: Unknown = Unknown::Ignored;

    /// Whether violations echo the invalid value.
    const ECHO: Echo = Echo::Input;

    /// The description of the schema.
    const DESCRIPTION: &'static str = "";

    /// Returns the name of the schema.
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("")
    }

    /// Returns an example of the whole form.
    fn example() -> Option<serde_json::Value> {
        None
    }

    /// Reads every field, in the order of the error report. `None` if one is invalid.
    fn read_fields(fields: &mut Fields<'_>) -> Option<Self>;

    /// Adds every field to the schema, in the same order.
    fn document(document: &mut Document);
}

/// A parsed request.
pub(crate) trait Request: Sized {
    /// The form that it is parsed from.
    type Form: Form;

    /// Checks rules across fields, each valid by itself. [`Fields::refuse`] records a violation.
    fn parse(form: Self::Form, fields: &mut Fields<'_>) -> Result<Self, Refused>;
}

/// Whether a body is required.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Required,
    /// Absent, empty and `null` count as the empty object.
    Optional,
    /// The body is ignored.
    Unread,
}

/// How a repeated name in a query or form body is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    LastCounts,
    /// Repetition is an error, as in OAuth (RFC 6749, section 3.2): a reader of the first value and a
    /// reader of the last would see two different requests.
    Refused,
}

/// How fields that the form does not declare are handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Ignored, for clients of other systems, which may send more.
    Ignored,
    /// Refused, for forms in which a misspelt field would silently change the result.
    Forbidden,
    /// Refused, except in a request that has this header and whose body has no declared fields but
    /// these: the header identifies a client of another system, which may send more.
    ForbiddenUnless(&'static str, &'static [&'static str]),
}

/// Whether violations echo the invalid value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// The value as sent.
    Input,
    /// `null` instead. For a form with a password, which could be sent in the wrong field or beside a
    /// missing field, and end up in logs of responses.
    Nothing,
}

impl<F: Form> Request for F {
    type Form = F;

    fn parse(form: F, _: &mut Fields<'_>) -> Result<Self, Refused> {
        Ok(form)
    }
}

impl Request for () {
    type Form = Nothing;

    fn parse(_: Nothing, _: &mut Fields<'_>) -> Result<Self, Refused> {
        Ok(())
    }
}

/// The form of `()`.
#[derive(Debug)]
pub(crate) struct Nothing;

impl Form for Nothing {
    const BODY: Presence = Presence::Unread;

    fn read_fields(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self)
    }

    fn document(_: &mut Document) {}
}

impl<S, P, Q, B, H> FromRequest<S> for Input<P, Q, B, H>
where
    S: Send + Sync,
    P: Request,
    Q: Request,
    B: Request,
    H: Request,
{
    type Rejection = InputError;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, InputError> {
        let (mut parts, body) = request.into_parts();
        let media = Media::of(B::Form::ENCODING, &parts.method, &parts.headers)?;
        let text = match B::Form::BODY {
            Presence::Unread => String::new(),
            Presence::Required | Presence::Optional => body::text(body).await?,
        };
        if let Some(caller) = parts.extensions.remove::<Unconfirmed>() {
            caller.confirm(&text).await.map_err(InputError::Refused)?;
        }

        let path = read(Fields::new(
            Part::Path,
            Location::root("path"),
            &match P::Form::BODY {
                Presence::Unread => Object::default(),
                Presence::Required | Presence::Optional => path_members(&mut parts, state).await?,
            },
        ));
        let query = read(Fields::new(
            Part::Query,
            Location::root("query"),
            &query_members(parts.uri.query().unwrap_or_default()),
        ));
        let headers = read(Fields::new(
            Part::Header,
            Location::root("header"),
            &match H::Form::BODY {
                Presence::Unread => Object::default(),
                Presence::Required | Presence::Optional => header_members(&parts.headers),
            },
        ));
        let body = read_body(&text, media, &parts.headers).map_err(|violations| match B::Form::ECHO {
            Echo::Input => violations,
            Echo::Nothing => violations.without_input(),
        });

        match (path, query, headers, body) {
            (Ok(path), Ok(query), Ok(headers), Ok(body)) => {
                if B::Form::ECHO == Echo::Input
                    && let Some(context) = parts.extensions.get::<Arc<RequestContext>>()
                {
                    // Set at most once, since a request has one input.
                    let _ = context.body.set(text);
                }
                Ok(Self {
                    path,
                    query,
                    body,
                    headers,
                })
            }
            (path, query, headers, body) => {
                let parts = [path.err(), query.err(), headers.err(), body.err()];
                let detail = parts
                    .into_iter()
                    .flatten()
                    .flat_map(|violations| violations.detail)
                    .collect();
                Err(InputError::Invalid(Violations { detail }))
            }
        }
    }
}

fn read_body<B: Request>(text: &str, media: Media, headers: &HeaderMap) -> Result<B, Violations> {
    let at = Location::root("body");
    match (body::value(text, media)?, B::Form::BODY) {
        (Some(Value::Object(members)), _) => {
            let mut fields = Fields::new(Part::Body, at, &members);
            fields.with_headers(headers);
            read(fields)
        }
        (None, Presence::Required) => Err(Violation::new(Fault::Missing, at, &()).into()),
        (None | Some(Value::Null), Presence::Optional | Presence::Unread) => {
            read(Fields::new(Part::Body, at, &Object::default()))
        }
        (Some(value), _) => Err(Violation::new(Fault::ObjectType, at, &value).into()),
    }
}

/// Reads a text as the body of a request for a token: what a fuzzer calls.
#[cfg(fuzzing)]
pub fn fuzz_form(text: &str) {
    for media in [Media::Json, Media::UrlEncoded] {
        match read_body::<crate::authority::Issue>(text, media, &HeaderMap::new()) {
            Ok(_) => assert!(
                media == Media::UrlEncoded || serde_json::from_str::<serde_json::Value>(text).is_ok(),
                "accepted, and no JSON"
            ),
            Err(violations) => {
                assert!(!violations.detail.is_empty(), "refused without a reason");
                assert!(
                    serde_json::to_string(&violations).is_ok(),
                    "a reason that cannot be sent"
                );
            }
        }
    }
}

async fn path_members<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Object<'static>, InputError> {
    use axum::extract::FromRequestParts;
    match RawPathParams::from_request_parts(parts, state).await {
        Ok(params) => Ok(texts(params.iter().map(|(name, value)| {
            (Cow::Owned(name.to_owned()), Cow::Owned(value.to_owned()))
        }))),
        Err(RawPathParamsRejection::InvalidUtf8InPathParam(_)) => Err(InputError::Utf8),
        Err(_) => Ok(Object::default()),
    }
}

fn query_members(query: &str) -> Object<'_> {
    texts(form_urlencoded::parse(query.as_bytes()))
}

fn header_members(headers: &HeaderMap) -> Object<'_> {
    // No field reads the credential, so its text is not copied.
    let fields = headers.iter().filter(|(name, _)| *name != header::AUTHORIZATION);
    texts(fields.map(|(name, value)| {
        (
            Cow::Borrowed(name.as_str()),
            String::from_utf8_lossy(value.as_bytes()),
        )
    }))
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests;
