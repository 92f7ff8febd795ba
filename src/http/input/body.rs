//! Parses a body into a value.

use axum::body::Body;
use axum::http::{HeaderMap, Method, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use url::form_urlencoded;

use super::error::InputError;
use super::value::{Object, Value, texts};
use super::violation::{Fault, Location, Violation, Violations};

const URL_ENCODED: &str = "application/x-www-form-urlencoded";

/// The media type of JSON:API documents.
pub(crate) const JSON_API: &str = "application/vnd.api+json";

/// The maximum size of a body, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// How the body is parsed, according to the request's headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    UrlEncoded,
    Other,
}

/// The encoding that a form requires of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Json,
    /// `application/x-www-form-urlencoded`, for OAuth.
    UrlEncoded,
    /// `application/vnd.api+json`, for JSON:API.
    JsonApi,
}

impl Media {
    /// Checks the media type before the body is read.
    ///
    /// Against cross-site request forgery: a page of another site can make a browser send a write with
    /// stored Basic credentials if the media type is absent or that of an HTML form, but it cannot send
    /// `Authorization: Bearer`, and JSON only after a preflight. So a write without Bearer must declare
    /// JSON. With Bearer an absent media type means JSON, and any other body is read as a text, which
    /// is no object.
    ///
    /// A form-encoded body must be declared as such, and so must a JSON:API write, even one without a
    /// body.
    pub(super) fn of(encoding: Encoding, method: &Method, headers: &HeaderMap) -> Result<Self, InputError> {
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(InputError::Encoded);
        }
        let given = headers
            .get(header::CONTENT_TYPE)
            .map(|value| value.to_str().unwrap_or_default());
        if encoding == Encoding::UrlEncoded {
            return match given {
                Some(media_type) if essence(media_type).eq_ignore_ascii_case(URL_ENCODED) => {
                    Ok(Self::UrlEncoded)
                }
                _ => Err(InputError::FormNeeded),
            };
        }
        if encoding == Encoding::JsonApi {
            return match given {
                Some(media_type) if essence(media_type).eq_ignore_ascii_case(JSON_API) => Ok(Self::Json),
                _ => Err(InputError::UnsupportedMediaType),
            };
        }
        let could_be_forged = *method == Method::POST || given.is_some();
        match given {
            Some(media_type) if is_json(media_type) => Ok(Self::Json),
            _ if !method.is_safe() && could_be_forged && !has_bearer(headers) => {
                Err(InputError::UnsupportedMediaType)
            }
            Some(_) => Ok(Self::Other),
            None => Ok(Self::Json),
        }
    }
}

/// Returns the body as text, without a byte order mark. The connection limits how long it may take.
pub(super) async fn text(body: Body) -> Result<String, InputError> {
    let read = Limited::new(body, MAX_BODY).collect().await;
    let bytes = read.map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(_) => InputError::BodyTooLarge,
        Err(error) => InputError::BodyUnreadable(error),
    })?;
    let text = String::from_utf8(bytes.to_bytes().into()).map_err(|_| InputError::Utf8)?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// Parses the value of a body; `None` if the body is empty.
pub(super) fn value(text: &str, media: Media) -> Result<Option<Value<'_>>, Violations> {
    match media {
        Media::UrlEncoded => Ok(Some(Value::Object(form_members(text)))),
        _ if text.is_empty() => Ok(None),
        Media::Other => Ok(Some(Value::Text(text.into()))),
        Media::Json => match Value::parse(text) {
            Ok(value) => Ok(Some(value)),
            Err(malformed) => {
                let at = Location::root("body").index(malformed.offset);
                let fault = Fault::JsonInvalid {
                    error: malformed.error,
                };
                Err(Violation::new(fault, at, &serde_json::Map::new()).into())
            }
        },
    }
}

/// Parses form parameters. One without a value counts as absent (RFC 6749, section 3.2).
fn form_members(text: &str) -> Object<'_> {
    texts(form_urlencoded::parse(text.as_bytes()).filter(|(_, value)| !value.is_empty()))
}

/// Returns a media type without its parameters.
fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// Returns whether the media type is `application/json` or `application/<anything>+json`, with any
/// parameters.
fn is_json(media_type: &str) -> bool {
    essence(media_type)
        .to_ascii_lowercase()
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

fn has_bearer(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split_once(' '))
        .any(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
}
