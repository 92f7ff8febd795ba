//! Checks of field bounds, and the faults they report.

use jeton_core::text::{Line, Prose};

use super::violation::Fault;

/// A value with a length: a text in characters, a list in elements.
pub(crate) trait Length {
    /// Returns the length.
    fn length(&self) -> u64;

    /// Returns the fault of a value shorter than `min_length`.
    fn too_short(min_length: u64, actual_length: u64) -> Fault;

    /// Returns the fault of a value longer than `max_length`.
    fn too_long(max_length: u64, actual_length: u64) -> Fault;
}

macro_rules! text_length {
    ($($text:ty)*) => {$(
        impl Length for $text {
            fn length(&self) -> u64 {
                AsRef::<str>::as_ref(self).chars().count() as u64
            }

            fn too_short(min_length: u64, _: u64) -> Fault {
                Fault::StringTooShort { min_length }
            }

            fn too_long(max_length: u64, _: u64) -> Fault {
                Fault::StringTooLong { max_length }
            }
        }
    )*};
}

text_length! { String Line Prose }

impl<T> Length for Vec<T> {
    fn length(&self) -> u64 {
        self.len() as u64
    }

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
    let actual = value.length();
    let short = min
        .filter(|min| actual < *min)
        .map(|min| T::too_short(min, actual));
    short.or_else(|| {
        max.filter(|max| actual > *max)
            .map(|max| T::too_long(max, actual))
    })
}

/// Returns the fault if the value is out of range.
pub(crate) fn range(value: &i64, min: Option<i64>, max: Option<i64>) -> Option<Fault> {
    let small = min
        .filter(|min| value < min)
        .map(|ge| Fault::GreaterThanEqual { ge });
    small.or_else(|| {
        max.filter(|max| value > max)
            .map(|le| Fault::LessThanEqual { le })
    })
}
