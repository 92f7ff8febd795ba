//! Error responses, as the authority's: RFC 6749 section 5.2, with the challenge of RFC 6750 section 3.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use jeton_verifier::Rejection;
use serde::Serialize;

use crate::config::Rule;

/// The response to every request.
pub(crate) type Answer = Response<Full<Bytes>>;

/// The value of `Cache-Control` in every response.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The seconds after which a client may try again what the guard cannot tell now.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// The reason why a request is refused.
#[derive(Debug)]
pub(crate) enum Refusal<'a> {
    /// The request has no credential.
    NoCredential,
    /// The credential cannot be read.
    BadCredential,
    /// The token is refused, by a rule or by introspection.
    Token(Rejection, Option<&'a Rule>),
    /// The request is wrong in itself.
    Request(StatusCode, &'static str),
}

impl Refusal<'_> {
    fn status(&self) -> StatusCode {
        match self {
            Self::NoCredential | Self::BadCredential => StatusCode::UNAUTHORIZED,
            Self::Token(rejection, _) => {
                StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::UNAUTHORIZED)
            }
            Self::Request(status, _) => *status,
        }
    }

    fn code(&self) -> &'static str {
        match (self, self.status()) {
            // "No client authentication included" (RFC 6749).
            (Self::NoCredential, _) => "invalid_client",
            (Self::Request(..), _) => "invalid_request",
            (_, StatusCode::FORBIDDEN) => "insufficient_scope",
            (_, StatusCode::SERVICE_UNAVAILABLE) => "temporarily_unavailable",
            _ => "invalid_token",
        }
    }

    /// Returns a sentence of characters that RFC 6749 allows.
    ///
    /// Only the holder of a rightly signed token learns why it is refused.
    fn description(&self) -> String {
        match self {
            Self::NoCredential => {
                "Authentication is required: send a token as Authorization: Bearer.".to_owned()
            }
            Self::BadCredential
            | Self::Token(
                Rejection::Malformed(_)
                | Rejection::UnknownKey
                | Rejection::WrongAlgorithm
                | Rejection::BadSignature,
                _,
            ) => "The token is not valid.".to_owned(),
            Self::Token(Rejection::InsufficientScope, Some(rule)) => {
                format!("The token lacks a scope among: {}.", rule.scopes.join(" "))
            }
            Self::Token(rejection, _) => format!("Refused: {rejection}."),
            Self::Request(_, text) => (*text).to_owned(),
        }
    }

    /// No error code without a credential (RFC 6750, section 3.1).
    fn challenge(&self, description: &str) -> Option<HeaderValue> {
        let code = self.code();
        let challenge = match self {
            Self::NoCredential => "Bearer realm=\"jeton\"".to_owned(),
            Self::Request(..) | Self::Token(Rejection::RevocationUnknown, _) => return None,
            _ => {
                let scope = match self {
                    Self::Token(Rejection::InsufficientScope, Some(rule)) => {
                        format!(", scope=\"{}\"", rule.scopes.join(" "))
                    }
                    _ => String::new(),
                };
                format!(
                    "Bearer realm=\"jeton\", error=\"{code}\", error_description=\"{description}\"{scope}"
                )
            }
        };
        HeaderValue::try_from(challenge).ok()
    }

    pub(crate) fn answer(&self) -> Answer {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'static str,
            error_description: &'a str,
        }
        let description = self.description();
        let body = Body {
            error: self.code(),
            error_description: &description,
        };
        let mut answer = json(self.status(), &body);
        let headers = answer.headers_mut();
        if let Some(challenge) = self.challenge(&description) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, RETRY_SECONDS);
        }
        answer
    }
}

/// Returns a JSON response that nobody stores.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    // Bodies are structs of texts and numbers, which always can be serialized.
    let body = serde_json::to_vec(body).unwrap_or_default();
    text(status, HeaderValue::from_static("application/json"), body)
}

pub(crate) fn text(status: StatusCode, media_type: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(CONTENT_TYPE, media_type);
    answer
}
