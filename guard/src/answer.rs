//! The guard: answers each request from memory.

use std::collections::HashMap;

use hyper::body::Body;
use hyper::header::{ALLOW, HOST, HeaderValue};
use hyper::{Method, Request, StatusCode, Version};
use jeton_verifier::{BuildError, Verifier};

use crate::check::Check;
use crate::config::{Config, Revocations};
use crate::introspect::Introspection;
use crate::refusal::{Answer, Refusal};
use crate::{introspect, observe};

/// The approximate memory of a cached token, in bytes.
const BYTES_PER_TOKEN: u64 = 1536;

/// How a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// By TCP: everything on the machine can connect.
    Tcp,
    /// By a Unix socket, whose file says who can connect.
    Unix,
}

/// A guard: its verifier, its rules and its counters.
#[derive(Debug)]
pub struct Guard {
    pub(crate) verifier: Verifier,
    /// By name.
    pub(crate) checks: HashMap<String, Check>,
    pub(crate) introspection: Introspection,
}

impl Guard {
    /// Creates a guard, which begins to follow the authority in the background.
    ///
    /// # Errors
    ///
    /// [`BuildError`], or the verifier of a wrong setting.
    pub fn new(config: Config) -> Result<Self, BuildError> {
        let mut builder = Verifier::builder(&config.issuer, &config.audience)
            .max_staleness(config.max_staleness)
            .report_usage(config.report_usage);
        for audience in config.further_audiences() {
            builder = builder.further_audience(audience);
        }
        builder = match config.revocations {
            Revocations::Feed { token_file } => builder.token_file(token_file),
            Revocations::StatusLists => builder.status_lists_only(),
        };
        if let Some(url) = config.authority {
            builder = builder.authority(url);
        }
        if let Some(leeway) = config.leeway {
            builder = builder.leeway(leeway);
        }
        if let Some(path) = config.snapshot_file {
            builder = builder.snapshot_file(path);
        }
        if let Some(entries) = config.cached_tokens {
            builder = builder.cache(entries, BYTES_PER_TOKEN.saturating_mul(entries as u64));
        }
        let checks = config
            .rules
            .into_iter()
            .map(|(name, rule)| (name, Check::new(rule)));
        Ok(Self {
            verifier: builder.build()?,
            checks: checks.collect(),
            introspection: Introspection::new(&config.audience, config.introspection_token),
        })
    }

    /// Returns the verifier.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Answers a request.
    pub async fn answer<B: Body<Error: std::error::Error + Send + Sync + 'static>>(
        &self,
        request: Request<B>,
        via: Via,
    ) -> Answer {
        if !has_right_host(&request) {
            let text = "The request must have one Host header.";
            return Refusal::Request(StatusCode::BAD_REQUEST, text).answer();
        }
        let path = request.uri().path();
        if let Some(rest) = path.strip_prefix("/check/") {
            // Any method, and any path behind the rule's name: proxies pass on those of their client.
            let name = rest.split_once('/').map_or(rest, |(name, _)| name);
            return match self.checks.get(name) {
                Some(check) => check.answer(&self.verifier, request.headers()),
                None => Refusal::Request(StatusCode::NOT_FOUND, "The guard has no such rule.").answer(),
            };
        }
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match path {
            "/healthz" if is_read => observe::health(),
            "/readyz" if is_read => observe::readiness(self),
            "/metrics" if is_read => observe::metrics(self),
            "/introspect" if request.method() == Method::POST => introspect::answer(self, request, via).await,
            "/healthz" | "/readyz" | "/metrics" => not_allowed("GET, HEAD"),
            "/introspect" => not_allowed("POST"),
            _ => Refusal::Request(StatusCode::NOT_FOUND, "There is no such endpoint.").answer(),
        }
    }
}

/// Returns whether the request has one `Host`, which HTTP/1.0 may omit (RFC 9112, section 3.2).
fn has_right_host<B>(request: &Request<B>) -> bool {
    match request.headers().get_all(HOST).iter().count() {
        0 => request.version() < Version::HTTP_11,
        count => count == 1,
    }
}

fn not_allowed(methods: &'static str) -> Answer {
    let text = "This endpoint does not support this method; Allow lists those it does.";
    let mut answer = Refusal::Request(StatusCode::METHOD_NOT_ALLOWED, text).answer();
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(methods));
    answer
}
