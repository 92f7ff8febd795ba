//! What the bounds of a form (`#[validate(length(..), range(..))]`) are called in an answer.

use serde_json::Value;
use validator::ValidationError;

use super::violation::Fault;

/// The fault that a broken bound is. Bounds other than `length` and `range` are rules of ours, with
/// a message of their own.
pub(super) fn fault(error: ValidationError) -> Fault {
    let parameter = |name: &str| error.params.get(name);
    let named = match (error.code.as_ref(), parameter("value")) {
        ("length", Some(Value::String(text))) => {
            let length = text.chars().count() as u64;
            match (
                parameter("min").and_then(Value::as_u64),
                parameter("max").and_then(Value::as_u64),
            ) {
                (Some(min_length), _) if length < min_length => Some(Fault::StringTooShort { min_length }),
                (_, Some(max_length)) => Some(Fault::StringTooLong { max_length }),
                _ => None,
            }
        }
        ("length", Some(Value::Array(list))) => {
            let actual_length = list.len() as u64;
            match (
                parameter("min").and_then(Value::as_u64),
                parameter("max").and_then(Value::as_u64),
            ) {
                (Some(min_length), _) if actual_length < min_length => Some(Fault::ListTooShort {
                    min_length,
                    actual_length,
                }),
                (_, Some(max_length)) => Some(Fault::ListTooLong {
                    max_length,
                    actual_length,
                }),
                _ => None,
            }
        }
        ("range", Some(value)) => {
            match (
                parameter("min").and_then(Value::as_i64),
                parameter("max").and_then(Value::as_i64),
            ) {
                (Some(ge), _) if value.as_i64() < Some(ge) => Some(Fault::GreaterThanEqual { ge }),
                (_, Some(le)) => Some(Fault::LessThanEqual { le }),
                _ => None,
            }
        }
        _ => None,
    };
    named.unwrap_or_else(|| Fault::Value {
        error: error.message.unwrap_or(error.code).into_owned(),
    })
}
