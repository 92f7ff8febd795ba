//! A layer that lets only requests with a valid token pass (feature `tower`).
//!
//! Refused requests are answered as RFC 6750 says: 401 without a valid token, 403 if the token is valid but not for this
//! request, 503 if it is unknown whether the token is revoked.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Credential, Rejection, Requirements, UnreadableCredential, Verifier, credential};

/// The path of a resource's metadata (RFC 9728 section 3).
pub(crate) const METADATA_PATH: &str = "/.well-known/oauth-protected-resource";

/// Verifies the token of each request and inserts its [`Claims`](crate::Claims) into the request's extensions, as
/// `Arc<Claims>`.
#[derive(Debug, Clone)]
pub struct VerifyLayer {
    verifier: Verifier,
    requirements: Arc<Requirements>,
    /// The URL of the resource's metadata, if it is announced.
    metadata: Option<String>,
}

impl VerifyLayer {
    /// Returns a layer that requires a valid token.
    pub fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            requirements: Arc::default(),
            metadata: None,
        }
    }

    /// Requires more of the token.
    #[must_use]
    pub fn require(mut self, requirements: Requirements) -> Self {
        self.requirements = Arc::new(requirements);
        self
    }

    /// Names the resource's metadata in refusals (RFC 9728 section 5.1), if the audience is a URL. The service must
    /// serve it: see `jeton_verifier::axum::resource_metadata`.
    #[must_use]
    pub fn announce_metadata(mut self) -> Self {
        self.metadata = metadata_url(self.verifier.audience()).map(|(url, _)| url);
        self
    }

    fn check<B>(&self, request: &mut Request<B>) -> Result<(), Refusal> {
        let token = bearer(request.headers())?;
        let claims = self.verifier.verify_for(&self.requirements, token);
        request
            .extensions_mut()
            .insert(claims.map_err(Refusal::Rejected)?);
        Ok(())
    }

    fn refuse<R: Default>(&self, refusal: Refusal) -> Response<R> {
        let mut response = Response::new(R::default());
        *response.status_mut() = refusal.status();
        let headers = response.headers_mut();
        match refusal {
            Refusal::Rejected(Rejection::RevocationUnknown) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
            }
            _ => {
                let challenge = self.challenge(refusal);
                // Scopes with characters that no header has are left out with the rest.
                let challenge = HeaderValue::try_from(challenge);
                let challenge = challenge.unwrap_or(HeaderValue::from_static("Bearer"));
                headers.insert(WWW_AUTHENTICATE, challenge);
            }
        }
        response
    }

    /// Returns the challenge (RFC 6750 section 3). Without a credential it has no error.
    fn challenge(&self, refusal: Refusal) -> String {
        let mut parameters = Vec::new();
        let mut parameter = |name: &str, value: &str| parameters.push(format!("{name}=\"{value}\""));
        match refusal {
            Refusal::Missing => {}
            Refusal::Ambiguous => parameter("error", "invalid_request"),
            Refusal::Rejected(rejection) => {
                let is_forbidden = rejection.status() == 403;
                parameter(
                    "error",
                    if is_forbidden {
                        "insufficient_scope"
                    } else {
                        "invalid_token"
                    },
                );
                parameter("error_description", &rejection.to_string());
            }
        }
        let scopes = self.requirements.scopes();
        if !scopes.is_empty() {
            parameter("scope", &scopes.join(" "));
        }
        if let Some(url) = &self.metadata {
            parameter("resource_metadata", url);
        }
        format!("Bearer {}", parameters.join(", ")).trim_end().to_owned()
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = VerifyService<S>;

    fn layer(&self, inner: S) -> VerifyService<S> {
        VerifyService {
            layer: self.clone(),
            inner,
        }
    }
}

/// A service behind a [`VerifyLayer`].
#[derive(Debug, Clone)]
pub struct VerifyService<S> {
    layer: VerifyLayer,
    inner: S,
}

impl<S, B, R> Service<Request<B>> for VerifyService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = VerifyFuture<S::Future, R>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.layer.check(&mut request) {
            Ok(()) => VerifyFuture {
                passed: Some(self.inner.call(request)),
                refused: None,
            },
            Err(refusal) => VerifyFuture {
                passed: None,
                refused: Some(self.layer.refuse(refusal)),
            },
        }
    }
}

pin_project! {
    /// The response of a [`VerifyService`].
    #[derive(Debug)]
    pub struct VerifyFuture<F, R> {
        // The future of the service, if the token is valid.
        #[pin]
        passed: Option<F>,
        // The refusal, until it is taken.
        refused: Option<Response<R>>,
    }
}

impl<F, R, E> Future for VerifyFuture<F, R>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let parts = self.project();
        match (parts.passed.as_pin_mut(), parts.refused.take()) {
            (Some(passed), _) => passed.poll(context),
            (None, Some(refused)) => Poll::Ready(Ok(refused)),
            // Nobody may poll again after the response.
            (None, None) => Poll::Pending,
        }
    }
}

/// The reason why a request does not pass.
#[derive(Debug, Clone, Copy)]
enum Refusal {
    /// There is no bearer token.
    Missing,
    /// There are two `Authorization` headers, or one that is not text.
    Ambiguous,
    /// The token is rejected.
    Rejected(Rejection),
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Missing => StatusCode::UNAUTHORIZED,
            Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::Rejected(rejection) => {
                StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::UNAUTHORIZED)
            }
        }
    }
}

/// Returns the token of a request: one `Authorization` header with the scheme `Bearer`.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    match credential(headers) {
        Ok(Some(Credential::Bearer(token))) => Ok(token),
        Ok(Some(Credential::Basic(_)) | None) => Err(Refusal::Missing),
        Err(UnreadableCredential) => Err(Refusal::Ambiguous),
    }
}

/// Returns URL and path of the metadata of a resource that is a URL (RFC 9728 section 3.1).
pub(crate) fn metadata_url(resource: &str) -> Option<(String, String)> {
    let (scheme, rest) = resource.split_once("://")?;
    if !matches!(scheme, "https" | "http") || rest.contains(['?', '#', '"', '\\', '{', '}']) {
        return None;
    }
    let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let path = format!("{METADATA_PATH}{}", path.trim_end_matches('/'));
    Some((format!("{scheme}://{host}{path}"), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_between_host_and_path() {
        for (resource, url) in [
            (
                "https://a.example",
                Some("https://a.example/.well-known/oauth-protected-resource"),
            ),
            (
                "https://a.example/",
                Some("https://a.example/.well-known/oauth-protected-resource"),
            ),
            (
                "http://a:80/b/c",
                Some("http://a:80/.well-known/oauth-protected-resource/b/c"),
            ),
            ("https://a.example/?b", None),
            ("urn:a", None),
            ("a", None),
        ] {
            let found = metadata_url(resource).map(|(url, _)| url);
            assert_eq!(found.as_deref(), url, "{resource}");
        }
    }
}
