//! The lines of the journal: their content and their format.

use std::io;

use aws_lc_rs::digest::{SHA256, digest};
use jeton_verifier::event::{CutOff, Ends, Position};
use rusqlite::Connection;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cut_offs::{self, CUT_OFF_COLUMNS, REACH_JOINS};
use crate::failure::Failure;
use crate::values::{Bytes, Columns, get, params};
use jeton_core::clock::Timestamp;

/// The version of the format.
pub(super) const VERSION: u32 = 2;

/// The first line of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Begin {
    pub(super) journal: u32,
    /// The first epoch of the database, which no restore changes.
    pub(super) database: Uuid,
    /// The position in the database's history before the first batch of the segment.
    pub(super) at: Position,
    /// The position of the copy that the database was restored from, just before.
    pub(super) restored_from: Option<Position>,
}

/// A further line: the revocations of one transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// The position of the database before it.
    pub(crate) at: Position,
    /// The position of the database after it.
    pub(crate) reaches: Position,
    pub(crate) entries: Vec<Entry>,
}

/// A change that must never be undone. It names things by public ids, since a restored database reuses row
/// numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
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
pub(crate) struct Order {
    pub(crate) recorded_at: Timestamp,
    pub(crate) effective_at: Timestamp,
    pub(crate) by: String,
    pub(crate) by_user: Option<String>,
    pub(crate) reason: Option<String>,
}

impl Entry {
    /// Returns when the change was recorded; `None` if it need not be kept for its own sake.
    pub(super) fn recorded_at(&self) -> Option<Timestamp> {
        match self {
            Self::Token { order, .. } | Self::CutOff { order, .. } => Some(order.recorded_at),
            Self::Withdrawn { recorded_at, .. } | Self::ClockAccepted { recorded_at } => Some(*recorded_at),
            Self::Started { .. } | Self::Indexes { .. } | Self::Stopped { .. } | Self::Moved { .. } => None,
        }
    }
}

/// Returns the events of the feed after one, as entries.
pub(super) fn events_after(connection: &Connection, sequence: u64) -> Result<Vec<Entry>, Failure> {
    let query = format!(
        "SELECT event.recorded_at, event.effective_at, event.actor, actors.public_id, event.reason,
            event.jti, event.token, event.status_list, event.status_index, event.expires_at, {CUT_OFF_COLUMNS}
         FROM revocations AS event {REACH_JOINS} LEFT JOIN users AS actors ON actors.id = event.actor_user
         WHERE event.sequence > ?1 ORDER BY event.sequence"
    );
    let mut query = connection.prepare_cached(&query)?;
    let rows = query.query_map(params![sequence], |row| entry(&mut Columns::of(row)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn entry(columns: &mut Columns<'_>) -> rusqlite::Result<Entry> {
    let order = Order {
        recorded_at: columns.take()?,
        effective_at: columns.take()?,
        by: columns.take()?,
        by_user: columns.take()?,
        reason: columns.take()?,
    };
    if let Some(jti) = columns.take::<Option<Bytes>>()? {
        return Ok(Entry::Token {
            jti: jti.0,
            id: columns.take()?,
            list: columns.take()?,
            index: columns.take()?,
            expires_at: columns.take()?,
            order,
        });
    }
    for _ in 0..4 {
        columns.skip();
    }
    Ok(match jeton_store::ends(&cut_offs::cut_off(columns)?) {
        Ends::CutOff(CutOff {
            organization,
            team,
            user,
            project,
            kid,
            kind,
            issued_through,
        }) => Entry::CutOff {
            organization,
            team,
            user,
            project,
            kid,
            kind: kind.map(|kind| kind.to_string()),
            issued_through,
            order,
        },
        Ends::Token(_) => return Err(rusqlite::Error::InvalidQuery),
    })
}

/// Returns the withdrawn keys with their entries.
pub(super) fn withdrawn_keys(connection: &Connection) -> Result<Vec<(String, Entry)>, Failure> {
    let mut query = connection.prepare_cached(
        "SELECT kid, algorithm, public_jwk, created_at, changed_at FROM keys WHERE state = 'withdrawn' ORDER BY id",
    )?;
    let rows = query.query_map((), |row| {
        let kid: String = get(row, 0)?;
        let entry = Entry::Withdrawn {
            kid: kid.clone(),
            algorithm: get(row, 1)?,
            public_jwk: get(row, 2)?,
            created_at: get(row, 3)?,
            recorded_at: get(row, 4)?,
        };
        Ok((kid, entry))
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Returns a line: sixteen hexadecimal digits of the SHA-256 of the JSON text, that text, and the end of the
/// line.
pub(super) fn text(value: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(summed(&serde_json::to_vec(value)?))
}

/// Returns a line with this JSON text.
pub(super) fn summed(json: &[u8]) -> Vec<u8> {
    let mut line = checksum(json).into_bytes();
    line.push(b' ');
    line.extend_from_slice(json);
    line.push(b'\n');
    line
}

/// Parses a line without its end; `None` if it is damaged.
pub(super) fn read<T: DeserializeOwned>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(content(line)?).ok()
}

/// Returns whether a line without its end is what was written.
pub(super) fn is_intact(line: &[u8]) -> bool {
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
