//! Parsing of claims. A value of the wrong type is an error rather than absent: an `exp` treated as
//! absent would mean a token that never expires.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Claims, StatusReference};
use crate::json::{self, Object};
use crate::value::{Date, FromText, Identifier, Text, from_text};

pub(super) fn read(bytes: &[u8]) -> Option<Claims> {
    let wire: Wire = json::object(bytes)?;
    // No token of an authority has an `nbf`. One that does not follow its issue says nothing; another would have to be
    // checked at each use, and a reader that ignores it accepts the token too early.
    if wire.exp.0 < wire.iat.0 || wire.nbf.is_some_and(|nbf| nbf.0 > wire.iat.0) {
        return None;
    }
    let Object(Status {
        status_list: Object(StatusList { idx, uri }),
    }) = wire.status;
    Some(Claims {
        issuer: wire.iss.0,
        subject: wire.sub.0,
        audience: wire.aud.0,
        client_id: wire.client_id.0,
        issued_at: wire.iat.0,
        expires_at: wire.exp.0,
        jti: wire.jti.0,
        scope: wire.scope.map(|scope| scope.0),
        organization: wire.org.map(|org| org.0),
        team: wire.team.map(|team| team.0),
        projects: wire
            .projects
            .map(|projects| projects.into_iter().map(|id| id.0).collect()),
        status: StatusReference {
            index: idx,
            uri: uri.0,
        },
    })
}

/// Unknown claims are ignored (RFC 7519 section 4).
#[derive(Deserialize)]
struct Wire {
    iss: Text,
    sub: Text,
    aud: Audience,
    client_id: Text,
    iat: Date,
    exp: Date,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<Date>,
    jti: Identifier,
    #[serde(default, deserialize_with = "present")]
    scope: Option<Scope>,
    #[serde(default, deserialize_with = "present")]
    org: Option<Identifier>,
    #[serde(default, deserialize_with = "present")]
    team: Option<Text>,
    #[serde(default, deserialize_with = "present")]
    projects: Option<Vec<Project>>,
    status: Object<Status>,
}

#[derive(Deserialize)]
struct Status {
    status_list: Object<StatusList>,
}

#[derive(Deserialize)]
struct StatusList {
    idx: u32,
    uri: Text,
}

/// Requires a claim that is present to have its type. `null` is not absence, or `"projects": null`
/// would turn a restricted token into an unrestricted one.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A text, or an array of at least one text.
struct Audience(Vec<String>);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AudienceVisitor)
    }
}

struct AudienceVisitor;

impl<'de> Visitor<'de> for AudienceVisitor {
    type Value = Audience;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or an array of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Audience, E> {
        let Text(one) = Text::from_text(text).map_err(E::custom)?;
        Ok(Audience(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut texts: A) -> Result<Audience, A::Error> {
        let mut audience = Vec::new();
        while let Some(Text(one)) = texts.next_element()? {
            audience.push(one);
        }
        if audience.is_empty() {
            return Err(A::Error::custom("an empty audience"));
        }
        Ok(Audience(audience))
    }
}

/// Scopes of the characters that RFC 6749 section 3.3 allows, separated by single spaces.
struct Scope(Vec<String>);

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

impl FromText for Scope {
    fn from_text(text: &str) -> Result<Self, &'static str> {
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
        };
        if !text.split(' ').all(is_name) {
            return Err("not a list of scopes");
        }
        Ok(Self(text.split(' ').map(str::to_owned).collect()))
    }
}

/// Below 2^31: some clients store project ids in a signed 32-bit integer.
#[derive(Deserialize)]
#[serde(try_from = "u32")]
struct Project(u32);

impl TryFrom<u32> for Project {
    type Error = &'static str;

    fn try_from(id: u32) -> Result<Self, Self::Error> {
        if id > i32::MAX.unsigned_abs() {
            return Err("a project id of 2^31 or more");
        }
        Ok(Self(id))
    }
}
