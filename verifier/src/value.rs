//! Values that claims are made of, each with one spelling.

use serde::Deserialize;
use uuid::Uuid;

use crate::NEVER;

/// Not empty, and without control characters: these values travel on in headers and logs.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Text(pub(crate) String);

impl TryFrom<String> for Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err("expected a text without control characters");
        }
        Ok(Self(text))
    }
}

/// Whole seconds from 1970 to 9999. From an integer only: `1.0`, `1e9`, a string and 2^64 fail
/// before they arrive here.
#[derive(Deserialize)]
#[serde(try_from = "u64")]
pub(crate) struct Date(pub(crate) i64);

impl TryFrom<u64> for Date {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        match i64::try_from(seconds) {
            Ok(seconds) if seconds <= NEVER => Ok(Self(seconds)),
            _ => Err("a date after the year 9999"),
        }
    }
}

/// A UUID in its one canonical form, so that comparing the text and comparing the value agree.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Identifier(pub(crate) Uuid);

impl TryFrom<String> for Identifier {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let mut canonical = Uuid::encode_buffer();
        match Uuid::try_parse(&text) {
            Ok(uuid) if *uuid.hyphenated().encode_lower(&mut canonical) == *text => Ok(Self(uuid)),
            _ => Err("not a UUID in its canonical form"),
        }
    }
}
