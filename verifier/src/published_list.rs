//! Published status lists: signed and compressed (Token Status List, sections 4 and 5).

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::bufread::ZlibDecoder;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::json::{self, Object};
use crate::statement::sealed::Sealed;
use crate::value::{Date, Identifier, Text};
use crate::{
    Malformed, Rejection, STATUS_LIST_CAPACITY, Statement, StatusList, TokenType, UnverifiedStatement,
    VerifiedStatement,
};

/// The maximum size of a status list token, both to parse and to sign. A full list that cannot be
/// compressed has 234,000 bytes.
pub const MAX_STATUS_LIST_BYTES: usize = 256 * 1024;

/// The size of the largest list, in bytes.
const MAX_INFLATED: u64 = STATUS_LIST_CAPACITY as u64 / 8;

/// The claims of a status list token. Serializes to exactly the signed text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusListClaims {
    /// The URL of all lists (`iss` and `aud`). Not the issuer of tokens: libraries that check no `typ` would take a
    /// list for an access token without these claims.
    #[serde(rename = "iss", skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The same.
    #[serde(rename = "aud", skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// The URL of the list (`sub`), as in the claim `status` of tokens.
    #[serde(rename = "sub")]
    pub uri: String,
    /// When the list was signed (`iat`), in seconds since the Unix epoch.
    #[serde(rename = "iat")]
    pub issued_at: i64,
    /// The first second in which the list is expired (`exp`).
    #[serde(rename = "exp")]
    pub expires_at: i64,
    /// How long the list may be used before it is fetched again, in seconds.
    pub ttl: u32,
    /// The position in the revocation feed up to which the list is complete.
    pub feed: FeedPosition,
    /// The bits.
    #[serde(rename = "status_list")]
    pub list: CompressedList,
}

/// A position in the revocation feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FeedPosition {
    /// The database's epoch. Positions of different epochs cannot be compared.
    pub epoch: Uuid,
    /// The sequence number of an event.
    pub sequence: u64,
}

/// The bytes of a status list as a zlib stream (RFC 1950).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressedList(pub Vec<u8>);

impl CompressedList {
    /// Decompresses the list. Fails if the stream is damaged, has trailing data, or would exceed the
    /// size of the largest list; never decompresses more than that.
    pub fn inflate(&self) -> Result<StatusList, Malformed> {
        let mut decoder = ZlibDecoder::new(self.0.as_slice());
        let mut bytes = Vec::new();
        let read = (&mut decoder).take(MAX_INFLATED + 1).read_to_end(&mut bytes);
        if read.is_err() || bytes.len() as u64 > MAX_INFLATED || !decoder.into_inner().is_empty() {
            return Err(Malformed::Claims);
        }
        Ok(StatusList::from(bytes.as_slice()))
    }
}

impl Serialize for CompressedList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written {
            bits: u8,
            lst: String,
        }
        let lst = URL_SAFE_NO_PAD.encode(&self.0);
        Written { bits: 1, lst }.serialize(serializer)
    }
}

/// A well-formed status list token whose signature is not verified yet.
pub type UnverifiedStatusList<'a> = UnverifiedStatement<'a, StatusListClaims>;

/// A status list with a valid signature, which may still be another or an outdated one.
pub type VerifiedStatusList = VerifiedStatement<StatusListClaims>;

impl Sealed for StatusListClaims {}

impl Statement for StatusListClaims {
    const TYPE: TokenType = TokenType::StatusList;
    const MAX_BYTES: usize = MAX_STATUS_LIST_BYTES;

    fn expected_bytes(&self) -> usize {
        self.list.0.len().div_ceil(3) * 4 + 512
    }

    fn from_json(json: &[u8]) -> Option<Self> {
        read(json)
    }
}

/// The expectations that a status list must meet.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedList<'a> {
    /// The URL in the token's `status`, compared character by character.
    pub uri: &'a str,
    /// The position up to which the revocation feed is known; `None` if it is not followed.
    pub known: Option<FeedPosition>,
    /// The current time, in seconds since the Unix epoch.
    pub now: i64,
    /// The allowed clock skew, in seconds.
    pub leeway: i64,
}

impl VerifiedStatement<StatusListClaims> {
    /// Returns the claims if the list meets the expectations.
    pub fn judge(&self, expected: &ExpectedList<'_>) -> Result<&StatusListClaims, Rejection> {
        let Self(claims) = self;
        if claims.uri != expected.uri {
            return Err(Rejection::WrongList);
        }
        if expected.now >= claims.expires_at.saturating_add(expected.leeway) {
            return Err(Rejection::Expired);
        }
        if claims.issued_at > expected.now.saturating_add(expected.leeway) {
            return Err(Rejection::NotYetIssued);
        }
        // An attacker who can answer in place of the authority could otherwise replay a list from
        // before a revocation until it expires.
        let is_outdated =
            |known: FeedPosition| claims.feed.epoch != known.epoch || claims.feed.sequence < known.sequence;
        if expected.known.is_some_and(is_outdated) {
            return Err(Rejection::Outdated);
        }
        Ok(claims)
    }
}

fn read(json: &[u8]) -> Option<StatusListClaims> {
    #[derive(Deserialize)]
    struct Wire {
        iss: Option<Text>,
        aud: Option<Text>,
        sub: Text,
        iat: Date,
        exp: Date,
        ttl: u32,
        feed: Object<Feed>,
        status_list: Object<List>,
    }
    #[derive(Deserialize)]
    struct Feed {
        epoch: Identifier,
        sequence: u64,
    }
    #[derive(Deserialize)]
    struct List {
        bits: u8,
        lst: String,
    }
    let wire: Wire = json::object(json)?;
    let (Object(feed), Object(list)) = (wire.feed, wire.status_list);
    if wire.exp.0 < wire.iat.0 || wire.ttl == 0 || list.bits != 1 {
        return None;
    }
    Some(StatusListClaims {
        issuer: wire.iss.map(|text| text.0),
        audience: wire.aud.map(|text| text.0),
        uri: wire.sub.0,
        issued_at: wire.iat.0,
        expires_at: wire.exp.0,
        ttl: wire.ttl,
        feed: FeedPosition {
            epoch: feed.epoch.0,
            sequence: feed.sequence,
        },
        list: CompressedList(URL_SAFE_NO_PAD.decode(list.lst).ok()?),
    })
}
