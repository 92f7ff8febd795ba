//! Checks of field bounds, and the faults they report.

use validator::{ValidateLength, ValidateRange};

use super::violation::Fault;

/// A value with a length: a text in characters, a list in elements.
pub(crate) trait Length: ValidateLength<u64> {
    /// Returns the fault of a value shorter than `min_length`.
    fn too_short(min_length: u64, actual_length: u64) -> Fault;

    /// Returns the fault of a value longer than `max_length`.
    fn too_long(max_length: u64, actual_length: u64) -> Fault;
}

impl Length for String {
    fn too_short(min_length: u64, _: u64) -> Fault {
        Fault::StringTooShort { min_length }
    }

    fn too_long(max_length: u64, _: u64) -> Fault {
        Fault::StringTooLong { max_length }
    }
}

impl<T> Length for Vec<T> {
    fn too_short(min_length: u64, actual_length: u64) -> Fault {
        Fault::ListTooShort {
            min_length,
            actual_length,
        }
    }

    fn too_long(max_length: u64, actual_length: u64) -> Fault {
        Fault::ListTooLong {
            max_length,
            actual_length,
        }
    }
}

/// Returns the fault if the value's length is out of bounds.
pub(crate) fn length<T: Length>(value: &T, min: Option<u64>, max: Option<u64>) -> Option<Fault> {
    let actual = || value.length().unwrap_or_default();
    let short = min.filter(|_| !value.validate_length(min, None, None));
    let long = max.filter(|_| !value.validate_length(None, max, None));
    let short = short.map(|min| T::too_short(min, actual()));
    short.or_else(|| long.map(|max| T::too_long(max, actual())))
}

/// Returns the fault if the value is out of range.
pub(crate) fn range(value: &i64, min: Option<i64>, max: Option<i64>) -> Option<Fault> {
    let small = min.filter(|_| !value.validate_range(min, None, None, None));
    let large = max.filter(|_| !value.validate_range(None, max, None, None));
    let small = small.map(|ge| Fault::GreaterThanEqual { ge });
    small.or_else(|| large.map(|le| Fault::LessThanEqual { le }))
}
