//! Values that stand in one field, read as generously as pydantic reads them.

use std::str::FromStr;

use super::value::Value;
use super::violation::Fault;
use jeton_core::clock::Timestamp;

/// A type that one value of a request can become.
pub trait Scalar: Sized {
    /// The value, or what is wrong with it.
    fn read(value: &Value<'_>) -> Result<Self, Fault>;

    /// Takes the place of a value that could not be read, so that the other fields can still be
    /// judged. Never leaves the form it was put into.
    fn stand_in() -> Self;

    /// A value on the same side of every bound, where one that could not be read has such a value.
    fn nearest(_: &Value<'_>) -> Option<Self> {
        None
    }
}

/// A type with one word for each of its values.
pub trait Choice: Copy + Default + 'static {
    /// Every word, in the order in which an error lists them.
    const WORDS: &'static [(&'static str, Self)];
}

impl<T: Choice> Scalar for T {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let text = value.text();
        T::WORDS
            .iter()
            .find_map(|(word, choice)| (text == Some(word)).then_some(*choice))
            .ok_or_else(|| Fault::Choice {
                words: T::WORDS.iter().map(|(word, _)| *word).collect(),
            })
    }

    fn stand_in() -> Self {
        Self::default()
    }
}

impl Scalar for String {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        value.text().map(str::to_owned).ok_or(Fault::StringType)
    }

    fn stand_in() -> Self {
        Self::new()
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

    fn stand_in() -> Self {
        false
    }
}

impl Scalar for i64 {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        match integer(value)? {
            Integer::Fits(integer) => Ok(integer),
            Integer::TooLarge | Integer::TooSmall => Err(Fault::IntegerSize),
        }
    }

    fn stand_in() -> Self {
        0
    }

    /// An integer beyond 64 bits still breaks a bound, and the answer says which.
    fn nearest(value: &Value<'_>) -> Option<Self> {
        match integer(value).ok()? {
            Integer::Fits(integer) => Some(integer),
            Integer::TooLarge => Some(Self::MAX),
            Integer::TooSmall => Some(Self::MIN),
        }
    }
}

/// RFC 3339; without a zone it is UTC, without a time it is midnight.
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

    fn stand_in() -> Self {
        Self::LAST
    }
}

impl Scalar for uuid::Uuid {
    fn read(value: &Value<'_>) -> Result<Self, Fault> {
        let text = value.text().ok_or(Fault::UuidType)?;
        text.parse().map_err(|error: uuid::Error| Fault::UuidParsing {
            error: error.to_string(),
        })
    }

    fn stand_in() -> Self {
        Self::nil()
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

/// Takes what Python's `int` takes: ` 30 `, `+30`, `030`, `3_0`; and `30.0`, as pydantic does.
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

/// An optional sign and decimal digits.
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
