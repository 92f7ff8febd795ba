//! The error type of all handlers, rendered in the format of the API that received the request.
//!
//! A handler's `Err` becomes an empty response that carries the [`Failure`]; the layer of the API's
//! router ([`rendered_by`]) renders it. So operations and extractors shared by several APIs cannot
//! answer in the wrong format.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use jeton_verifier::feed::Cursor;

use crate::authority;
use crate::http::App;
use crate::http::idempotency_key;
use crate::http::input::{Choice, Fault, InputError, Location, Violation, Violations};
use crate::http::requests::RequestContext;

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
                    // The layer of the API adds the value as sent.
                    Violation::new(Fault::Value { error: fault.message }, at, &())
                });
                InputError::Invalid(Violations {
                    detail: detail.collect(),
                })
                .into()
            }
            authority::Error::KeyReused => InputError::Invalid(idempotency_key::reused().into()).into(),
            other => Self::Refused(other),
        }
    }
}

impl Failure {
    /// Returns the word of its code for the log.
    pub(super) fn code(&self) -> &'static str {
        self.description().code.word().unwrap_or("invalid")
    }

    /// Returns the challenge for a missing, inactive or insufficient token (RFC 6750, section 3): no error
    /// code if no credential was sent.
    pub(crate) fn challenge(&self) -> Option<HeaderValue> {
        let Self::Refused(error) = self else {
            return None;
        };
        let scope: &str = match error {
            authority::Error::NoCredential | authority::Error::BadLogin => {
                return Some(HeaderValue::from_static("Bearer realm=\"jeton\""));
            }
            authority::Error::BadCredential(_) => return self.invalid_token(),
            authority::Error::ScopeNeeded(scope) => scope,
            authority::Error::DeploymentTokenNeeded(scope) => scope,
            _ => return None,
        };
        self.bearer_error("insufficient_scope", &format!(", scope=\"{scope}\""))
    }

    /// Returns the challenge of an API that rejects the token as invalid.
    pub(crate) fn invalid_token(&self) -> Option<HeaderValue> {
        self.bearer_error("invalid_token", "")
    }

    fn bearer_error(&self, error: &str, rest: &str) -> Option<HeaderValue> {
        let description = oauth_text(&self.description().text);
        let challenge =
            format!("Bearer realm=\"jeton\", error=\"{error}\", error_description=\"{description}\"{rest}");
        HeaderValue::from_str(&challenge).ok()
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
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
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

/// Replaces the characters that RFC 6749 and RFC 6750 do not allow in an error description.
pub(super) fn oauth_text(text: &str) -> String {
    let allowed = |letter: char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
    text.chars()
        .map(|letter| if allowed(letter) { letter } else { '\'' })
        .collect()
}

/// Returns the seconds to wait, rounded up.
pub(super) fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The response header with the remaining lifetime of the caller's token.
pub(super) const EXPIRES_IN: HeaderName = HeaderName::from_static("token-expires-in");

/// The response header with a position in the revocation feed: who follows the feed up to it knows everything that the
/// request has revoked.
pub(super) const REVOCATION_CURSOR: HeaderName = HeaderName::from_static("revocation-cursor");

/// Renders every failure of a router in an API's format, adds [`EXPIRES_IN`], and forbids caching
/// unless a response allows it: responses are specific to a caller.
///
/// A single layer, since each layer costs time on every request.
pub fn rendered_by<S>(router: Router<S>, render: fn(&Failure) -> Response) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(from_fn(move |mut request: Request, next: Next| async move {
        let context = RequestContext::of(&mut request);
        if let Some(route) = request.extensions().get::<MatchedPath>() {
            // Set at most once, since a request has one route.
            let _ = context.route.set(route.clone());
        }
        let mut response = next.run(request).await;
        if let Some(mut failure) = response.extensions_mut().remove::<Arc<Failure>>() {
            if let Some(Failure::Input(InputError::Invalid(violations))) = Arc::get_mut(&mut failure)
                && let Some(body) = context.body.get()
            {
                violations.echo(body);
            }
            response = keep_headers(response, render(&failure));
            let _ = context.failure.set(failure);
        }
        let is_done = response.status().is_success();
        let cursor = match context.writes.get().filter(|_| is_done) {
            Some(app) => revocation_cursor(app).await,
            None => None,
        };
        let headers = response.headers_mut();
        if let Some(seconds) = context.caller.get().and_then(|caller| caller.expires_in) {
            headers.insert(EXPIRES_IN, seconds.into());
        }
        if let Some(cursor) = cursor {
            headers.entry(REVOCATION_CURSOR).or_insert(cursor);
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

/// Returns the value of [`REVOCATION_CURSOR`] after a request.
pub(super) async fn revocation_cursor(app: &App) -> Option<HeaderValue> {
    let position = app.authority.revocation_position().await.ok()?;
    HeaderValue::from_str(&Cursor(position).to_string()).ok()
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
    use crate::http::examples;

    /// Renders each failure into a line: status, the text in `field`, challenge and retry delay.
    pub(crate) async fn table(render: fn(&Failure) -> Response, field: &str) -> String {
        let mut table = String::new();
        for (_, failure) in examples::failures() {
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
