//! Requests to the authority: bounded in time and size, only to its own origin, without redirects.

use std::io;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use tokio::time::timeout;

use super::BuildError;

/// How long an answer may take to begin, and a small one to end.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// The maximum size of the text of an error, in bytes.
const MAX_PROBLEM_BYTES: usize = 16 * 1024;

/// A client for one authority.
pub(super) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    issuer: String,
    /// The URL to which requests go instead of to that of the issuer.
    authority: String,
}

/// The reason why a request was not answered as wanted.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the URL {0} is not the authority's")]
    Url(String),
    #[error("the verifier's own token cannot be read: {0}")]
    Token(io::Error),
    #[error("no answer in time")]
    Timeout,
    #[error("the authority cannot be reached: {0}")]
    Connect(String),
    #[error("the answer ended early or is too long: {0}")]
    Body(String),
    #[error("the authority answered {status} {code}")]
    Status {
        status: StatusCode,
        code: String,
        retry_after: Option<Duration>,
    },
}

impl FetchError {
    /// Returns whether the same request will be refused again.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Status { status, .. } if status.is_client_error()
            && !matches!(*status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS))
    }

    /// Returns what a refusal of the feed means.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Status { status, .. } if *status == StatusCode::UNAUTHORIZED => {
                " (the verifier's own token is not active)"
            }
            Self::Status { status, .. } if *status == StatusCode::FORBIDDEN => {
                " (the verifier's own token lacks the scope `revocations:read`)"
            }
            _ => "",
        }
    }

    pub(super) fn is_unauthorized(&self) -> bool {
        matches!(self, Self::Status { status, .. } if *status == StatusCode::UNAUTHORIZED)
    }

    /// Returns the code of an answer of the authority.
    pub(super) fn code(&self) -> &str {
        match self {
            Self::Status { code, .. } => code,
            _ => "",
        }
    }
}

/// An answer with its whole body.
pub(super) struct Answer {
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What a request asks for.
pub(super) struct Ask<'a> {
    pub(super) url: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) headers: Vec<(hyper::header::HeaderName, HeaderValue)>,
    /// The maximum size of the body, in bytes.
    pub(super) limit: usize,
    pub(super) time: Duration,
}

impl<'a> Ask<'a> {
    /// Returns a question for a document of at most `limit` bytes.
    pub(super) fn document(url: &'a str, limit: usize) -> Self {
        Self {
            url,
            token: None,
            headers: Vec::new(),
            limit,
            time: MAX_WAIT,
        }
    }
}

/// Checks a URL to which paths are appended.
pub(super) fn base_url(text: &str) -> Result<Uri, BuildError> {
    let error = || BuildError::Url(text.to_owned());
    let uri: Uri = text.parse().map_err(|_| error())?;
    let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
    let authority = uri.authority().ok_or_else(error)?;
    let is_plain = !text.ends_with('/') && !text.contains(['?', '#']) && !authority.as_str().contains('@');
    if has_scheme && is_plain {
        Ok(uri)
    } else {
        Err(error())
    }
}

impl Http {
    pub(super) fn new(issuer: &str, authority: &str, url: &Uri) -> io::Result<Self> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let builder = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        // Reading the system's certificates takes milliseconds, and fails where there are none.
        let config = if url.scheme_str() == Some("https") {
            builder.with_native_roots()?.with_no_client_auth()
        } else {
            builder
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth()
        };
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(2)
            .build(connector);
        Ok(Self {
            client,
            issuer: issuer.to_owned(),
            authority: authority.to_owned(),
        })
    }

    /// Fetches a document.
    pub(super) async fn get(&self, ask: Ask<'_>) -> Result<Answer, FetchError> {
        self.fetch(Method::GET, ask, Bytes::new()).await
    }

    /// Sends a JSON document.
    pub(super) async fn post(&self, mut ask: Ask<'_>, json: Vec<u8>) -> Result<Answer, FetchError> {
        let json_type = HeaderValue::from_static("application/json");
        ask.headers.push((CONTENT_TYPE, json_type));
        self.fetch(Method::POST, ask, json.into()).await
    }

    async fn fetch(&self, method: Method, ask: Ask<'_>, body: Bytes) -> Result<Answer, FetchError> {
        let (time, limit) = (ask.time, ask.limit);
        let fetched = async {
            let (headers, body) = self.send(method, ask, body).await?;
            let body = collect(body, limit).await?;
            Ok(Answer { headers, body })
        };
        timeout(time, fetched).await.map_err(|_| FetchError::Timeout)?
    }

    /// Opens a response whose body does not end. The reader bounds its waiting.
    pub(super) async fn open(&self, ask: Ask<'_>) -> Result<Incoming, FetchError> {
        let (time, opened) = (ask.time, self.send(Method::GET, ask, Bytes::new()));
        let (_, body) = timeout(time, opened).await.map_err(|_| FetchError::Timeout)??;
        Ok(body)
    }

    async fn send(
        &self,
        method: Method,
        ask: Ask<'_>,
        body: Bytes,
    ) -> Result<(HeaderMap, Incoming), FetchError> {
        let url = self.own_url(ask.url)?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url;
        let headers = request.headers_mut();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("jeton-verifier/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, value) in ask.headers {
            headers.insert(name, value);
        }
        if let Some(token) = ask.token {
            let bearer = zeroize::Zeroizing::new(format!("Bearer {token}"));
            let invalid = |_| FetchError::Token(io::Error::new(io::ErrorKind::InvalidData, "not a token"));
            let mut bearer = HeaderValue::from_str(&bearer).map_err(invalid)?;
            bearer.set_sensitive(true);
            headers.insert(AUTHORIZATION, bearer);
        }
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| FetchError::Connect(causes(&error)))?;
        let (parts, body) = response.into_parts();
        if parts.status == StatusCode::OK {
            return Ok((parts.headers, body));
        }
        let retry_after = parts
            .headers
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let problem = collect(body, MAX_PROBLEM_BYTES).await.unwrap_or_default();
        Err(FetchError::Status {
            status: parts.status,
            code: code_of(&problem),
            retry_after: retry_after.map(Duration::from_secs),
        })
    }

    /// Returns the URL to which a request goes, for one that the authority named.
    ///
    /// A token must go to nobody else, whatever the metadata says.
    fn own_url(&self, url: &str) -> Result<Uri, FetchError> {
        let below = |base: &str| {
            url.strip_prefix(base)
                .filter(|path| path.starts_with('/'))
                .map(str::to_owned)
        };
        let path = below(&self.issuer).or_else(|| below(&self.authority));
        let error = || FetchError::Url(url.to_owned());
        let path = path.ok_or_else(error)?;
        format!("{}{path}", self.authority).parse().map_err(|_| error())
    }
}

async fn collect(body: Incoming, limit: usize) -> Result<Bytes, FetchError> {
    let collected = Limited::new(body, limit).collect().await;
    collected
        .map(|body| body.to_bytes())
        .map_err(|error| FetchError::Body(causes(&*error)))
}

/// Returns the code of an error: letters, digits and `_`, so that a log line stays one.
fn code_of(problem: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
    }
    serde_json::from_slice::<Problem>(problem)
        .ok()
        .map(|problem| problem.code)
        .filter(|code| {
            code.len() <= 64
                && code
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
        .unwrap_or_default()
}

/// Returns an error with its causes in one line.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
