//! Events of the revocation feed, chained by hashes.
//!
//! A reader that stores the last hash detects events that were omitted, altered or inserted. Actor and
//! reason of a revocation are excluded: all services that verify tokens read the feed.

use std::fmt::Display;

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
    Token {
        /// The token's `jti`.
        jti: Uuid,
        /// The number of the token's record.
        id: i64,
        /// The token's status list.
        status_list: u32,
        /// The token's index in the status list.
        index: u32,
        /// When the token expires; `None`: never.
        expires_at: Option<i64>,
    },
    /// Every token that matches all given fields and was issued no later than `issued_through`.
    CutOff {
        /// Tokens of this organization.
        organization: Option<Uuid>,
        /// Tokens of this team.
        team: Option<String>,
        /// Tokens of this user.
        user: Option<String>,
        /// Tokens restricted to this project.
        project: Option<u32>,
        /// Tokens signed by this key.
        kid: Option<String>,
        /// Tokens of this kind: `session` or `api`.
        kind: Option<&'static str>,
        /// The highest `iat` of matching tokens, in seconds.
        issued_through: i64,
    },
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
            Ends::Token {
                jti,
                id,
                status_list,
                index,
                expires_at,
            } => {
                input.add("token");
                input.add(jti.hyphenated());
                input.add(id);
                input.add(status_list);
                input.add(index);
                input.add_optional(expires_at.as_ref());
            }
            Ends::CutOff {
                organization,
                team,
                user,
                project,
                kid,
                kind,
                issued_through,
            } => {
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

/// Hashes as people read them.
mod hexadecimal {
    use std::borrow::Cow;
    use std::fmt::Write;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        let text = bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
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
            ends: Ends::Token {
                jti: Uuid::from_u128(2),
                id,
                status_list: 3,
                index: 4,
                expires_at: None,
            },
        }
    }

    fn cut_off(team: Option<&str>, user: Option<&str>) -> Event {
        Event {
            ends: Ends::CutOff {
                organization: None,
                team: team.map(str::to_owned),
                user: user.map(str::to_owned),
                project: None,
                kid: None,
                kind: None,
                issued_through: 5,
            },
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
