//! JSON:API documents in requests.
//!
//! Clients send the same request in many ways: without a body, `{}`, `null`, and a resource whose type
//! is wrong, empty or missing. Absent parts are empty, and the type is ignored.

use std::borrow::Cow;

use utoipa::openapi::Schema;

use crate::http::input::{Document, Encoding, Fault, Fields, Form, Presence, Request, Scalar, Value, string};

/// A document of one resource with its attributes, and with relationships if the operation uses them.
#[derive(Debug, Form)]
#[form(body, name = part_of::<A>(""), presence = Optional, encoding = JsonApi)]
pub(super) struct Data<A: Request, R: Request = ()> {
    #[form(nested)]
    pub(super) data: Resource<A, R>,
}

/// A resource.
#[derive(Debug, Form)]
#[form(body, name = part_of::<A>("Data"))]
pub(super) struct Resource<A: Request, R: Request> {
    /// The resource type, which is ignored.
    #[form(name = "type")]
    #[expect(dead_code, reason = "ignored")]
    kind: Option<Anything>,
    #[form(nested)]
    pub(super) attributes: A,
    #[form(nested)]
    pub(super) relationships: R,
}

/// A document of resource identifiers.
#[derive(Debug, Form)]
#[form(body, name = "Identifiers", encoding = JsonApi)]
pub(super) struct Identifiers<T: Scalar> {
    #[form(nested)]
    data: Vec<Identifier<T>>,
}

/// A resource identifier.
#[derive(Debug, Form)]
#[form(body, name = "SentIdentifier")]
struct Identifier<T: Scalar> {
    #[form(example = "1")]
    id: T,
    /// The resource type, which is ignored.
    #[form(name = "type")]
    #[expect(dead_code, reason = "ignored")]
    kind: Option<Anything>,
}

impl<T: Scalar> Identifiers<T> {
    /// Returns the ids.
    pub(super) fn ids(self) -> Vec<T> {
        self.data.into_iter().map(|identifier| identifier.id).collect()
    }
}

/// Names the schema of a document part after its attributes.
fn part_of<A: Request>(part: &str) -> Cow<'static, str> {
    let name = A::Form::name();
    let document = name.strip_suffix("Attributes").unwrap_or(&name);
    Cow::Owned(format!("{document}{part}"))
}

/// An ignored value. Documents describe it as the text that clients should send.
#[derive(Debug)]
struct Anything;

impl Scalar for Anything {
    fn read(_: &Value<'_>) -> Result<Self, Fault> {
        Ok(Self)
    }

    fn schema() -> Schema {
        string().into()
    }
}

/// An absent document, in a write that must still declare the media type of JSON:API.
#[derive(Debug)]
pub(super) struct NoData;

impl Form for NoData {
    const BODY: Presence = Presence::Unread;
    const ENCODING: Encoding = Encoding::JsonApi;

    fn read_fields(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self)
    }

    fn document(_: &mut Document) {}
}
