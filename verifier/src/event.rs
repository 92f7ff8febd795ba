//! Events of the revocation feed, chained by hashes.
//!
//! A reader that stores the last hash detects events that were omitted, altered or inserted. Actor and
//! reason of a revocation are excluded: all services that verify tokens read the feed.

use std::fmt::{self, Display};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The hash before the first event.
pub const BEFORE_ALL: [u8; 32] = [0; 32];

/// A position in the feed: after an event of a history, or before the first.
///
/// The hash depends on every event up to this one. Two feeds that share a position share everything before
/// it; a number alone says nothing about that, since another history counts the same numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The database's epoch.
    pub epoch: Uuid,
    /// The number of the event; 0 before the first.
    pub sequence: u64,
    /// The hash of the event; [`BEFORE_ALL`] before the first. In hexadecimal where it is written as text.
    #[serde(with = "hexadecimal")]
    pub hash: [u8; 32],
}

impl Position {
    /// Returns the position before the first event of a database that was never restored.
    pub fn beginning(epoch: Uuid) -> Self {
        Self {
            epoch,
            sequence: 0,
            hash: BEFORE_ALL,
        }
    }
}

/// An event of the feed. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The database's epoch. A different one means that an older copy was restored.
    pub epoch: Uuid,
    /// The sequence number, without gaps.
    pub sequence: u64,
    /// When the event was recorded: `revoked_at` of a token.
    pub recorded_at: i64,
    /// When the revocation takes effect.
    pub effective_at: i64,
    /// The revoked tokens.
    pub ends: Ends,
}

/// The tokens that an event revokes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ends {
    /// A single token.
    Token(RevokedToken),
    /// Many tokens.
    CutOff(CutOff),
}

/// A single token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = EndedToken))]
pub struct RevokedToken {
    /// The token's `jti`.
    pub jti: Uuid,
    /// The number of the token's record; a string in JSON, as everywhere in the authority's API.
    #[serde(rename = "token_id", with = "decimal")]
    #[cfg_attr(feature = "utoipa", schema(value_type = String))]
    pub id: i64,
    /// The number of the token's status list, the last segment of `uri` in the token's claim `status`.
    pub status_list: u32,
    /// The token's index in the status list, `idx` in the token's claim `status`.
    pub index: u32,
    /// When the token expires; `null`: never.
    #[serde(with = "instant::optional")]
    #[cfg_attr(feature = "utoipa", schema(value_type = String, format = DateTime, nullable, required))]
    pub expires_at: Option<i64>,
}

/// All tokens that match every given field and were issued no later than `issued_through`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = EndedTokens))]
pub struct CutOff {
    /// Tokens of this organization (`org`).
    #[cfg_attr(feature = "utoipa", schema(required))]
    pub organization: Option<Uuid>,
    /// Tokens of this team (`team`).
    #[cfg_attr(feature = "utoipa", schema(required))]
    pub team: Option<String>,
    /// Tokens of this user (`sub`).
    #[cfg_attr(feature = "utoipa", schema(required))]
    pub user: Option<String>,
    /// Tokens restricted to this project (`projects`).
    #[cfg_attr(feature = "utoipa", schema(required))]
    pub project: Option<u32>,
    /// Tokens signed by this key (`kid` in the header).
    #[cfg_attr(feature = "utoipa", schema(required))]
    pub kid: Option<String>,
    /// Tokens of this kind: `api` (`typ` is `at+jwt`) or `session` (`session+jwt`).
    #[serde(rename = "token_kind")]
    #[cfg_attr(feature = "utoipa", schema(required))]
    pub kind: Option<Kind>,
    /// The highest `iat` of these tokens, in seconds since the Unix epoch.
    pub issued_through: i64,
}

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = RevokedTokenKind))]
pub enum Kind {
    /// An API token.
    Api,
    /// A session.
    Session,
}

impl Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Api => "api",
            Self::Session => "session",
        })
    }
}

/// An event with its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The event.
    pub event: Event,
    /// The hash of the event, given the one before.
    pub hash: [u8; 32],
}

impl Entry {
    /// Returns an event with its hash after the previous one, or after [`BEFORE_ALL`].
    pub fn after(previous: &[u8; 32], event: Event) -> Self {
        Self {
            hash: event.hash(previous),
            event,
        }
    }

    /// Returns the position after this event.
    pub fn position(&self) -> Position {
        Position {
            epoch: self.event.epoch,
            sequence: self.event.sequence,
            hash: self.hash,
        }
    }
}

impl Event {
    /// Returns the hash of this event, given the hash of the previous one, or [`BEFORE_ALL`] for the
    /// first event.
    ///
    /// It is SHA-256 over the 32 bytes of the previous hash, followed by each of these texts as a
    /// netstring (`length:text,`, the length in decimal bytes), an absent one as `0:,`:
    ///
    /// `jeton-event-1`, epoch, sequence, recorded at, effective at, then either `token`, jti, id,
    /// status list, index, expires at; or `cut_off`, organization, team, user, project, kid, kind,
    /// issued through. Numbers are decimal, UUIDs in lower case with hyphens.
    pub fn hash(&self, previous: &[u8; 32]) -> [u8; 32] {
        let mut input = Input(Context::new(&SHA256));
        input.0.update(previous);
        input.add("jeton-event-1");
        input.add(self.epoch.hyphenated());
        input.add(self.sequence);
        input.add(self.recorded_at);
        input.add(self.effective_at);
        match &self.ends {
            Ends::Token(RevokedToken {
                jti,
                id,
                status_list,
                index,
                expires_at,
            }) => {
                input.add("token");
                input.add(jti.hyphenated());
                input.add(id);
                input.add(status_list);
                input.add(index);
                input.add_optional(expires_at.as_ref());
            }
            Ends::CutOff(CutOff {
                organization,
                team,
                user,
                project,
                kid,
                kind,
                issued_through,
            }) => {
                input.add("cut_off");
                input.add_optional(organization.map(Uuid::hyphenated));
                input.add_optional(team.as_ref());
                input.add_optional(user.as_ref());
                input.add_optional(project.as_ref());
                input.add_optional(kid.as_ref());
                input.add_optional(kind.as_ref());
                input.add(issued_through);
            }
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(input.0.finish().as_ref());
        hash
    }
}

/// Instants as RFC 3339 writes them, `2026-01-02T03:04:05.678Z`, in milliseconds since the Unix epoch.
pub(crate) mod instant {
    use std::borrow::Cow;

    use chrono::{DateTime, SecondsFormat, Utc};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(millis: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        let time = DateTime::<Utc>::from_timestamp_millis(*millis)
            .ok_or_else(|| serde::ser::Error::custom("an instant out of range"))?;
        serializer.serialize_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let time = DateTime::parse_from_rfc3339(&text).map_err(D::Error::custom)?;
        Ok(time.timestamp_millis())
    }

    pub(crate) mod optional {
        use super::*;

        pub(crate) fn serialize<S: Serializer>(
            millis: &Option<i64>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match millis {
                Some(millis) => super::serialize(millis, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<i64>, D::Error> {
            #[derive(Deserialize)]
            struct Instant(#[serde(with = "super")] i64);
            Ok(Option::<Instant>::deserialize(deserializer)?.map(|instant| instant.0))
        }
    }
}

/// Numbers as strings.
mod decimal {
    use std::borrow::Cow;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes as people read them.
pub(crate) mod hexadecimal {
    use std::borrow::Cow;
    use std::fmt::Write;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        serializer.serialize_str(&text)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        bytes
            .filter(|_| rest.is_empty())
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| serde::de::Error::custom("not 64 hexadecimal digits"))
    }
}

/// The hash input. Each text is preceded by its length, so that two different events never have the
/// same input.
struct Input(Context);

impl Input {
    fn add(&mut self, value: impl Display) {
        let text = value.to_string();
        self.0.update(format!("{}:{text},", text.len()).as_bytes());
    }

    fn add_optional(&mut self, value: Option<impl Display>) {
        match value {
            Some(value) => self.add(value),
            None => self.add(""),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn revoked(id: i64) -> Event {
        Event {
            epoch: Uuid::from_u128(1),
            sequence: 7,
            recorded_at: 1_767_323_045_678,
            effective_at: 1_767_323_045_678,
            ends: Ends::Token(RevokedToken {
                jti: Uuid::from_u128(2),
                id,
                status_list: 3,
                index: 4,
                expires_at: None,
            }),
        }
    }

    fn cut_off(team: Option<&str>, user: Option<&str>) -> Event {
        Event {
            ends: Ends::CutOff(CutOff {
                organization: None,
                team: team.map(str::to_owned),
                user: user.map(str::to_owned),
                project: None,
                kid: None,
                kind: None,
                issued_through: 5,
            }),
            ..revoked(1)
        }
    }

    #[test]
    fn the_written_form_is_the_documented_one() {
        let text = "13:jeton-event-1,36:00000000-0000-0000-0000-000000000001,1:7,\
            13:1767323045678,13:1767323045678,5:token,36:00000000-0000-0000-0000-000000000002,\
            2:41,1:3,1:4,0:,";
        let mut context = Context::new(&SHA256);
        context.update(&BEFORE_ALL);
        context.update(text.as_bytes());
        assert_eq!(
            revoked(41).hash(&BEFORE_ALL).as_slice(),
            context.finish().as_ref()
        );
    }

    /// Journals on disk hold positions in this form.
    #[test]
    fn a_position_is_written_with_its_hash_in_hexadecimal() {
        let position = Position {
            sequence: 7,
            hash: [0xab; 32],
            ..Position::beginning(Uuid::from_u128(1))
        };
        let text = format!(
            r#"{{"epoch":"00000000-0000-0000-0000-000000000001","sequence":7,"hash":"{}"}}"#,
            "ab".repeat(32)
        );
        assert_eq!(serde_json::to_string(&position).unwrap(), text);
        assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
        for damaged in [
            text.replace("ab", "a"),
            text.replace("ab", "ag"),
            text.replacen("ab", "abab", 1),
        ] {
            assert!(serde_json::from_str::<Position>(&damaged).is_err());
        }
    }

    #[test]
    fn every_difference_shows() {
        let hashes = [
            revoked(41).hash(&BEFORE_ALL),
            revoked(42).hash(&BEFORE_ALL),
            revoked(41).hash(&[1; 32]),
            cut_off(Some("a"), None).hash(&BEFORE_ALL),
            cut_off(None, Some("a")).hash(&BEFORE_ALL),
        ];
        for (position, one) in hashes.iter().enumerate() {
            assert!(!hashes.iter().skip(position + 1).any(|other| other == one));
        }
    }
}
