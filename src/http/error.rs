//! The error type of all handlers, rendered in the format of the API that received the request.
//!
//! A handler's `Err` becomes an empty response that carries the [`Failure`]; the layer of the API's
//! router ([`rendered_by`]) renders it. So operations and extractors shared by several APIs cannot
//! answer in the wrong format.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use crate::authority;
use crate::http::input::{Fault, InputError, Location, Violation, Violations};

/// The challenge for a token that is not active.
pub(crate) const INVALID_TOKEN: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"jeton\", error=\"invalid_token\"");

/// The reason why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request is invalid.
    #[error(transparent)]
    Input(InputError),
    /// The operation failed.
    #[error(transparent)]
    Refused(authority::Error),
    /// Repeated or unreadable `Authorization` headers: which one counts would be ambiguous.
    #[error("send exactly one readable Authorization header")]
    AmbiguousCredential,
    /// Unknown path.
    #[error("there is no such endpoint")]
    NoRoute,
    /// The path exists and does not support the method.
    #[error("this endpoint does not support this method")]
    NoMethod,
    /// A request for the state at a time in the past.
    #[error("past states are not kept")]
    NoHistory,
    /// The rate limit of the caller or the address is exceeded.
    #[error("too many requests")]
    TooManyRequests {
        /// Seconds until the next request is allowed.
        retry_after: u64,
    },
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        match error {
            InputError::Refused(error) => error.into(),
            other => Self::Input(other),
        }
    }
}

impl From<authority::Error> for Failure {
    /// Converts an error of the authority. Its field errors join those of types and bounds.
    fn from(error: authority::Error) -> Self {
        match error {
            authority::Error::Invalid(faults) => {
                let detail = faults.into_iter().map(|fault| {
                    let parts = fault.field.split('.');
                    let at = parts.fold(Location::root("body"), |at, part| at.field(part));
                    let at = fault.index.map_or_else(|| at.clone(), |index| at.index(index));
                    Violation::new(Fault::Value { error: fault.message }, at, &fault.input)
                });
                InputError::Invalid(Violations {
                    detail: detail.collect(),
                })
                .into()
            }
            other => Self::Refused(other),
        }
    }
}

impl Failure {
    /// Returns the challenge for a missing or inactive token (RFC 6750, section 3): no error code if no
    /// credential was sent.
    pub(crate) fn challenge(&self) -> Option<HeaderValue> {
        let Self::Refused(error) = self else {
            return None;
        };
        match error {
            authority::Error::NoCredential | authority::Error::BadLogin => {
                Some(HeaderValue::from_static("Bearer realm=\"jeton\""))
            }
            authority::Error::BadCredential(_) => Some(INVALID_TOKEN),
            authority::Error::ScopeNeeded(scope) => {
                let value =
                    format!("Bearer realm=\"jeton\", error=\"insufficient_scope\", scope=\"{scope}\"");
                HeaderValue::from_str(&value).ok()
            }
            _ => None,
        }
    }

    /// Returns the number of seconds after which to retry.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests { retry_after } => Some(*retry_after),
            Self::Refused(authority::Error::LockedOut { retry_after }) => Some(u64::from(*retry_after)),
            Self::Refused(authority::Error::Busy) => Some(1),
            Self::Refused(authority::Error::ClockBehind(wait)) => Some(whole_seconds(*wait)),
            _ => None,
        }
    }

    /// Adds the headers `WWW-Authenticate` and `Retry-After` to a response.
    pub(crate) fn with_headers(&self, answer: impl IntoResponse, challenge: Option<HeaderValue>) -> Response {
        let mut response = answer.into_response();
        if let Some(value) = challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    /// Logs errors that an operator must know, with their causes, which are never sent to the client.
    fn log(&self) {
        if let Self::Refused(authority::Error::Unavailable(cause)) = self {
            let causes =
                std::iter::successors(Some(&**cause as &dyn std::error::Error), |error| error.source());
            let causes: Vec<String> = causes.map(ToString::to_string).collect();
            tracing::error!(causes = causes.join(": "), "request failed");
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.log();
        let mut response = StatusCode::INTERNAL_SERVER_ERROR.into_response();
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl IntoResponse for InputError {
    fn into_response(self) -> Response {
        Failure::from(self).into_response()
    }
}

/// Returns the seconds to wait, rounded up.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The remaining lifetime of the caller's token in seconds, set by the extractor of the caller and sent
/// in [`EXPIRES_IN`].
pub(super) type ExpiresIn = Arc<OnceLock<u64>>;

/// The response header with the remaining lifetime of the caller's token.
pub(super) const EXPIRES_IN: HeaderName = HeaderName::from_static("token-expires-in");

/// Renders every failure of a router in an API's format, adds [`EXPIRES_IN`], and forbids caching
/// unless a response allows it: responses are specific to a caller.
///
/// A single layer, since each layer costs time on every request.
pub fn rendered_by<S>(router: Router<S>, render: fn(&Failure) -> Response) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(from_fn(move |mut request: Request, next: Next| async move {
        let expires_in = ExpiresIn::default();
        request.extensions_mut().insert(Arc::clone(&expires_in));
        let mut response = next.run(request).await;
        if let Some(failure) = response.extensions_mut().remove::<Arc<Failure>>() {
            response = keep_headers(response, render(&failure));
        }
        let headers = response.headers_mut();
        if let Some(seconds) = expires_in.get() {
            headers.insert(EXPIRES_IN, (*seconds).into());
        }
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        headers
            .entry(header::X_CONTENT_TYPE_OPTIONS)
            .or_insert(HeaderValue::from_static("nosniff"));
        response
    }))
}

/// Keeps headers and extensions of the bare response, such as `Allow`.
fn keep_headers(mut bare: Response, mut rendered: Response) -> Response {
    rendered
        .extensions_mut()
        .extend(std::mem::take(bare.extensions_mut()));
    for (name, value) in bare.headers() {
        if !rendered.headers().contains_key(name) {
            rendered.headers_mut().append(name, value.clone());
        }
    }
    rendered
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use jeton_core::token::OwnerKind;

    /// Returns one of every failure. A failure missing here is still described and rendered, since the
    /// matches have no wildcard; it only lacks a line in the snapshots.
    fn failures() -> Vec<Failure> {
        let refused = [
            authority::Error::NoCredential,
            authority::Error::BadCredential(authority::Inactive::Revoked),
            authority::Error::BadLogin,
            authority::Error::LockedOut { retry_after: 30 },
            authority::Error::Forbidden,
            authority::Error::SessionNeeded,
            authority::Error::WrongAudience,
            authority::Error::ScopeNeeded("tokens:read".into()),
            authority::Error::Absent,
            authority::Error::NoApiToken,
            authority::Error::OrganizationNeeded,
            authority::Error::NameTaken,
            authority::Error::AddressTaken,
            authority::Error::LastAdmin,
            authority::Error::LastAdministrator,
            authority::Error::WrongPassword,
            authority::Error::NotAMember,
            authority::Error::LimitReached {
                owner: OwnerKind::Team,
                limit: 3,
            },
            authority::Error::QuotaReached {
                what: authority::Counted::Teams,
                most: 1_000,
            },
            authority::Error::LastToken {
                owner: OwnerKind::Organization,
            },
            authority::Error::NotActive,
            authority::Error::BadCursor,
            authority::Error::TooCostly,
            authority::Error::Busy,
            authority::Error::ClockBehind(Duration::from_millis(4_001)),
            authority::Error::NoSigningKey,
            authority::Error::Unavailable("the disk is on fire".into()),
        ];
        let input = [
            InputError::Invalid(Violations::default()),
            InputError::BodyTooLarge,
            InputError::Utf8,
            InputError::UnsupportedMediaType,
            InputError::FormNeeded,
            InputError::Encoded,
            InputError::BodyUnreadable("the wire is on fire".into()),
        ];
        let rest = [
            Failure::AmbiguousCredential,
            Failure::NoRoute,
            Failure::NoMethod,
            Failure::NoHistory,
            Failure::TooManyRequests { retry_after: 7 },
        ];
        let refused = refused.into_iter().map(Failure::Refused);
        let input = input.into_iter().map(Failure::Input);
        input.chain(rest).chain(refused).collect()
    }

    /// Renders each failure into a line: status, the text in `field`, challenge and retry delay.
    pub(crate) async fn table(render: fn(&Failure) -> Response, field: &str) -> String {
        let mut table = String::new();
        for failure in failures() {
            let (head, body) = render(&failure).into_parts();
            let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let body: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
            assert!(!text.contains("on fire"), "a cause is never sent: {text}");
            let header = |name| {
                let value = head.headers.get(name).and_then(|value| value.to_str().ok());
                value.map_or_else(String::new, |value| format!(" {name}={value}"))
            };
            let code = match body.as_ref().map(|body| body.get(field)) {
                Some(Some(serde_json::Value::String(text))) => text.clone(),
                Some(Some(other)) => other.to_string(),
                Some(None) => "HTTPValidationError".to_owned(),
                None => text.into_owned(),
            };
            let (challenge, wait) = (header("www-authenticate"), header("retry-after"));
            table.push_str(&format!("{} {code}{challenge}{wait}\n", head.status.as_u16()));
        }
        table
    }
}
