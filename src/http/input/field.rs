//! What a field can hold: one value, or a list of them.

use std::borrow::Cow;

use utoipa::openapi::Schema;
use utoipa::openapi::schema::Array;

use super::scalar::Scalar;
use super::value::Value;
use super::violation::{Fault, Location, Violation};

/// So many wrong elements of one list are named. A body of 64 KiB holds 30,000 of them, and the
/// answer would be fifty times as long as the request.
pub(super) const MAX_WRONG_ELEMENTS: usize = 100;

/// A type that a field can become.
pub trait Field: Sized {
    /// See [`Scalar::NAME`].
    const NAME: Option<&'static str> = None;

    /// The value, or everything that is wrong with it and where.
    fn take(value: &Value<'_>, at: &Location) -> Result<Self, Vec<Violation>>;

    /// See [`Scalar::nearest`].
    fn nearest(_: &Value<'_>) -> Option<Self> {
        None
    }

    /// What documents say of the type.
    fn schema() -> Schema;

    /// See [`Scalar::written`].
    fn written(&self) -> Option<serde_json::Value> {
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

    fn written(&self) -> Option<serde_json::Value> {
        T::written(self)
    }
}

/// A list; every element that is wrong is put down at its own place.
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
