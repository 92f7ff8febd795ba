//! How a path, a query, headers and a body become typed requests, or one 422 with everything that
//! is wrong with them.
//!
//! A request type has a [`Form`]: one struct that declares its fields in order, each once, with its
//! bounds and documentation, from which `#[derive(Form)]` makes both this module's reading and the
//! document. The form is read field by field, as generously as pydantic does it, so that one wrong
//! field hides no other. Where rules across fields remain, [`Request::parse`] makes the request from
//! the form or refuses.
//! A form without such rules is its own request. A handler takes them all as one [`Input`], and
//! nothing else here gives out a request.

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

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequest, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use url::form_urlencoded;

pub(crate) use body::JSON_API;
pub use body::{Encoding, MAX_BODY};
pub(crate) use bounds::{length, range};
pub(crate) use document::{Described, Document, Need, object, parameters, schemas};
pub use error::InputError;
pub use field::Field;
pub use fields::{Fields, Refused};
pub(crate) use jeton_form::Form;
pub(crate) use scalar::string;
pub use scalar::{Choice, Scalar};
pub use value::Value;
pub use violation::{Fault, Location, LocationPart, Violation, Violations};

use body::Media;
use fields::{Part, read};
use value::{Object, texts};

/// The input of a handler: path, query, body and headers, each `()` where nothing is taken from it.
///
/// It reads the body, so it is the last argument, after whoever is asking.
#[derive(Debug)]
pub(crate) struct Input<P = (), Q = (), B = (), H = ()> {
    pub path: P,
    pub query: Q,
    pub body: B,
    pub headers: H,
}

/// The fields of one part of a request, as they come. Derived: see the crate `jeton-form`.
pub(crate) trait Form: Sized {
    /// What is expected of the body that this form is read from.
    const BODY: Presence = Presence::Required;

    /// How that body is written.
    const ENCODING: Encoding = Encoding::Json;

    /// What a name means that comes twice.
    const REPEATED: Repeated = Repeated::LastCounts;

    /// What becomes of fields that the form does not name.
    const UNKNOWN: Unknown = Unknown::Ignored;

    /// Whether what was wrong with a body is sent back.
    const ECHO: Echo = Echo::Input;

    /// What the form is, in documents.
    const DESCRIPTION: &'static str = "";

    /// The name of the form's schema.
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("")
    }

    /// An example of the whole.
    fn example() -> Option<serde_json::Value> {
        None
    }

    /// Asks for every field, in the order in which errors name them. `None` where one is wrong.
    fn fill(fields: &mut Fields<'_>) -> Option<Self>;

    /// Describes every field, in the same order.
    fn document(document: &mut Document);
}

/// What a handler is given.
pub(crate) trait Request: Sized {
    /// What it is made from.
    type Form: Form;

    /// Makes the request from a form in which every field is right by itself. A rule that is
    /// broken is put down with [`Fields::refuse`].
    fn parse(form: Self::Form, fields: &mut Fields<'_>) -> Result<Self, Refused>;
}

/// Whether a body has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Required,
    /// Absent, empty and `null` are the empty object.
    Optional,
    /// Nothing is taken, and what comes is not looked at.
    Unread,
}

/// What a name means that comes twice in a query or a form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeated {
    LastCounts,
    /// It is wrong, as OAuth has it (RFC 6749, section 3.2): whoever looks at the first and whoever
    /// looks at the last would see two requests in one.
    Refused,
}

/// What becomes of fields that a form does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// For what clients of other systems send, which may say more than is asked.
    Ignored,
    /// For a form in which a misspelt field would do something else than was meant, and say that all
    /// is well.
    Forbidden,
    /// The same, except in a request with this header whose body names no field of the form but these:
    /// what a client of the other system that the header tells sends, which may say more than is asked.
    ForbiddenUnless(&'static str, &'static [&'static str]),
}

/// Whether what was wrong is sent back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// As it came.
    Input,
    /// `null` in its place. For a form that takes a password: one sent in the wrong field, or beside
    /// a field that is missing, would stand in the logs of whoever records answers.
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

    fn fill(_: &mut Fields<'_>) -> Option<Self> {
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
            (Ok(path), Ok(query), Ok(headers), Ok(body)) => Ok(Self {
                path,
                query,
                body,
                headers,
            }),
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
    // A credential is nobody's field, and its text need not be copied to find that out.
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
