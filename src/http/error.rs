//! One error that leaves handlers, rendered by the surface that the request came to.
//!
//! A handler's `Err` becomes a bare response that carries the [`Failure`]; the layer of the router it
//! leaves through ([`rendered_by`]) says it in that surface's own form. So an operation shared by
//! several surfaces cannot answer in the wrong one, and neither can an extractor.

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use crate::authority;
use crate::http::input::{Fault, InputError, Location, Violation, Violations};

/// The challenge to whoever sends a token that is not good.
pub(crate) const INVALID_TOKEN: HeaderValue =
    HeaderValue::from_static("Bearer realm=\"jeton\", error=\"invalid_token\"");

/// Why a request has no good answer, as facts.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request itself.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The operation.
    #[error(transparent)]
    Refused(authority::Error),
    /// Two `Authorization` headers, or one that cannot be read: which of them would count is
    /// anybody's guess.
    #[error("send exactly one readable Authorization header")]
    AmbiguousCredential,
    /// No such address.
    #[error("there is no such endpoint")]
    NoRoute,
    /// The address is there, the method is not.
    #[error("this endpoint does not support this method")]
    NoMethod,
    /// The state of something at an instant in the past.
    #[error("past states are not kept")]
    NoHistory,
    /// More requests than this deployment allows the caller or the address.
    #[error("too many requests")]
    TooManyRequests {
        /// Seconds until the next can be let through.
        retry_after: u64,
    },
}

impl From<authority::Error> for Failure {
    /// What the authority finds wrong with fields joins what their own types and bounds say.
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
    /// What a caller without a good token is told (RFC 6750, section 3): no error code where no
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

    /// After how many seconds it is worth to try again.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests { retry_after } => Some(*retry_after),
            Self::Refused(authority::Error::LockedOut { retry_after }) => Some(u64::from(*retry_after)),
            Self::Refused(authority::Error::Busy) => Some(1),
            _ => None,
        }
    }

    /// Returns the answer with the headers that say who is to authenticate how, and when to try again.
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

    /// Logs what an operator must know, once, with its causes, none of which is ever sent.
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

/// How many seconds the caller's token is still good for; whoever finds out who the caller is says it,
/// for the answer's headers.
pub(super) type ExpiresIn = Arc<OnceLock<u64>>;

/// The header that says it.
pub(super) const EXPIRES_IN: HeaderName = HeaderName::from_static("token-expires-in");

/// Has every failure that leaves a router said in one surface's form, every caller told how long their
/// token lasts, and every answer kept by nobody unless it says otherwise: what is answered is one
/// caller's.
///
/// One layer for all of it, since each costs every request.
pub fn rendered_by<S>(router: Router<S>, render: fn(&Failure) -> Response) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.layer(from_fn(move |mut request: Request, next: Next| async move {
        let expires_in = ExpiresIn::default();
        request.extensions_mut().insert(Arc::clone(&expires_in));
        let mut response = next.run(request).await;
        if let Some(failure) = response.extensions_mut().remove::<Arc<Failure>>() {
            response = said(response, render(&failure));
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

/// Keeps what was said beside the failure, such as `Allow`.
fn said(mut bare: Response, mut rendered: Response) -> Response {
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

    /// Every failure there is. A new one that is not added here is still described and rendered, since
    /// neither descriptions nor the surfaces' tables have a wildcard; here it is shown to whoever reads
    /// their snapshots.
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
            authority::Error::LastToken {
                owner: OwnerKind::Organization,
            },
            authority::Error::NotActive,
            authority::Error::BadCursor,
            authority::Error::Busy,
            authority::Error::NoSigningKey,
            authority::Error::Unavailable("the disk is on fire".into()),
        ];
        let input = [
            InputError::Invalid(Violations::default()),
            InputError::BodyTooLarge,
            InputError::Utf8,
            InputError::UnsupportedMediaType,
            InputError::FormNeeded,
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

    /// What a surface makes of each, a line each: status, the text in `field`, challenge and waiting time.
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
