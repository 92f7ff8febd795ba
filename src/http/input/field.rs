//! Types of fields: a single value or a list of values.

use std::borrow::Cow;

use utoipa::openapi::Schema;
use utoipa::openapi::schema::Array;

use super::scalar::Scalar;
use super::value::Value;
use super::violation::{Fault, Location, Violation};

/// The maximum number of invalid elements reported per list. A body of 64 KiB can contain 30,000, and
/// the response would be fifty times as long as the request.
pub(super) const MAX_WRONG_ELEMENTS: usize = 100;

/// A type that a field can have.
pub trait Field: Sized {
    /// See [`Scalar::NAME`].
    const NAME: Option<&'static str> = None;

    /// Returns the value, or all violations with their locations.
    fn take(value: &Value<'_>, at: &Location) -> Result<Self, Vec<Violation>>;

    /// See [`Scalar::nearest`].
    fn nearest(_: &Value<'_>) -> Option<Self> {
        None
    }

    /// Returns the OpenAPI schema of the type.
    fn schema() -> Schema;

    /// See [`Scalar::to_default`].
    fn to_default(&self) -> Option<serde_json::Value> {
        None
    }
}

impl<T: Scalar> Field for T {
    const NAME: Option<&'static str> = T::NAME;

    fn take(value: &Value<'_>, at: &Location) -> Result<Self, Vec<Violation>> {
        T::read(value).map_err(|fault| vec![Violation::new(fault, at.clone(), value)])
    }

    fn nearest(value: &Value<'_>) -> Option<Self> {
        T::nearest(value)
    }

    fn schema() -> Schema {
        T::schema()
    }

    fn to_default(&self) -> Option<serde_json::Value> {
        T::to_default(self)
    }
}

/// A list, whose invalid elements are each reported at their own location.
impl<T: Scalar> Field for Vec<T> {
    fn take(value: &Value<'_>, at: &Location) -> Result<Self, Vec<Violation>> {
        let texts: Vec<Value<'_>>;
        let elements = match value {
            Value::List(elements) => elements,
            Value::Texts(given) => {
                texts = given
                    .iter()
                    .map(|text| Value::Text(Cow::Borrowed(text)))
                    .collect();
                &texts
            }
            _ => return Err(vec![Violation::new(Fault::ListType, at.clone(), value)]),
        };
        let mut read = Self::with_capacity(elements.len());
        let mut violations = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            match T::read(element) {
                Ok(element) => read.push(element),
                Err(_) if violations.len() == MAX_WRONG_ELEMENTS => break,
                Err(fault) => violations.push(Violation::new(fault, at.index(index), element)),
            }
        }
        if violations.is_empty() {
            Ok(read)
        } else {
            Err(violations)
        }
    }

    fn schema() -> Schema {
        Schema::Array(Array::new(T::schema()))
    }
}
