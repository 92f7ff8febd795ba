//! The revocation feed as its followers read it: cursors, items, and the signed heads and snapshots.
//!
//! All of it is JSON of the authority's API. A follower that starts from a [`SnapshotClaims`] and applies every item
//! after it knows what one knows that was there from the beginning. Each item's hash covers all before it, and a
//! [`HeadClaims`] signs the hash of the last one: the sender of the feed can delay it, but neither change it nor
//! leave anything out.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::event::{CutOff, Ends, Entry, Event, Position, RevokedToken, hexadecimal, instant};
use crate::statement::sealed::Sealed;
use crate::value::{Date, Identifier, Text};
use crate::{CompressedList, Rejection, Statement, TokenType, VerifiedStatement, json};

/// The path of the feed below the issuer.
pub const FEED_PATH: &str = "/api/v1/revocations";

/// A position in the feed as a text: 75 characters of base64url.
///
/// The epoch, the sequence number and the hash, in 16, 8 and 32 bytes. A follower treats it as opaque, unless it
/// verifies the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cursor(pub Position);

/// The error for a text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of the revocation feed")]
pub struct NotACursor;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 56];
        let (epoch, rest) = bytes.split_at_mut(16);
        let (sequence, hash) = rest.split_at_mut(8);
        epoch.copy_from_slice(self.0.epoch.as_bytes());
        sequence.copy_from_slice(&self.0.sequence.to_be_bytes());
        hash.copy_from_slice(&self.0.hash);
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotACursor)?;
        let (epoch, rest) = bytes.split_first_chunk::<16>().ok_or(NotACursor)?;
        let (sequence, hash) = rest.split_first_chunk::<8>().ok_or(NotACursor)?;
        Ok(Self(Position {
            epoch: Uuid::from_bytes(*epoch),
            sequence: u64::from_be_bytes(*sequence),
            hash: hash.try_into().map_err(|_| NotACursor)?,
        }))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// An event of the feed. A follower that reads a `kind` which it does not know starts again from a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = RevocationEvent))]
pub enum Item {
    /// A token was revoked.
    #[cfg_attr(feature = "utoipa", schema(title = "TokenRevoked"))]
    Token(TokenItem),
    /// All tokens that match every given field were revoked.
    #[cfg_attr(feature = "utoipa", schema(title = "TokensCutOff"))]
    CutOff(CutOffItem),
}

/// The position and the instants of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = RevocationPlace))]
pub struct Place {
    /// The position after this event.
    #[cfg_attr(feature = "utoipa", schema(value_type = String, min_length = 75, max_length = 75))]
    pub cursor: Cursor,
    /// The epoch of the database: another one means that it was restored.
    pub epoch: Uuid,
    /// The number of the event, without gaps.
    pub sequence: u64,
    /// The SHA-256 hash of this event and the hash before it, in hexadecimal. docs/verifying.md defines its input.
    #[serde(with = "hexadecimal")]
    #[cfg_attr(feature = "utoipa", schema(value_type = String, min_length = 64, max_length = 64))]
    pub hash: [u8; 32],
    /// When the revocation was recorded.
    #[serde(with = "instant")]
    #[cfg_attr(feature = "utoipa", schema(value_type = String, format = DateTime))]
    pub revoked_at: i64,
    /// When it takes effect; later than `revoked_at` after a rotation with a grace period.
    #[serde(with = "instant")]
    #[cfg_attr(feature = "utoipa", schema(value_type = String, format = DateTime))]
    pub effective_at: i64,
}

/// The revocation of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = TokenRevoked))]
pub struct TokenItem {
    /// The position and the instants.
    #[serde(flatten)]
    pub place: Place,
    /// The token.
    #[serde(flatten)]
    pub token: RevokedToken,
}

/// The revocation of many tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = TokensCutOff))]
pub struct CutOffItem {
    /// The position and the instants.
    #[serde(flatten)]
    pub place: Place,
    /// The tokens.
    #[serde(flatten)]
    pub tokens: CutOff,
}

impl Item {
    /// Returns where and when the event was.
    pub fn place(&self) -> &Place {
        match self {
            Self::Token(TokenItem { place, .. }) | Self::CutOff(CutOffItem { place, .. }) => place,
        }
    }
}

impl From<&Entry> for Item {
    fn from(entry: &Entry) -> Self {
        let place = Place {
            cursor: Cursor(entry.position()),
            epoch: entry.event.epoch,
            sequence: entry.event.sequence,
            hash: entry.hash,
            revoked_at: entry.event.recorded_at,
            effective_at: entry.event.effective_at,
        };
        match &entry.event.ends {
            Ends::Token(token) => Self::Token(TokenItem {
                place,
                token: token.clone(),
            }),
            Ends::CutOff(tokens) => Self::CutOff(CutOffItem {
                place,
                tokens: tokens.clone(),
            }),
        }
    }
}

impl From<Item> for Entry {
    /// Returns the event. Its hash is the stated one: compare it with [`Event::hash`].
    fn from(item: Item) -> Self {
        let (place, ends) = match item {
            Item::Token(TokenItem { place, token }) => (place, Ends::Token(token)),
            Item::CutOff(CutOffItem { place, tokens }) => (place, Ends::CutOff(tokens)),
        };
        Self {
            hash: place.hash,
            event: Event {
                epoch: place.epoch,
                sequence: place.sequence,
                recorded_at: place.revoked_at,
                effective_at: place.effective_at,
                ends,
            },
        }
    }
}

/// A page of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = RevocationPage))]
pub struct Page {
    /// The events after `after`, in order.
    pub items: Vec<Item>,
    /// The position after the last of them; `after` if there are none.
    #[cfg_attr(feature = "utoipa", schema(value_type = String, min_length = 75, max_length = 75))]
    pub next_cursor: Cursor,
    /// The signed head of the feed, a JWT; absent from a full page, which never changes, and from a page after which an
    /// event was added meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
}

/// The data of a heartbeat in the stream, and the answer to a request for the head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "utoipa", derive(utoipa::ToSchema), schema(as = RevocationHead))]
pub struct Head {
    /// The position after the last event.
    #[cfg_attr(feature = "utoipa", schema(value_type = String, min_length = 75, max_length = 75))]
    pub cursor: Cursor,
    /// The signed statement that this is the last event: a JWT with the type `revocation-head+jwt`.
    pub head: String,
}

/// The claims of a signed head: at `issued_at`, the feed ended at this position. Serializes to exactly the signed
/// text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeadClaims {
    /// The URL of the feed (`iss`).
    #[serde(rename = "iss")]
    pub issuer: String,
    /// The same (`aud`).
    #[serde(rename = "aud")]
    pub audience: String,
    /// When the head was signed (`iat`), in seconds since the Unix epoch.
    #[serde(rename = "iat")]
    pub issued_at: i64,
    /// The position after the last event.
    #[serde(flatten)]
    pub position: Position,
}

/// The claims of a snapshot: every revocation in force at a position of the feed. Serializes to exactly the signed
/// text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotClaims {
    /// The URL of the feed (`iss`).
    #[serde(rename = "iss")]
    pub issuer: String,
    /// The same (`aud`).
    #[serde(rename = "aud")]
    pub audience: String,
    /// The instant at which all processes' events up to the position were known (`iat`), in seconds since the Unix epoch.
    #[serde(rename = "iat")]
    pub issued_at: i64,
    /// The authority's time when the snapshot was taken, in milliseconds since the Unix epoch: what takes effect by then
    /// is in effect, whatever the clock of a reader says.
    #[serde(with = "instant")]
    pub taken_at: i64,
    /// The position up to which all events are included.
    #[serde(flatten)]
    pub position: Position,
    /// The status lists that a token can name.
    pub status_lists: Vec<ListSnapshot>,
    /// The cut-offs.
    pub cut_offs: Vec<CutOffSnapshot>,
}

/// The revoked tokens of a status list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListSnapshot {
    /// The number of the list.
    pub id: u32,
    /// The tokens whose revocation is in effect.
    pub list: CompressedList,
    /// The tokens whose revocation takes effect later: index, and instant in milliseconds since the Unix epoch.
    pub scheduled: Vec<(u32, i64)>,
}

/// A cut-off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutOffSnapshot {
    /// When it takes effect.
    #[serde(with = "instant")]
    pub effective_at: i64,
    /// The tokens.
    #[serde(flatten)]
    pub tokens: CutOff,
}

impl Serialize for ListSnapshot {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            id: u32,
            lst: String,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            scheduled: &'a [(u32, i64)],
        }
        let written = Written {
            id: self.id,
            lst: URL_SAFE_NO_PAD.encode(&self.list.0),
            scheduled: &self.scheduled,
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ListSnapshot {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            id: u32,
            #[serde(borrow)]
            lst: std::borrow::Cow<'a, str>,
            #[serde(default)]
            scheduled: Vec<(u32, i64)>,
        }
        let wire = Wire::deserialize(deserializer)?;
        let list = URL_SAFE_NO_PAD
            .decode(wire.lst.as_bytes())
            .map_err(D::Error::custom)?;
        Ok(Self {
            id: wire.id,
            list: CompressedList(list),
            scheduled: wire.scheduled,
        })
    }
}

/// A position as claims.
#[derive(Deserialize)]
struct Common {
    iss: Text,
    aud: Text,
    iat: Date,
    epoch: Identifier,
    sequence: u64,
    #[serde(with = "hexadecimal")]
    hash: [u8; 32],
}

impl Common {
    fn position(&self) -> Position {
        Position {
            epoch: self.epoch.0,
            sequence: self.sequence,
            hash: self.hash,
        }
    }
}

impl Sealed for HeadClaims {}

impl Statement for HeadClaims {
    const TYPE: TokenType = TokenType::FeedHead;
    const MAX_BYTES: usize = 4096;

    fn expected_bytes(&self) -> usize {
        512
    }

    fn from_json(json: &[u8]) -> Option<Self> {
        let common: Common = json::object(json)?;
        let position = common.position();
        Some(Self {
            issuer: common.iss.0,
            audience: common.aud.0,
            issued_at: common.iat.0,
            position,
        })
    }
}

impl Sealed for SnapshotClaims {}

impl Statement for SnapshotClaims {
    const TYPE: TokenType = TokenType::Snapshot;
    const MAX_BYTES: usize = 64 * 1024 * 1024;

    fn expected_bytes(&self) -> usize {
        let lists = self.status_lists.iter();
        let lists = lists.map(|list| 64 + list.list.0.len().div_ceil(3) * 4 + list.scheduled.len() * 24);
        512 + lists.sum::<usize>() + self.cut_offs.len() * 320
    }

    fn from_json(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Wire {
            #[serde(flatten)]
            common: Common,
            #[serde(with = "instant")]
            taken_at: i64,
            status_lists: Vec<ListSnapshot>,
            cut_offs: Vec<CutOffSnapshot>,
        }
        let wire: Wire = json::object(json)?;
        let position = wire.common.position();
        Some(Self {
            issuer: wire.common.iss.0,
            audience: wire.common.aud.0,
            issued_at: wire.common.iat.0,
            taken_at: wire.taken_at,
            position,
            status_lists: wire.status_lists,
            cut_offs: wire.cut_offs,
        })
    }
}

impl VerifiedStatement<HeadClaims> {
    /// Returns the claims if the head is that of the feed of this issuer. How old it is tells `issued_at`.
    pub fn judge(&self, issuer: &str) -> Result<&HeadClaims, Rejection> {
        let Self(claims) = self;
        judge_feed(issuer, &claims.issuer, &claims.audience)?;
        Ok(claims)
    }
}

impl VerifiedStatement<SnapshotClaims> {
    /// Returns the claims if the snapshot is that of the feed of this issuer. How old it is tells `issued_at`.
    pub fn judge(self, issuer: &str) -> Result<SnapshotClaims, Rejection> {
        let Self(claims) = self;
        judge_feed(issuer, &claims.issuer, &claims.audience)?;
        Ok(claims)
    }
}

/// Returns the URL of the feed of an issuer: the issuer and audience of heads and snapshots, which no token has.
pub fn feed_url(issuer: &str) -> String {
    format!("{issuer}{FEED_PATH}")
}

fn judge_feed(expected: &str, issuer: &str, audience: &str) -> Result<(), Rejection> {
    let is_its_feed = |url: &str| url.strip_prefix(expected) == Some(FEED_PATH);
    if !is_its_feed(issuer) {
        return Err(Rejection::WrongIssuer);
    }
    if !is_its_feed(audience) {
        return Err(Rejection::WrongAudience);
    }
    Ok(())
}
