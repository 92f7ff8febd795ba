//! Untyped values of a request.

use std::borrow::Cow;
use std::fmt;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// The maximum nesting of a body. Requests nest two or three levels; without a limit a few kilobytes of
/// brackets would overflow the stack, and each level is scanned once more.
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

    /// Parses a JSON text.
    pub(super) fn parse(text: &'a str) -> Result<Self, Malformed> {
        let whole: &RawValue = serde_json::from_str(text).map_err(|error| malformed(text, text, &error))?;
        Self::read(whole, text, MAX_DEPTH)
    }

    /// Returns the text, if the value is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Texts(texts) => texts.last().map(AsRef::as_ref),
            Self::Null | Self::Boolean(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    fn read(raw: &'a RawValue, whole: &str, depth: usize) -> Result<Self, Malformed> {
        let text = raw.get();
        let failed = |error: serde_json::Error| malformed(whole, text, &error);
        let Some(depth) = depth.checked_sub(1) else {
            let offset = characters_before(whole, text);
            return Err(Malformed {
                offset,
                error: format!("nested deeper than {MAX_DEPTH} levels"),
            });
        };
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let members: IndexMap<String, &RawValue, RandomState> =
                    serde_json::from_str(text).map_err(failed)?;
                let read = |(name, raw)| Ok((name, Self::read(raw, whole, depth)?));
                Self::Object(members.into_iter().map(read).collect::<Result<_, _>>()?)
            }
            Some(b'[') => {
                let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(failed)?;
                Self::List(
                    elements
                        .into_iter()
                        .map(|raw| Self::read(raw, whole, depth))
                        .collect::<Result<_, _>>()?,
                )
            }
            Some(b'"') => Self::Text(Cow::Owned(serde_json::from_str(text).map_err(failed)?)),
            Some(b't') => Self::Boolean(true),
            Some(b'f') => Self::Boolean(false),
            Some(b'n') => Self::Null,
            _ => {
                // Refuses 1e999, which is well-formed JSON and fits no machine number.
                serde_json::from_str::<f64>(text).map_err(failed)?;
                Self::Number(raw)
            }
        })
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
