//! Types of single values, parsed with pydantic's leniency.

use std::str::FromStr;

use utoipa::openapi::Schema;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};

use super::value::Value;
use super::violation::Fault;
use jeton_core::clock::{Day, Timestamp};

/// A type that is parsed from a single value.
pub trait Scalar: Sized {
    /// The name of the schema in OpenAPI components; `None`: inline.
    const NAME: Option<&'static str> = None;

    /// Returns the value, or the fault.
    fn read(value: &Value<'_>) -> Result<Self, Fault>;

    /// Returns, for an unreadable value, the nearest value that violates the same bounds, if any.
    fn nearest(_: &Value<'_>) -> Option<Self> {
        None
    }

    /// Returns the OpenAPI schema of the type.
    fn schema() -> Schema;

    /// Returns the value as a default in an OpenAPI schema.
    fn to_default(&self) -> Option<serde_json::Value> {
        None
    }
}

/// A type whose values are words.
pub trait Choice: Copy + PartialEq + 'static {
    /// Every word, in the order in which errors and schemas list them.
    const WORDS: &'static [(&'static str, Self)];

    /// See [`Scalar::NAME`].
    const NAME: Option<&'static str> = None;

    /// The description of the named schema.
    const DESCRIPTION: Option<&'static str> = None;

    /// Returns the word for this value; `None` if only the absence of the field expresses it.
    fn word(self) -> Option<&'static str> {
        let mut words = Self::WORDS.iter().filter(|(_, choice)| *choice == self);
        words.next().map(|(word, _)| *word)
    }
}

impl<T: Choice> Scalar for T {
    const NAME: Option<&'static str> = <T as Choice>::NAME;

    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let text = value.text();
        T::WORDS
            .iter()
            .find_map(|(word, choice)| (text == Some(word)).then_some(*choice))
            .ok_or_else(|| Fault::Choice {
                words: T::WORDS.iter().map(|(word, _)| *word).collect(),
            })
    }

    fn schema() -> Schema {
        let words = T::WORDS.iter().map(|(word, _)| *word);
        let choice = string().enum_values(Some(words));
        choice.description(T::DESCRIPTION).into()
    }

    fn to_default(&self) -> Option<serde_json::Value> {
        self.word().map(Into::into)
    }
}

/// Returns a builder for the schema of a text.
pub(crate) fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

fn formatted(kind: Type, format: KnownFormat) -> ObjectBuilder {
    let format = SchemaFormat::KnownFormat(format);
    ObjectBuilder::new().schema_type(kind).format(Some(format))
}

impl Scalar for String {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        value.text().map(str::to_owned).ok_or(Fault::StringType)
    }

    fn schema() -> Schema {
        string().into()
    }
}

impl Scalar for bool {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        match value {
            Value::Boolean(value) => Ok(*value),
            Value::Number(raw) => match (raw.get().parse::<i64>(), raw.get().parse::<f64>()) {
                (Ok(1), _) | (Err(_), Ok(1.0)) => Ok(true),
                (Ok(0), _) | (Err(_), Ok(0.0)) => Ok(false),
                (Ok(_), _) => Err(Fault::BooleanParsing),
                (Err(_), _) => Err(Fault::BooleanType),
            },
            value => match value.text().map(str::to_ascii_lowercase).as_deref() {
                Some("true" | "t" | "yes" | "y" | "on" | "1") => Ok(true),
                Some("false" | "f" | "no" | "n" | "off" | "0") => Ok(false),
                Some(_) => Err(Fault::BooleanParsing),
                None => Err(Fault::BooleanType),
            },
        }
    }

    fn schema() -> Schema {
        ObjectBuilder::new().schema_type(Type::Boolean).into()
    }

    fn to_default(&self) -> Option<serde_json::Value> {
        Some((*self).into())
    }
}

impl Scalar for i64 {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        match integer(value)? {
            Integer::Fits(integer) => Ok(integer),
            Integer::TooLarge | Integer::TooSmall => Err(Fault::IntegerSize),
        }
    }

    fn schema() -> Schema {
        formatted(Type::Integer, KnownFormat::Int64).into()
    }

    fn to_default(&self) -> Option<serde_json::Value> {
        Some((*self).into())
    }

    /// An integer beyond 64 bits still violates a bound, which the error names.
    fn nearest(value: &Value<'_>) -> Option<Self> {
        match integer(value).ok()? {
            Integer::Fits(integer) => Some(integer),
            Integer::TooLarge => Some(Self::MAX),
            Integer::TooSmall => Some(Self::MIN),
        }
    }
}

/// RFC 3339. Without a zone it is UTC; without a time it is midnight.
impl Scalar for Timestamp {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let text = value.text().ok_or(Fault::DateTimeType)?;
        ["", "Z", "T00:00:00Z"]
            .into_iter()
            .find_map(|rest| Self::from_str(&format!("{text}{rest}")).ok())
            .ok_or_else(|| Fault::DateTimeParsing {
                error: "expected a form like 2026-01-02T03:04:05Z".to_owned(),
            })
    }

    fn schema() -> Schema {
        formatted(Type::String, KnownFormat::DateTime).into()
    }
}

impl Scalar for Day {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let text = value.text().ok_or(Fault::DateType)?;
        text.parse().map_err(|_| Fault::DateParsing {
            error: "expected a form like 2026-01-02".to_owned(),
        })
    }

    fn schema() -> Schema {
        formatted(Type::String, KnownFormat::Date).into()
    }
}

impl Scalar for uuid::Uuid {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let text = value.text().ok_or(Fault::UuidType)?;
        text.parse().map_err(|error: uuid::Error| Fault::UuidParsing {
            error: error.to_string(),
        })
    }

    fn schema() -> Schema {
        formatted(Type::String, KnownFormat::Uuid).into()
    }
}

enum Integer {
    Fits(i64),
    TooLarge,
    TooSmall,
}

fn integer(value: &Value<'_>) -> Result<Integer, Fault> {
    match value {
        Value::Boolean(value) => Ok(Integer::Fits(i64::from(*value))),
        Value::Number(raw) if raw.get().contains(['.', 'e', 'E']) => integer_of_float(raw.get()),
        Value::Number(raw) => integer_of_digits(raw.get()).ok_or(Fault::IntegerType),
        value => {
            let text = value.text().ok_or(Fault::IntegerType)?;
            integer_of_text(text).ok_or(Fault::IntegerParsing)
        }
    }
}

fn integer_of_float(text: &str) -> Result<Integer, Fault> {
    let float: f64 = text.parse().map_err(|_| Fault::IntegerType)?;
    if float.fract() != 0.0 {
        return Err(Fault::IntegerFromFloat);
    }
    if float.abs() >= 2f64.powi(63) {
        return Err(Fault::IntegerSize);
    }
    Ok(Integer::Fits(float as i64))
}

/// Parses what Python's `int` accepts: ` 30 `, `+30`, `030`, `3_0`; and `30.0`, as pydantic does.
fn integer_of_text(text: &str) -> Option<Integer> {
    let text = text.trim();
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|zero| zero == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    let groups = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    if groups.split('_').any(str::is_empty) {
        return None;
    }
    integer_of_digits(&whole.replace('_', ""))
}

/// Parses an optional sign and decimal digits.
fn integer_of_digits(text: &str) -> Option<Integer> {
    use std::num::IntErrorKind;
    match text.parse() {
        Ok(integer) => Some(Integer::Fits(integer)),
        Err(error) => match error.kind() {
            IntErrorKind::PosOverflow => Some(Integer::TooLarge),
            IntErrorKind::NegOverflow => Some(Integer::TooSmall),
            _ => None,
        },
    }
}
