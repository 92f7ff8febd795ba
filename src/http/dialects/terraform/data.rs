//! Documents that clients send.
//!
//! Clients send the same order in many ways: no body at all, `{}`, `null`, and a resource whose type is
//! wrong, empty or missing. What is not there is empty, and nothing depends on the type.

use std::borrow::Cow;

use utoipa::openapi::Schema;

use crate::http::input::{Document, Encoding, Fault, Fields, Form, Presence, Request, Scalar, Value, string};

/// A document of one resource: its attributes, and its relationships where they matter.
#[derive(Debug, Form)]
#[form(body, name = part_of::<A>(""), presence = Optional, encoding = JsonApi)]
pub(super) struct Data<A: Request, R: Request = ()> {
    #[form(nested)]
    pub(super) data: Resource<A, R>,
}

/// The resource.
#[derive(Debug, Form)]
#[form(body, name = part_of::<A>("Data"))]
pub(super) struct Resource<A: Request, R: Request> {
    /// Whatever clients send: nothing depends on it.
    #[form(name = "type")]
    #[expect(dead_code, reason = "nothing depends on it")]
    kind: Option<Anything>,
    #[form(nested)]
    pub(super) attributes: A,
    #[form(nested)]
    pub(super) relationships: R,
}

/// A document of identifiers: what each resource in it is called.
#[derive(Debug, Form)]
#[form(body, name = "Identifiers", encoding = JsonApi)]
pub(super) struct Identifiers<T: Scalar> {
    #[form(nested)]
    data: Vec<Identifier<T>>,
}

/// Which resource is meant.
#[derive(Debug, Form)]
#[form(body, name = "SentIdentifier")]
struct Identifier<T: Scalar> {
    #[form(example = "1")]
    id: T,
    /// Whatever clients send: nothing depends on it.
    #[form(name = "type")]
    #[expect(dead_code, reason = "nothing depends on it")]
    kind: Option<Anything>,
}

impl<T: Scalar> Identifiers<T> {
    /// The identifiers alone.
    pub(super) fn ids(self) -> Vec<T> {
        self.data.into_iter().map(|identifier| identifier.id).collect()
    }
}

/// A document with these attributes is called as they are, without the word; so are its parts.
fn part_of<A: Request>(part: &str) -> Cow<'static, str> {
    let name = A::Form::name();
    let document = name.strip_suffix("Attributes").unwrap_or(&name);
    Cow::Owned(format!("{document}{part}"))
}

/// A value that is not looked at. Documents say what clients are meant to send: a text.
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

/// No document, in a write that has to say all the same that it would be one.
#[derive(Debug)]
pub(super) struct NoData;

impl Form for NoData {
    const BODY: Presence = Presence::Unread;
    const ENCODING: Encoding = Encoding::JsonApi;

    fn fill(_: &mut Fields<'_>) -> Option<Self> {
        Some(Self)
    }

    fn document(_: &mut Document) {}
}
