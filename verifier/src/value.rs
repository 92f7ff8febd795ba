//! Types of claim values, each with a single spelling.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::NEVER;

/// A value of a JSON string, parsed without copying the string.
pub(crate) trait FromText: Sized {
    fn from_text(text: &str) -> Result<Self, &'static str>;
}

/// Deserializes a value of a JSON string.
pub(crate) fn from_text<'de, T: FromText, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_str(TextVisitor(PhantomData))
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: FromText> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }
}

/// A text that is not empty and has no control characters: claims end up in headers and logs.
pub(crate) struct Text(pub(crate) String);

impl FromText for Text {
    fn from_text(text: &str) -> Result<Self, &'static str> {
        let has_control = if text.is_ascii() {
            text.bytes().any(|byte| byte.is_ascii_control())
        } else {
            text.chars().any(char::is_control)
        };
        if text.is_empty() || has_control {
            return Err("expected a text without control characters");
        }
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

/// Whole seconds from 1970 to 9999. Only integers: `1.0`, `1e9`, strings and 2^64 have failed before.
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

/// A UUID in canonical form, so that comparing texts and comparing values agree.
pub(crate) struct Identifier(pub(crate) Uuid);

impl FromText for Identifier {
    fn from_text(text: &str) -> Result<Self, &'static str> {
        let mut canonical = Uuid::encode_buffer();
        match Uuid::try_parse(text) {
            Ok(uuid) if *uuid.hyphenated().encode_lower(&mut canonical) == *text => Ok(Self(uuid)),
            _ => Err("not a UUID in its canonical form"),
        }
    }
}

impl<'de> Deserialize<'de> for Identifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}
