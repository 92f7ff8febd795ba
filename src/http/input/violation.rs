//! Violations of a request's fields, in the format and words of FastAPI, which its clients already
//! parse.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::value::Value;

/// All invalid fields of a request: path, query, headers, then body, each in field order.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = HTTPValidationError)]
pub struct Violations {
    pub detail: Vec<Violation>,
}

/// One thing that was wrong.
#[derive(Serialize, ToSchema)]
#[schema(as = ValidationError)]
pub struct Violation {
    /// The error type. It never changes.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The location: the part of the request (`path`, `query`, `header` or `body`), then the path to the field.
    #[schema(inline, value_type = Vec<LocationPart>)]
    pub loc: Location,
    /// The error message.
    pub msg: Cow<'static, str>,
    /// The invalid value as sent; if a field is missing, the object that lacks it.
    #[schema(value_type = serde_json::Value)]
    pub input: Box<RawValue>,
    /// The values in `msg`, such as a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub ctx: Option<serde_json::Value>,
}

/// The location of a value in a request, such as `["body", "scopes", 0]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Location(Vec<LocationPart>);

/// A field name, or an index in a list or string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum LocationPart {
    Name(Cow<'static, str>),
    Index(usize),
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    Missing,
    ExtraForbidden,
    JsonInvalid {
        error: String,
    },
    ObjectType,
    ListType,
    StringType,
    StringTooShort {
        min_length: u64,
    },
    StringTooLong {
        max_length: u64,
    },
    ListTooShort {
        min_length: u64,
        actual_length: u64,
    },
    ListTooLong {
        max_length: u64,
        actual_length: u64,
    },
    IntegerType,
    IntegerParsing,
    IntegerFromFloat,
    IntegerSize,
    GreaterThanEqual {
        ge: i64,
    },
    LessThanEqual {
        le: i64,
    },
    BooleanType,
    BooleanParsing,
    DateTimeType,
    DateTimeParsing {
        error: String,
    },
    DateType,
    DateParsing {
        error: String,
    },
    UuidType,
    UuidParsing {
        error: String,
    },
    /// Not one of a closed set of words.
    Choice {
        words: Vec<&'static str>,
    },
    /// The idempotency key of another request.
    KeyReused,
    /// A rule of jeton's own.
    Value {
        error: String,
    },
}

impl Violation {
    /// Creates the violation of a fault at a location. It echoes `input`.
    pub fn new(fault: Fault, loc: Location, input: &(impl Serialize + ?Sized)) -> Self {
        let (kind, msg, ctx) = fault.type_and_message();
        // Only a map with keys other than texts fails to serialize, and no request contains one.
        let input = to_raw_value(input).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self {
            kind,
            loc,
            msg,
            input,
            ctx,
        }
    }
}

impl Violations {
    /// Returns whether the body is not JSON at all, so that its fields are unknown.
    pub fn is_malformed(&self) -> bool {
        self.detail
            .iter()
            .any(|violation| violation.kind == "json_invalid")
    }

    /// Sets the input of violations within the JSON body, for those that an operation found after the body was read.
    pub(in crate::http) fn echo(&mut self, body: &str) {
        let Ok(body) = Value::parse(body) else {
            return;
        };
        for violation in &mut self.detail {
            let Some((LocationPart::Name(part), way)) = violation.loc.parts() else {
                continue;
            };
            if part != "body" {
                continue;
            }
            let mut value = &body;
            for part in way {
                // A single text can stand for a list, and what is missing echoes the object that lacks it.
                value = value.at(part).unwrap_or(value);
            }
            violation.input = to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned());
        }
    }

    /// Returns whether the path is invalid, so that it names nothing that exists.
    pub fn is_in_path(&self) -> bool {
        let path = LocationPart::Name("path".into());
        self.detail
            .iter()
            .any(|violation| violation.loc.0.first() == Some(&path))
    }

    /// Returns that of an empty body, which breaks the rule that `text` states about a field. For examples.
    pub(in crate::http) fn of_empty_body(field: &'static str, text: &str) -> Self {
        let error = text.to_owned();
        let at = Location::root("body").field(field);
        Violation::new(Fault::Value { error }, at, &json!({})).into()
    }

    /// Removes the echoed input.
    pub(in crate::http) fn without_input(mut self) -> Self {
        for violation in &mut self.detail {
            violation.input = RawValue::NULL.to_owned();
        }
        self
    }
}

/// Lists all violations in one line.
impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Violation { loc, msg, .. }) in self.detail.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {msg}", loc.name())?;
        }
        Ok(())
    }
}

/// Hides the input, which may be a password.
impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Violation")
            .field("kind", &self.kind)
            .field("loc", &self.loc)
            .field("msg", &self.msg)
            .finish_non_exhaustive()
    }
}

impl From<Violation> for Violations {
    fn from(violation: Violation) -> Self {
        Self {
            detail: vec![violation],
        }
    }
}

impl Location {
    /// Returns the root location: `path`, `query`, `header` or `body`.
    pub fn root(part: &'static str) -> Self {
        Self(vec![LocationPart::Name(Cow::Borrowed(part))])
    }

    /// Returns the location of a field of this object.
    #[must_use]
    pub fn field(&self, name: impl Into<Cow<'static, str>>) -> Self {
        self.with(LocationPart::Name(name.into()))
    }

    /// Returns the location of an element of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(LocationPart::Index(index))
    }

    /// Splits the location into the part of the request and the path within it.
    pub fn parts(&self) -> Option<(&LocationPart, &[LocationPart])> {
        self.0.split_first()
    }

    /// Returns the innermost name.
    pub fn name(&self) -> &str {
        let mut names = self.0.iter().rev().filter_map(|part| match part {
            LocationPart::Name(name) => Some(&**name),
            LocationPart::Index(_) => None,
        });
        names.next().unwrap_or_default()
    }

    fn with(&self, part: LocationPart) -> Self {
        Self(self.0.iter().cloned().chain([part]).collect())
    }
}

impl Fault {
    /// Returns pydantic's type, message and context for this fault.
    fn type_and_message(self) -> (&'static str, Cow<'static, str>, Option<serde_json::Value>) {
        match self {
            Self::Missing => ("missing", "Field required".into(), None),
            Self::ExtraForbidden => ("extra_forbidden", "Extra inputs are not permitted".into(), None),
            Self::JsonInvalid { error } => (
                "json_invalid",
                "JSON decode error".into(),
                Some(json!({ "error": error })),
            ),
            Self::ObjectType => (
                "model_attributes_type",
                "Input should be a valid dictionary or object to extract fields from".into(),
                None,
            ),
            Self::ListType => ("list_type", "Input should be a valid list".into(), None),
            Self::ListTooShort {
                min_length,
                actual_length,
            } => (
                "too_short",
                format!(
                    "List should have at least {} after validation, not {actual_length}",
                    count(min_length, "item")
                )
                .into(),
                Some(json!({"field_type": "List", "min_length": min_length, "actual_length": actual_length})),
            ),
            Self::ListTooLong {
                max_length,
                actual_length,
            } => (
                "too_long",
                format!(
                    "List should have at most {} after validation, not {actual_length}",
                    count(max_length, "item")
                )
                .into(),
                Some(json!({"field_type": "List", "max_length": max_length, "actual_length": actual_length})),
            ),
            Self::StringType => ("string_type", "Input should be a valid string".into(), None),
            Self::StringTooShort { min_length } => (
                "string_too_short",
                format!("String should have at least {}", count(min_length, "character")).into(),
                Some(json!({ "min_length": min_length })),
            ),
            Self::StringTooLong { max_length } => (
                "string_too_long",
                format!("String should have at most {}", count(max_length, "character")).into(),
                Some(json!({ "max_length": max_length })),
            ),
            Self::IntegerType => ("int_type", "Input should be a valid integer".into(), None),
            Self::IntegerParsing => (
                "int_parsing",
                "Input should be a valid integer, unable to parse string as an integer".into(),
                None,
            ),
            Self::IntegerFromFloat => (
                "int_from_float",
                "Input should be a valid integer, got a number with a fractional part".into(),
                None,
            ),
            Self::IntegerSize => (
                "int_parsing_size",
                "Unable to parse input string as an integer, exceeded maximum size".into(),
                None,
            ),
            Self::GreaterThanEqual { ge } => (
                "greater_than_equal",
                format!("Input should be greater than or equal to {ge}").into(),
                Some(json!({ "ge": ge })),
            ),
            Self::LessThanEqual { le } => (
                "less_than_equal",
                format!("Input should be less than or equal to {le}").into(),
                Some(json!({ "le": le })),
            ),
            Self::BooleanType => ("bool_type", "Input should be a valid boolean".into(), None),
            Self::BooleanParsing => (
                "bool_parsing",
                "Input should be a valid boolean, unable to interpret input".into(),
                None,
            ),
            Self::DateType => ("date_type", "Input should be a valid date".into(), None),
            Self::DateParsing { error } => (
                "date_parsing",
                format!("Input should be a valid date, {error}").into(),
                Some(json!({ "error": error })),
            ),
            Self::DateTimeType => ("datetime_type", "Input should be a valid datetime".into(), None),
            Self::DateTimeParsing { error } => (
                "datetime_from_date_parsing",
                format!("Input should be a valid datetime or date, {error}").into(),
                Some(json!({ "error": error })),
            ),
            Self::UuidType => (
                "uuid_type",
                "UUID input should be a string, bytes or UUID object".into(),
                None,
            ),
            Self::UuidParsing { error } => (
                "uuid_parsing",
                format!("Input should be a valid UUID, {error}").into(),
                Some(json!({ "error": error })),
            ),
            Self::Choice { words } => {
                let expected = alternatives(&words);
                (
                    "literal_error",
                    format!("Input should be {expected}").into(),
                    Some(json!({ "expected": expected })),
                )
            }
            Self::KeyReused => (
                "idempotency_key_reused",
                "The key was used for another request: use a new key for each request".into(),
                None,
            ),
            Self::Value { error } => (
                "value_error",
                format!("Value error, {error}").into(),
                Some(json!({ "error": error })),
            ),
        }
    }
}

/// Returns a count with its noun: `1 item`, `2 items`.
fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Joins words as alternatives: `'a', 'b' or 'c'`.
fn alternatives(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}
