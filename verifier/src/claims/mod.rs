//! What a token says.

mod wire;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::token::{decode, strip_prefix};
use crate::{Malformed, Rejection};

/// The `exp` of a token that never expires, 9999-12-31T23:59:59Z: RFC 9068 demands one, and later
/// instants have no RFC 3339 form. No claim holds a later date.
pub const NEVER: i64 = 253_402_300_799;

/// The claims of an API token or a session. Serializes to exactly what is signed.
///
/// There is no `Deserialize`: claims are read only out of a token whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Who signed (`iss`).
    #[serde(rename = "iss")]
    pub issuer: String,
    /// What the token acts for (`sub`): the owner's public id.
    #[serde(rename = "sub")]
    pub subject: String,
    /// Who may accept it (`aud`): at least one. A single one is written as a string, not an array.
    #[serde(rename = "aud", serialize_with = "one_or_many")]
    pub audience: Vec<String>,
    /// The owner's public id again, which RFC 9068 asks for.
    pub client_id: String,
    /// When it was signed (`iat`), in seconds since the Unix epoch.
    #[serde(rename = "iat")]
    pub issued_at: i64,
    /// The first second in which it is no longer good (`exp`); [`NEVER`] for one that stays.
    #[serde(rename = "exp")]
    pub expires_at: i64,
    /// The token's own name, by which it is revoked.
    pub jti: Uuid,
    /// What it may do; absent from sessions.
    #[serde(serialize_with = "spaced", skip_serializing_if = "Option::is_none")]
    pub scope: Option<Vec<String>>,
    /// The organization (`org`).
    #[serde(rename = "org", skip_serializing_if = "Option::is_none")]
    pub organization: Option<Uuid>,
    /// The team that owns it, as `team-…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// The only projects it reaches. `None` is unrestricted; an empty list reaches none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub projects: Option<Vec<u32>>,
    /// Where to look up whether it is revoked.
    #[serde(serialize_with = "status_list")]
    pub status: StatusReference,
}

/// A token's place in a published status list (Token Status List, the claim `status`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusReference {
    /// Which bit.
    #[serde(rename = "idx")]
    pub index: u32,
    /// The address of the list.
    pub uri: String,
}

impl Claims {
    /// Reads the claims of a token whose very bytes [`Unverified::verify`](crate::Unverified::verify) has
    /// accepted before, with or without a prefix. Neither the header nor the signature is looked at.
    ///
    /// For caches that know such a token by a cryptographic digest over all of it: anything less lets
    /// somebody else's claims pass.
    pub fn of_verified(token: &str) -> Result<Self, Malformed> {
        let mut segments = strip_prefix(token).split('.');
        let claims = segments.nth(1).ok_or(Malformed::Segments)?;
        Self::from_json(&decode(claims)?).ok_or(Malformed::Claims)
    }

    pub(crate) fn from_json(bytes: &[u8]) -> Option<Self> {
        wire::read(bytes)
    }
}

/// Checks `exp` and `iat` against the present second since the Unix epoch, between clocks that differ by at
/// most `leeway` seconds.
///
/// # Errors
///
/// [`Rejection::Expired`] and [`Rejection::NotYetIssued`].
pub fn judge_time(issued_at: i64, expires_at: i64, now: i64, leeway: i64) -> Result<(), Rejection> {
    if now >= expires_at.saturating_add(leeway) {
        return Err(Rejection::Expired);
    }
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
