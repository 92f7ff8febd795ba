//! The header `Idempotency-Key`: read from a request, and documented. Apart from the forms of handlers, since a
//! permission ([`Once`](crate::http::caller::Once)) says which operations take it.

use std::borrow::Cow;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{ObjectBuilder, Required, Type};

use crate::authority::RequestKey;
use crate::http::Failure;
use crate::http::input::{Fault, InputError, Location, Violation};
use crate::http::v1::BUSINESS;
use jeton_core::token::Owner;

/// The header, as documents and errors write it.
pub(super) const NAME: &str = "Idempotency-Key";

pub(super) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The maximum length of a key.
const LONGEST: usize = 255;

/// Returns the idempotency key of a request by the holder of a token, if it has one. `is_limited` is whether the request
/// is refused if the caller has used too many keys.
pub(super) fn of_request(
    parts: &Parts,
    owner: &Owner,
    is_limited: bool,
) -> Result<Option<RequestKey>, Failure> {
    let key = match read(&parts.headers) {
        Ok(None) => return Ok(None),
        Ok(Some(key)) => key,
        Err(NotAKey(value)) => {
            let error = format!(
                "`{NAME}` must be one header of 1 to {LONGEST} visible ASCII characters, or of a string in quotes"
            );
            let violation = Violation::new(Fault::Value { error }, location(), &value);
            return Err(InputError::Invalid(violation.into()).into());
        }
    };
    let business = parts.headers.get(BUSINESS);
    let head = [
        parts.method.as_str().as_bytes(),
        parts.uri.path().as_bytes(),
        parts.uri.query().unwrap_or_default().as_bytes(),
        business.map(|value| value.as_bytes()).unwrap_or_default(),
    ];
    Ok(Some(RequestKey::new(owner, &key, &head, is_limited)))
}

/// Returns the violation of a key that was used for another request.
pub(super) fn reused() -> Violation {
    Violation::new(Fault::KeyReused, location(), &())
}

fn location() -> Location {
    Location::root("header").field(NAME)
}

/// The value of a header that is no key; `None` if the header is repeated.
#[derive(Debug, PartialEq, Eq)]
struct NotAKey(Option<String>);

/// Returns the key in the headers: its characters, or a string of RFC 9651 (section 3.3.3), as
/// draft-ietf-httpapi-idempotency-key-header has it. Both forms of the same characters are the same key.
fn read(headers: &HeaderMap) -> Result<Option<Cow<'_, str>>, NotAKey> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(NotAKey(None));
    }
    let refused = || NotAKey(Some(String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let text = value.to_str().map_err(|_| refused())?;
    let key = match text.strip_prefix('"') {
        Some(rest) => Cow::Owned(unquoted(rest).ok_or_else(refused)?),
        None if text.bytes().all(|byte| byte.is_ascii_graphic()) => Cow::Borrowed(text),
        None => return Err(refused()),
    };
    match (1..=LONGEST).contains(&key.len()) {
        true => Ok(Some(key)),
        false => Err(refused()),
    }
}

/// Returns the characters of a string whose first quotation mark was removed; `None` if it is none.
fn unquoted(rest: &str) -> Option<String> {
    let mut key = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(key),
            '\\' => match characters.next()? {
                escaped @ ('"' | '\\') => key.push(escaped),
                _ => return None,
            },
            character @ ' '..='~' => key.push(character),
            _ => return None,
        }
    }
}

/// Returns the header for the OpenAPI document.
pub(super) fn parameter() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(LONGEST))
        .pattern(Some("^[!#-~][!-~]*$"));
    ParameterBuilder::new()
        .name(NAME)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "A key of your choice for this request, such as a UUID: a retry with the same key and the same request is \
             not carried out again, but answered with `already_done` and what the first one made. 1 to 255 visible \
             ASCII characters, or a string in quotes. Kept for at least 24 hours.",
        ))
        .schema(Some(schema))
        .example(Some("7d1f5a52-9c0e-4d59-8f5e-3b0c1a6e2f11".into()))
        .build()
}

/// Reads lines as values of the header: what a fuzzer calls.
#[cfg(fuzzing)]
pub fn fuzz_idempotency_key(bytes: &[u8]) {
    let headers = |lines: &mut dyn Iterator<Item = &[u8]>| -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, axum::http::HeaderValue::from_bytes(line).ok()?);
        }
        Some(headers)
    };
    let Some(given) = headers(&mut bytes.split(|byte| *byte == b'\n').take(3)) else {
        return;
    };
    if let Ok(Some(key)) = read(&given) {
        assert_eq!(given.len(), 1, "one of two was chosen");
        assert!((1..=LONGEST).contains(&key.len()) && key.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        let quoted = format!("\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""));
        let quoted = headers(&mut std::iter::once(quoted.as_bytes()));
        let again = quoted.as_ref().map(read);
        assert_eq!(again, Some(Ok(Some(key))), "the same key in quotes");
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_key_is_visible_ascii_or_a_quoted_string() {
        let read = |values: &[&[u8]]| {
            let values = values.iter().map(|value| HeaderValue::from_bytes(value).unwrap());
            let mut headers = HeaderMap::new();
            values.for_each(|value| _ = headers.append(HEADER, value));
            super::read(&headers).map(|key| key.map(Cow::into_owned)).ok()
        };
        assert_eq!(read(&[]), Some(None));
        let longest = [b'a'; LONGEST];
        let quoted_longest = [&b"\""[..], &longest, b"\""].concat();
        for (value, key) in [
            (&b"a"[..], "a"),
            (
                b"8e03978e-40d5-43dd-bc93-6894a57f9324",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
            (b"!~;,=", "!~;,="),
            (b"a\"b\\", "a\"b\\"),
            (b"\"a\"", "a"),
            (b"\"a b\\\"\\\\\"", "a b\"\\"),
            (&longest, std::str::from_utf8(&longest).unwrap()),
            (&quoted_longest, std::str::from_utf8(&longest).unwrap()),
        ] {
            assert_eq!(read(&[value]), Some(Some(key.to_owned())), "{value:?}");
        }
        let too_long = [b'a'; LONGEST + 1];
        for value in [
            &b""[..],
            b"\"\"",
            b"\"",
            b"\"a",
            b"\"a\"b",
            b"\"a\";p=1",
            b"\"a\\b\"",
            b"\"a\\\"",
            b"a b",
            b"a\tb",
            b"\"a\tb\"",
            b"\xc3\xa4",
            &too_long,
        ] {
            assert_eq!(read(&[value]), None, "{value:?}");
        }
        assert_eq!(read(&[b"a", b"a"]), None);
    }
}
