//! The lines of the journal: their content and their format.

use std::io;

use aws_lc_rs::digest::{SHA256, digest};
use jeton_verifier::event::{self, Ends, Position, RevokedToken};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, UserId};
use jeton_core::token::{CutOff, Reach, TokenKind};

/// The version of the format.
pub(crate) const VERSION: u32 = 2;

/// The first line of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Begin {
    pub(crate) journal: u32,
    /// The first epoch of the database, which no restore changes.
    pub(crate) database: Uuid,
    /// The position in the database's history before the first batch of the segment.
    pub(crate) at: Position,
    /// The position of the copy that the database was restored from, just before.
    pub(crate) restored_from: Option<Position>,
}

/// A further line: the revocations of one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The position of the database before it.
    pub at: Position,
    /// The position of the database after it.
    pub reaches: Position,
    pub entries: Vec<Entry>,
}

/// A change that must never be undone. It names things by public ids, since a restored database reuses row
/// numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// A token was revoked.
    Token {
        jti: Uuid,
        id: i64,
        list: u32,
        index: u32,
        expires_at: Option<Timestamp>,
        #[serde(flatten)]
        order: Order,
    },
    /// A cut-off revoked many tokens.
    CutOff {
        organization: Option<Uuid>,
        team: Option<String>,
        user: Option<String>,
        project: Option<u32>,
        kid: Option<String>,
        /// `session` or `api`.
        kind: Option<String>,
        issued_through: i64,
        #[serde(flatten)]
        order: Order,
    },
    /// A key was withdrawn.
    Withdrawn {
        kid: String,
        algorithm: String,
        public_jwk: String,
        created_at: Timestamp,
        recorded_at: Timestamp,
    },
    /// The latest recorded instant was lowered to this one, after the clock had been ahead.
    ClockAccepted { recorded_at: Timestamp },
    /// A server has started; each start has its own number.
    Started { number: i64 },
    /// A server has reserved so many indexes of a status list. Before the next such line it gives tokens no
    /// higher number than `tokens`.
    Indexes { list: u32, used: u32, tokens: i64 },
    /// The server has stopped in order, after the token with this number.
    Stopped { tokens: i64 },
    /// The deployment has moved to another database: no copy of this one is served from now on.
    Moved { to: String },
}

/// The instant, the actor and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub recorded_at: Timestamp,
    pub effective_at: Timestamp,
    pub by: String,
    pub by_user: Option<String>,
    pub reason: Option<String>,
}

impl Entry {
    /// Returns when the change was recorded; `None` if it need not be kept for its own sake.
    pub(crate) fn recorded_at(&self) -> Option<Timestamp> {
        match self {
            Self::Token { order, .. } | Self::CutOff { order, .. } => Some(order.recorded_at),
            Self::Withdrawn { recorded_at, .. } | Self::ClockAccepted { recorded_at } => Some(*recorded_at),
            Self::Started { .. } | Self::Indexes { .. } | Self::Stopped { .. } | Self::Moved { .. } => None,
        }
    }
}

/// An id that nothing can have.
#[derive(Debug, thiserror::Error)]
#[error("the journal contains an invalid id")]
pub struct InvalidId;

impl Entry {
    /// Returns the entry of an event of the feed.
    pub fn of_event(ends: Ends, order: Order) -> Option<Self> {
        Some(match ends {
            Ends::Token(RevokedToken {
                jti,
                id,
                status_list,
                index,
                expires_at,
            }) => Self::Token {
                jti,
                id,
                list: status_list,
                index,
                expires_at: match expires_at {
                    Some(millis) => Some(Timestamp::from_millis(millis)?),
                    None => None,
                },
                order,
            },
            Ends::CutOff(event::CutOff {
                organization,
                team,
                user,
                project,
                kid,
                kind,
                issued_through,
            }) => Self::CutOff {
                organization,
                team,
                user,
                project,
                kid,
                kind: kind.map(|kind| kind.to_string()),
                issued_through,
                order,
            },
        })
    }

    /// Returns the cut-off of an entry; `None` if it is another entry.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] if it names something that no jeton has named so.
    pub fn cut_off(&self) -> Result<Option<CutOff>, InvalidId> {
        let Self::CutOff {
            organization,
            team,
            user,
            project,
            kid,
            kind,
            issued_through,
            order,
        } = self
        else {
            return Ok(None);
        };
        Ok(Some(CutOff {
            reach: Reach {
                organization: organization.map(OrganizationId),
                team: parsed(team.as_deref())?,
                user: parsed(user.as_deref())?,
                project: *project,
                kid: kid.clone(),
                kind: kind.as_deref().map(|kind| match kind {
                    "session" => TokenKind::Session,
                    _ => TokenKind::Api,
                }),
            },
            issued_through: *issued_through,
            effective_at: order.effective_at,
        }))
    }

    /// Returns the key that the entry withdraws.
    pub(crate) fn withdrawn(&self) -> Option<&str> {
        match self {
            Self::Withdrawn { kid, .. } => Some(kid),
            _ => None,
        }
    }
}

impl Order {
    /// Returns the public id of the actor, if that is a person.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] if it is none.
    pub fn user(&self) -> Result<Option<UserId>, InvalidId> {
        parsed(self.by_user.as_deref())
    }
}

fn parsed<T: std::str::FromStr>(text: Option<&str>) -> Result<Option<T>, InvalidId> {
    text.map(str::parse).transpose().map_err(|_| InvalidId)
}

/// Returns a line: sixteen hexadecimal digits of the SHA-256 of the JSON text, that text, and the end of the
/// line.
pub(crate) fn text(value: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(summed(&serde_json::to_vec(value)?))
}

/// Returns a line with this JSON text.
pub(crate) fn summed(json: &[u8]) -> Vec<u8> {
    let mut line = checksum(json).into_bytes();
    line.push(b' ');
    line.extend_from_slice(json);
    line.push(b'\n');
    line
}

/// Parses a line without its end; `None` if it is damaged.
pub(crate) fn read<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(content(line)?).ok()
}

/// Returns whether a line without its end is what was written.
pub(crate) fn is_intact(line: &[u8]) -> bool {
    content(line).is_some()
}

fn content(line: &[u8]) -> Option<&[u8]> {
    let (sum, rest) = line.split_at_checked(16)?;
    let json = rest.strip_prefix(b" ")?;
    (sum == checksum(json).as_bytes()).then_some(json)
}

fn checksum(text: &[u8]) -> String {
    let digest = digest(&SHA256, text);
    digest
        .as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
