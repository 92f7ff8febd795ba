//! Untyped values of a request.

use std::borrow::Cow;
use std::fmt;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::violation::LocationPart;

/// The maximum nesting of a body. Requests nest two or three levels; without a limit a few kilobytes of
/// brackets would overflow the stack.
const MAX_DEPTH: usize = 32;

/// Named values. A repeated name keeps its first position and its last value.
///
/// Clients choose the names, so the hasher is seeded (against hash flooding).
pub(super) type Object<'a> = IndexMap<String, Value<'a>, RandomState>;

/// A value as sent. Serializing it reproduces it, including the digits of numbers.
pub enum Value<'a> {
    Null,
    Boolean(bool),
    /// The number as text: no machine number holds every integer that JSON can express.
    Number(&'a RawValue),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Object(Object<'a>),
    /// All texts given for one name in a query, path or header. A single-valued field reads the last.
    Texts(Vec<Cow<'a, str>>),
}

/// Collects texts by name.
pub(super) fn texts<'a>(pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>) -> Object<'a> {
    let mut members = Object::default();
    for (name, text) in pairs {
        let member = members
            .entry(name.into_owned())
            .or_insert_with(|| Value::Texts(Vec::new()));
        if let Value::Texts(texts) = member {
            texts.push(text);
        }
    }
    members
}

/// The error for a text that is not JSON, or that uses unsupported JSON.
#[derive(Debug)]
pub(super) struct Malformed {
    /// The position, in characters from the start of the text.
    pub(super) offset: usize,
    pub(super) error: String,
}

impl<'a> Value<'a> {
    /// Returns whether a text in the value contains U+0000.
    pub(super) fn contains_nul(&self) -> bool {
        match self {
            Self::Text(text) => text.contains('\0'),
            Self::Texts(texts) => texts.iter().any(|text| text.contains('\0')),
            Self::List(elements) => elements.iter().any(Self::contains_nul),
            Self::Null | Self::Boolean(_) | Self::Number(_) | Self::Object(_) => false,
        }
    }

    /// Returns the member or element at a part of a location.
    pub(super) fn at(&self, part: &LocationPart) -> Option<&Self> {
        match (self, part) {
            (Self::Object(members), LocationPart::Name(name)) => members.get(&**name),
            (Self::List(elements), LocationPart::Index(index)) => elements.get(*index),
            _ => None,
        }
    }

    /// Parses a JSON text.
    pub(super) fn parse(text: &'a str) -> Result<Self, Malformed> {
        // Checks the grammar without recursion, so that the reader can rely on it.
        serde_json::from_str::<&RawValue>(text).map_err(|error| malformed(text, text, &error))?;
        let mut reader = Reader {
            whole: text,
            rest: text,
        };
        reader.value(MAX_DEPTH)
    }

    /// Returns the text, if the value is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Texts(texts) => texts.last().map(AsRef::as_ref),
            Self::Null | Self::Boolean(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }
}

/// Reads a text of well-formed JSON once, from its start to its end.
///
/// serde_json returns the text of a number only for a value that it has skipped as a whole. With it, each level of
/// nesting would be read once more: 62 KB in 31 levels took five times as long as a flat list.
struct Reader<'a> {
    whole: &'a str,
    /// What is not read yet.
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Value<'a>, Malformed> {
        self.rest = self.rest.trim_ascii_start();
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Malformed {
                offset: characters_before(self.whole, self.rest),
                error: format!("nested deeper than {MAX_DEPTH} levels"),
            });
        };
        match self.rest.as_bytes().first() {
            Some(b'{') => {
                self.skip('{');
                let mut members = Object::default();
                while !self.skip('}') {
                    self.rest = self.rest.trim_ascii_start();
                    let name = self.text()?.into_owned();
                    self.skip(':');
                    members.insert(name, self.value(depth)?);
                    self.skip(',');
                }
                Ok(Value::Object(members))
            }
            Some(b'[') => {
                self.skip('[');
                let mut elements = Vec::new();
                while !self.skip(']') {
                    elements.push(self.value(depth)?);
                    self.skip(',');
                }
                Ok(Value::List(elements))
            }
            Some(b'"') => self.text().map(Value::Text),
            Some(b't') => Ok(self.word("true", Value::Boolean(true))),
            Some(b'f') => Ok(self.word("false", Value::Boolean(false))),
            Some(b'n') => Ok(self.word("null", Value::Null)),
            _ => {
                let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                let length = self.rest.bytes().take_while(|byte| is_part(*byte)).count();
                let number = self.take(length);
                // Refuses 1e999, which is well-formed JSON and fits no machine number.
                self.parsed::<f64>(number)?;
                self.parsed(number).map(Value::Number)
            }
        }
    }

    /// Reads a text in quotes. Only one with escapes is copied.
    fn text(&mut self) -> Result<Cow<'a, str>, Malformed> {
        let mut is_escaped = false;
        let mut inner = self.rest.bytes().skip(1);
        let mut length = 2;
        while let Some(byte) = inner.next() {
            match byte {
                b'"' => break,
                b'\\' => {
                    is_escaped = true;
                    inner.next();
                    length += 2;
                }
                _ => length += 1,
            }
        }
        let quoted = self.take(length);
        match is_escaped {
            true => self.parsed(quoted).map(Cow::Owned),
            false => Ok(Cow::Borrowed(quoted.trim_matches('"'))),
        }
    }

    fn word(&mut self, word: &str, value: Value<'a>) -> Value<'a> {
        self.take(word.len());
        value
    }

    /// Skips a character after any whitespace. Returns whether it was there.
    fn skip(&mut self, character: char) -> bool {
        let rest = self.rest.trim_ascii_start().strip_prefix(character);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Returns the next bytes, and goes on after them.
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }

    fn parsed<T: Deserialize<'a>>(&self, part: &'a str) -> Result<T, Malformed> {
        serde_json::from_str(part).map_err(|error| malformed(self.whole, part, &error))
    }
}

/// Hides the value, which may be a password.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value(..)")
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::Number(raw) => raw.serialize(serializer),
            Self::Text(_) | Self::Texts(_) => self.text().serialize(serializer),
            Self::List(elements) => elements.serialize(serializer),
            Self::Object(members) => members.serialize(serializer),
        }
    }
}

/// Converts an error in `part`, a slice of `whole`, whose lines and columns count within `part`.
fn malformed(whole: &str, part: &str, error: &serde_json::Error) -> Malformed {
    let before_line: usize = part
        .split_inclusive('\n')
        .take(error.line().saturating_sub(1))
        .map(str::len)
        .sum();
    let at = before_line + error.column().saturating_sub(1);
    let within = part.get(..part.floor_char_boundary(at)).unwrap_or(part);
    let error = error.to_string();
    Malformed {
        offset: characters_before(whole, part) + within.chars().count(),
        error: error
            .split_once(" at line ")
            .map_or(error.as_str(), |(text, _)| text)
            .to_owned(),
    }
}

fn characters_before(whole: &str, part: &str) -> usize {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    whole.get(..start).unwrap_or_default().chars().count()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let text = || {
            prop_oneof![
                any::<String>(),
                r#"["\\\\/ \n\t,:\[\]{}üa]{0,6}"#.prop_map(|text| text)
            ]
        };
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            text().prop_map(Into::into),
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::vec((text(), inner), 0..6)
                    .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_json_text_is_read_as_serde_json_reads_it(value in json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let read = Value::parse(&text).map_err(|Malformed { error, .. }| error).unwrap();
                let again: serde_json::Value = serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
                let expected: serde_json::Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(again, expected);
            }
        }
    }
}
