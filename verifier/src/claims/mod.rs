//! The claims of a token.

mod wire;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::token::{decode, strip_prefix};
use crate::{Malformed, Rejection};

/// The `exp` of a token that never expires, 9999-12-31T23:59:59Z: RFC 9068 requires the claim, and
/// later instants have no RFC 3339 form. No claim has a later date.
pub const NEVER: i64 = 253_402_300_799;

/// The claims of an API token or a session. Serializes to exactly the signed text.
///
/// There is no `Deserialize`: claims are read only from a token whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// The issuer (`iss`).
    #[serde(rename = "iss")]
    pub issuer: String,
    /// The public id of the owner that the token acts for (`sub`).
    #[serde(rename = "sub")]
    pub subject: String,
    /// The services that may accept the token (`aud`): at least one. A single one is written as a
    /// string, not an array.
    #[serde(rename = "aud", serialize_with = "one_or_many")]
    pub audience: Vec<String>,
    /// The owner's public id again, which RFC 9068 requires.
    pub client_id: String,
    /// When the token was issued (`iat`), in seconds since the Unix epoch.
    #[serde(rename = "iat")]
    pub issued_at: i64,
    /// The first second in which the token is expired (`exp`); [`NEVER`] if it does not expire.
    #[serde(rename = "exp")]
    pub expires_at: i64,
    /// The token's id (`jti`), by which it is revoked.
    pub jti: Uuid,
    /// The granted scopes; absent from sessions.
    #[serde(serialize_with = "spaced", skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    /// The organization (`org`).
    #[serde(rename = "org", skip_serializing_if = "Option::is_none")]
    pub organization: Option<Uuid>,
    /// The team that the token acts for, as `team-…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The projects that the token is restricted to; `None`: not restricted; empty: access to no
    /// project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<u32>>,
    /// The status list entry that tells whether the token is revoked.
    #[serde(serialize_with = "status_list")]
    pub status: StatusReference,
}

/// The status list index of a token (Token Status List, the claim `status`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusReference {
    /// The index of the bit.
    #[serde(rename = "idx")]
    pub index: u32,
    /// The URL of the status list.
    pub uri: String,
}

impl Claims {
    /// Parses the claims of a token that [`Unverified::verify`](crate::Unverified::verify) accepted
    /// before, with or without a prefix. Header and signature are not checked.
    ///
    /// For caches keyed by a cryptographic digest of the entire token: a weaker key would accept forged
    /// claims.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the claims cannot be parsed.
    pub fn of_verified(token: &str) -> Result<Self, Malformed> {
        Self::unverified(token)
    }

    /// Parses the claims of a token that is not verified, with or without a prefix. An attacker can choose all of them: use
    /// them to explain a refusal or for one's own token, never to authorize a request.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the claims cannot be parsed.
    pub fn unverified(token: &str) -> Result<Self, Malformed> {
        let mut segments = strip_prefix(token).split('.');
        let claims = segments.nth(1).ok_or(Malformed::Segments)?;
        Self::from_json(&decode(claims)?).ok_or(Malformed::Claims)
    }

    pub(crate) fn from_json(bytes: &[u8]) -> Option<Self> {
        wire::read(bytes)
    }
}

/// Checks `exp` against `now`, in seconds since the Unix epoch. `leeway` is the allowed clock skew in
/// seconds.
///
/// # Errors
///
/// [`Rejection::Expired`].
pub fn judge_expiry(expires_at: i64, now: i64, leeway: i64) -> Result<(), Rejection> {
    if now >= expires_at.saturating_add(leeway) {
        return Err(Rejection::Expired);
    }
    Ok(())
}

/// Checks `iat` against `now`, in seconds since the Unix epoch. `leeway` is the allowed clock skew in
/// seconds.
///
/// # Errors
///
/// [`Rejection::NotYetIssued`].
pub fn judge_issue(issued_at: i64, now: i64, leeway: i64) -> Result<(), Rejection> {
    if issued_at > now.saturating_add(leeway) {
        return Err(Rejection::NotYetIssued);
    }
    Ok(())
}

fn one_or_many<S: Serializer>(values: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match values {
        [one] => serializer.serialize_str(one),
        many => many.serialize(serializer),
    }
}

fn spaced<S: Serializer>(names: &Option<Vec<String>>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&names.as_deref().unwrap_or_default().join(" "))
}

fn status_list<S: Serializer>(status: &StatusReference, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Status<'a> {
        status_list: &'a StatusReference,
    }
    Status { status_list: status }.serialize(serializer)
}
