//! Token introspection (RFC 7662).

use std::borrow::Cow;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::header::CONTENT_TYPE;
use hyper::{HeaderMap, Request, StatusCode};
use jeton_verifier::{Claims, MAX_TOKEN_BYTES, Rejection, Requirements, UnreadableCredential, credential};
use serde::{Serialize, Serializer};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::answer::{Guard, Via};
use crate::refusal::{Answer, Refusal, json};
use crate::verdicts::Verdicts;

/// The longest body: a token, and what else clients of OAuth send.
const MAX_BODY: usize = 2 * MAX_TOKEN_BYTES;

/// Who may introspect, and the verdicts.
#[derive(Debug)]
pub(crate) struct Introspection {
    /// The digest of the token for callers by TCP.
    token: Option<Digest>,
    /// The guard's own audience: the verifier accepts those of all rules.
    requirements: Requirements,
    pub(crate) verdicts: Verdicts,
}

impl Introspection {
    pub(crate) fn new(audience: &str, token: Option<Zeroizing<String>>) -> Self {
        Self {
            token: token.map(|token| digest(&SHA256, token.as_bytes())),
            requirements: Requirements::new().audience(audience),
            verdicts: Verdicts::default(),
        }
    }

    /// Refuses a caller by TCP without the introspection token. Every program that may connect to a Unix socket may introspect.
    fn admit(&self, headers: &HeaderMap, via: Via) -> Result<(), Refusal<'static>> {
        if via == Via::Unix {
            return Ok(());
        }
        let Some(token) = &self.token else {
            let text = "Introspection needs a Unix socket, or the setting introspection_token_file.";
            return Err(Refusal::Request(StatusCode::NOT_FOUND, text));
        };
        let presented = credential(headers).map_err(|UnreadableCredential| Refusal::BadCredential)?;
        let presented = presented.ok_or(Refusal::NoCredential)?;
        // Digests have one length, so that the time tells nothing about that of the token.
        let presented = digest(&SHA256, presented.token().as_bytes());
        verify_slices_are_equal(presented.as_ref(), token.as_ref()).map_err(|_| Refusal::BadCredential)
    }
}

/// An introspection response. If the token is not active, it contains only `active`.
///
/// As the authority's, without what is not in the token: `username` and `token_id`.
#[derive(Debug, Default, Serialize)]
struct Introspected<'a> {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "spaced")]
    scope: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aud: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    org: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    team: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    projects: Option<&'a [u32]>,
}

/// Answers an introspection request. It fails closed: 503 while a revocation is unknown, never an inactive token.
pub(crate) async fn answer<B: Body<Error: std::error::Error + Send + Sync + 'static>>(
    guard: &Guard,
    request: Request<B>,
    via: Via,
) -> Answer {
    let Introspection {
        requirements,
        verdicts,
        ..
    } = &guard.introspection;
    let token = match token(&guard.introspection, request, via).await {
        Ok(token) => token,
        Err(refusal) => return refusal.answer(),
    };
    match guard.verifier.verify_for(requirements, &token) {
        Ok(claims) => {
            verdicts.accepted();
            json(StatusCode::OK, &introspected(&claims))
        }
        Err(rejection) => {
            verdicts.rejected(rejection);
            match rejection {
                Rejection::RevocationUnknown => Refusal::Token(rejection, None).answer(),
                _ => json(StatusCode::OK, &Introspected::default()),
            }
        }
    }
}

/// Returns the token that a request asks about.
async fn token<B: Body<Error: std::error::Error + Send + Sync + 'static>>(
    introspection: &Introspection,
    request: Request<B>,
    via: Via,
) -> Result<Zeroizing<String>, Refusal<'static>> {
    introspection.admit(request.headers(), via)?;
    let media_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = media_type
        .and_then(|value| value.split(';').next())
        .unwrap_or_default();
    if !essence
        .trim()
        .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    {
        let text = "Send the body as Content-Type: application/x-www-form-urlencoded.";
        return Err(Refusal::Request(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let body = Limited::new(request.into_body(), MAX_BODY).collect().await;
    let body = body
        .map(Collected::to_bytes)
        .map_err(|error| match error.is::<LengthLimitError>() {
            true => Refusal::Request(StatusCode::PAYLOAD_TOO_LARGE, "The body is too long."),
            false => Refusal::Request(StatusCode::BAD_REQUEST, "The body could not be read."),
        })?;
    one_token(&body).ok_or(Refusal::Request(
        StatusCode::BAD_REQUEST,
        "token: must be given once, and not be empty",
    ))
}

/// Returns the field `token` of a form. Two tokens would be two questions (RFC 6749, section 3.2).
fn one_token(body: &Bytes) -> Option<Zeroizing<String>> {
    let mut tokens = form_urlencoded::parse(body).filter(|(name, _)| name == "token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) if !token.is_empty() => Some(Zeroizing::new(Cow::into_owned(token))),
        _ => None,
    }
}

fn introspected(claims: &Claims) -> Introspected<'_> {
    Introspected {
        active: true,
        token_type: Some("Bearer"),
        scope: claims.scope.as_deref().filter(|scopes| !scopes.is_empty()),
        sub: Some(&claims.subject),
        client_id: Some(&claims.client_id),
        aud: Some(&claims.audience),
        iss: Some(&claims.issuer),
        exp: Some(claims.expires_at),
        iat: Some(claims.issued_at),
        jti: Some(claims.jti),
        org: claims.organization,
        team: claims.team.as_deref(),
        projects: claims.projects.as_deref(),
    }
}

fn spaced<S: Serializer>(scopes: &Option<&[String]>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&scopes.unwrap_or_default().join(" "))
}
