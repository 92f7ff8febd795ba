//! Documents that clients send.
//!
//! Clients send the same order in many ways: no body at all, `{}`, `null`, and a resource whose type is
//! wrong, empty or missing. What is not there is empty, and nothing depends on the type.

use utoipa::ToSchema;
use validator::{Validate, ValidationErrors};

use crate::http::input::{Encoding, Fields, Form, Presence, Refused, Request, Scalar};

/// A document of one resource: its attributes, and its relationships where they matter.
#[derive(Debug)]
pub(super) struct Data<A, R = ()> {
    pub(super) attributes: A,
    pub(super) relationships: R,
}

/// A document of identifiers: what each resource in it is called.
#[derive(Debug)]
pub(super) struct Identifiers<T>(pub(super) Vec<T>);

/// Such a document, as it is written.
#[derive(Debug, ToSchema)]
#[schema(as = Identifiers)]
#[expect(dead_code, reason = "stands in the document only")]
pub(super) struct IdentifiersDocument {
    data: Vec<IdentifierDocument>,
}

/// Which resource is meant.
#[derive(Debug, ToSchema)]
#[schema(as = SentIdentifier)]
#[expect(dead_code, reason = "stands in the document only")]
struct IdentifierDocument {
    #[schema(example = "1")]
    id: String,
    /// Whatever clients send: nothing depends on it.
    #[schema(rename = "type", example = "authentication-tokens")]
    kind: Option<String>,
}

/// No document, in a write that has to say all the same that it would be one.
#[derive(Debug)]
pub(super) struct NoData;

impl<A: Request, R: Request> Request for Data<A, R> {
    type Form = DataForm<A, R>;

    fn parse(form: Self::Form, fields: &mut Fields<'_>) -> Result<Self, Refused> {
        form.data
            .ok_or_else(|| fields.refuse("data", "must be a resource"))
    }
}

/// The top of such a document.
#[derive(Debug)]
pub(super) struct DataForm<A, R> {
    data: Option<Data<A, R>>,
}

impl<A: Request, R: Request> Form for DataForm<A, R> {
    const BODY: Presence = Presence::Optional;
    const ENCODING: Encoding = Encoding::JsonApi;

    fn fill(fields: &mut Fields<'_>) -> Self {
        let resource = fields.nested_or_empty::<Resource<A, R>>("data");
        Self {
            data: resource.and_then(|Resource { data }| data),
        }
    }
}

/// The resource in it.
#[derive(Debug)]
struct Resource<A, R> {
    data: Option<Data<A, R>>,
}

impl<A: Request, R: Request> Form for Resource<A, R> {
    fn fill(fields: &mut Fields<'_>) -> Self {
        let attributes = fields.nested_or_empty("attributes");
        let relationships = fields.nested_or_empty("relationships");
        let both = attributes.zip(relationships);
        Self {
            data: both.map(|(attributes, relationships)| Data {
                attributes,
                relationships,
            }),
        }
    }
}

impl<T: Scalar> Form for Identifiers<T> {
    const ENCODING: Encoding = Encoding::JsonApi;

    fn fill(fields: &mut Fields<'_>) -> Self {
        let identifiers = fields.nested_list::<Identifier<T>>("data");
        Self(identifiers.into_iter().map(|Identifier(id)| id).collect())
    }
}

/// What one resource is called.
#[derive(Debug)]
struct Identifier<T>(T);

impl<T: Scalar> Form for Identifier<T> {
    fn fill(fields: &mut Fields<'_>) -> Self {
        Self(fields.required("id"))
    }
}

impl Form for NoData {
    const BODY: Presence = Presence::Unread;
    const ENCODING: Encoding = Encoding::JsonApi;

    fn fill(_: &mut Fields<'_>) -> Self {
        Self
    }
}

/// Nothing here has bounds of its own: what is in it was judged where it was read.
macro_rules! without_bounds {
    ($($form:ident<$($inner:ident),*>)*) => {$(
        impl<$($inner),*> Validate for $form<$($inner),*> {
            fn validate(&self) -> Result<(), ValidationErrors> {
                Ok(())
            }
        }
    )*};
}

without_bounds!(DataForm<A, R> Resource<A, R> Identifiers<T> Identifier<T> NoData<>);
