//! The native API as the console calls it: in this process, with the session of the page's request.
//!
//! So a page can do nothing that a program cannot, and what it may do is decided in one place.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tower::ServiceExt;
use url::form_urlencoded;

use crate::http::idempotency_key;
use crate::http::requests::RequestContext;

/// Headers of the page's request that a call repeats: those that say from which address it came.
const REPEATED: [&str; 1] = ["x-forwarded-for"];

/// The heading of a list of invalid fields.
const ATTENTION: &str = "Some fields need your attention.";

/// The router of the native API.
#[derive(Debug, Clone)]
pub(super) struct Native(pub(super) Router);

/// A client of the native API.
#[derive(Debug, Clone)]
pub(super) struct Api {
    native: Native,
    headers: HeaderMap,
    peer: Option<ConnectInfo<SocketAddr>>,
    context: Option<Arc<RequestContext>>,
}

/// A call that the API did not carry out. The default is none: its status is 200.
#[derive(Debug, Clone, Default)]
pub(super) struct Refusal {
    /// The status.
    pub(super) status: StatusCode,
    /// The message, for the person at the page.
    pub(super) detail: String,
    /// The code of the error; empty for invalid fields.
    pub(super) code: String,
    /// The invalid fields, each with a message.
    pub(super) fields: Vec<(String, String)>,
}

/// The body of an error.
#[derive(Deserialize)]
struct Problem {
    detail: Detail,
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Detail {
    Text(String),
    Violations(Vec<Violation>),
}

#[derive(Deserialize)]
struct Violation {
    loc: Vec<Value>,
    msg: String,
}

/// A path of the API with its query.
#[derive(Debug, Clone)]
pub(super) struct At(String);

/// Returns a path below `/api/v1`, its segments encoded.
pub(super) fn at(segments: &[&str]) -> At {
    let mut path = String::from("/api/v1");
    for segment in segments {
        path.push('/');
        path.push_str(&encoded(segment));
    }
    At(path)
}

/// Returns a segment of a path, encoded.
pub(super) fn encoded(segment: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(segment.as_bytes()).collect();
    encoded.replace('+', "%20")
}

impl At {
    /// Adds a parameter to the query, unless its value is empty.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            let separator = if self.0.contains('?') { '&' } else { '?' };
            self.0.push(separator);
            self.0.push_str(&format!("{name}={}", encoded(value)));
        }
        self
    }
}

impl Api {
    /// Returns a client for the request of a page, without a session.
    pub(super) fn of(parts: &Parts, native: Native) -> Self {
        let mut headers = HeaderMap::new();
        for name in REPEATED {
            for value in parts.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        Self {
            native,
            headers,
            peer: parts.extensions.get().copied(),
            context: parts.extensions.get().cloned(),
        }
    }

    /// Returns the same client with a session.
    pub(super) fn with_session(mut self, session: &str) -> Self {
        if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {session}")) {
            value.set_sensitive(true);
            self.headers.insert(header::AUTHORIZATION, value);
        }
        self
    }

    /// Reads something.
    pub(super) async fn get<T: DeserializeOwned>(&self, at: At) -> Result<T, Refusal> {
        parsed(&self.call(Method::GET, at, Body::empty(), None).await?)
    }

    /// Changes something, and returns the answer.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        at: At,
        body: &impl Serialize,
        key: Option<&str>,
    ) -> Result<T, Refusal> {
        parsed(&self.carry_out(method, at, body, key).await?)
    }

    /// Changes something.
    pub(super) async fn carry_out(
        &self,
        method: Method,
        at: At,
        body: &impl Serialize,
        key: Option<&str>,
    ) -> Result<Bytes, Refusal> {
        let body = serde_json::to_vec(body).map_err(|_| Refusal::internal())?;
        self.call(method, at, body.into(), key).await
    }

    async fn call(&self, method: Method, at: At, body: Body, key: Option<&str>) -> Result<Bytes, Refusal> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = at.0.parse().map_err(|_| Refusal::internal())?;
        *request.headers_mut() = self.headers.clone();
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json);
        if let Some(key) = key
            .filter(|key| !key.is_empty())
            .and_then(|key| HeaderValue::from_str(&format!("\"{key}\"")).ok())
        {
            request.headers_mut().insert(idempotency_key::HEADER, key);
        }
        let extensions = request.extensions_mut();
        if let Some(context) = &self.context {
            extensions.insert(Arc::new(context.of_part()));
        }
        if let Some(peer) = self.peer {
            extensions.insert(peer);
        }
        let Ok(response) = self.native.0.clone().oneshot(request).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|_| Refusal::internal())?.to_bytes();
        match head.status.is_success() {
            true => Ok(body),
            false => Err(Refusal::of(head.status, &head.headers, &body)),
        }
    }
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        tracing::error!(%error, "the console cannot read an answer of the API");
        Refusal::internal()
    })
}

impl Refusal {
    fn internal() -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            detail: "The console and the API do not agree. This is a fault of jeton.".to_owned(),
            ..Self::default()
        }
    }

    fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
            return Self {
                status,
                ..Self::internal()
            };
        };
        let retry_after = headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        let (detail, fields) = match problem.detail {
            Detail::Text(text) => match retry_after {
                Some(seconds) => (format!("Not now. Try again in {seconds} seconds."), Vec::new()),
                None => (text, Vec::new()),
            },
            Detail::Violations(violations) => {
                let fields = violations.into_iter().map(Violation::into_field).collect();
                (ATTENTION.to_owned(), fields)
            }
        };
        Self {
            status,
            detail,
            code: problem.code,
            fields,
        }
    }

    /// Returns the refusal of one field, by the console itself.
    pub(super) fn of_one(name: &str, message: &str) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            detail: ATTENTION.to_owned(),
            fields: vec![(name.to_owned(), message.to_owned())],
            ..Self::default()
        }
    }

    /// Names the field that a code is about, with a message in the words of the page.
    pub(super) fn of_field(mut self, code: &str, name: &str, message: &str) -> Self {
        if self.code == code {
            self.detail = ATTENTION.to_owned();
            self.fields = vec![(name.to_owned(), message.to_owned())];
        }
        self
    }

    /// Returns the message for a field; empty if it is valid.
    pub(super) fn about(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, message)| message)
    }
}

impl Violation {
    /// Returns the name of the field, without its place in a list, and the message.
    fn into_field(self) -> (String, String) {
        let mut names = self.loc.iter().skip(1).filter_map(Value::as_str);
        let field = names.next_back().unwrap_or_default().to_owned();
        (field, self.msg.trim_start_matches("Value error, ").to_owned())
    }
}
