//! The input of CAVE's handlers.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header};

use super::render::Refusal;
use crate::http::Failure;
use crate::http::input::{self, Input, InputError};
use jeton_core::text::{Line, NotReadable};

/// A request body.
pub(super) trait Body: input::Request {
    /// The message for JSON that does not match the form.
    const UNREADABLE: &'static str;
}

/// Path parameters and a body.
pub(super) struct CaveInput<P, B> {
    pub(super) path: P,
    pub(super) body: B,
}

impl<S, P, B> FromRequest<S> for CaveInput<P, B>
where
    S: Send + Sync,
    P: input::Request,
    B: Body,
{
    type Rejection = Refusal;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, Refusal> {
        require_json(request.headers_mut())?;
        match Input::<P, (), B>::from_request(request, state).await {
            Ok(Input { path, body, .. }) => Ok(Self { path, body }),
            Err(InputError::Invalid(violations))
                if !violations.is_malformed() && !violations.is_in_path() =>
            {
                Err(Refusal::bad_request(B::UNREADABLE))
            }
            Err(other) => Err(Failure::from(other).into()),
        }
    }
}

/// Parses a name, and says what is wrong with it.
pub(super) fn name(field: &str, text: &str) -> Result<Line, Refusal> {
    let wrong = |error: NotReadable| Refusal::bad_request(format!("Bad Request: {field} {error}."));
    text.parse().map_err(wrong)
}

/// Requires a JSON media type. CAVE also accepts `text/json`, which the shared parser refuses.
fn require_json(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = given.and_then(|text| text.split(';').next()).map(str::trim);
    let is_json = essence.is_some_and(|essence| {
        ["application/json", "text/json"]
            .iter()
            .any(|json| essence.eq_ignore_ascii_case(json))
    });
    if !is_json {
        return Err(Failure::from(InputError::UnsupportedMediaType).into());
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(())
}
