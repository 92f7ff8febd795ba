//! A status list as it is published: signed, and compressed (Token Status List, sections 4 and 5).

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::bufread::ZlibDecoder;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::json::{self, Object};
use crate::token::{Unsignable, Unverified, signing_input_within};
use crate::value::{Date, Identifier, Text};
use crate::{Header, Malformed, PublicKey, Rejection, STATUS_LIST_CAPACITY, StatusList, TokenType};

/// No status list longer than this is looked at, and none is signed that would be. A full list in
/// which nothing can be compressed has 234,000 bytes.
pub const MAX_STATUS_LIST_BYTES: usize = 256 * 1024;

/// The bytes of the largest list.
const MAX_INFLATED: u64 = STATUS_LIST_CAPACITY as u64 / 8;

/// What a status list token says. Serializes to exactly what is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatusListClaims {
    /// The address at which the list is published (`sub`): the one in the tokens' `status`.
    #[serde(rename = "sub")]
    pub uri: String,
    /// When it was signed (`iat`), in seconds since the Unix epoch.
    #[serde(rename = "iat")]
    pub issued_at: i64,
    /// The first second in which it is no longer good (`exp`).
    #[serde(rename = "exp")]
    pub expires_at: i64,
    /// For how many seconds after it was fetched it is to be used before it is fetched anew.
    pub ttl: u32,
    /// The revocations that it includes: all up to this one.
    pub feed: FeedPosition,
    /// The bits.
    #[serde(rename = "status_list")]
    pub list: CompressedList,
}

/// A position in the revocation feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct FeedPosition {
    /// The database's epoch: positions of two epochs cannot be compared.
    pub epoch: Uuid,
    /// The number of an event.
    pub sequence: u64,
}

/// The bytes of a status list as a zlib stream (RFC 1950).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressedList(pub Vec<u8>);

impl CompressedList {
    /// The list. A stream that is damaged, goes on after its end, or would grow beyond the largest
    /// list that is published, is none; of the last no more than that is ever unpacked.
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

/// What the signature of a status list is made over; [`assemble`](crate::assemble) finishes it.
pub fn status_list_signing_input(header: &str, claims: &StatusListClaims) -> Result<String, Unsignable> {
    let expected = claims.list.0.len().div_ceil(3) * 4 + 512;
    signing_input_within(MAX_STATUS_LIST_BYTES, expected, header, claims)
}

/// A status list token as it came: well formed, and not to be believed.
#[derive(Debug)]
pub struct UnverifiedStatusList<'a>(Unverified<'a>);

impl<'a> UnverifiedStatusList<'a> {
    /// Reads a compact JWS.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        if text.len() > MAX_STATUS_LIST_BYTES {
            return Err(Malformed::TooLong);
        }
        Unverified::split(text).map(Self)
    }

    /// What it says about itself. Good for finding its key, and for nothing else.
    pub fn header(&self) -> &Header {
        self.0.header()
    }

    /// Checks the signature and only then reads the claims.
    pub fn verify(self, key: &PublicKey) -> Result<VerifiedStatusList, Rejection> {
        let (header, claims) = self.0.signed(key)?;
        if header.token_type != TokenType::StatusList {
            return Err(Rejection::WrongType);
        }
        let claims = read(&claims).ok_or(Malformed::Claims)?;
        Ok(VerifiedStatusList(claims))
    }
}

/// A status list whose signature is good, and which may still be another one, or an old one.
#[derive(Debug, Clone)]
pub struct VerifiedStatusList(StatusListClaims);

/// What a status list must be to be good here and now.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedList<'a> {
    /// The address in the token's `status`, compared character by character.
    pub uri: &'a str,
    /// What is known already of the revocation feed; `None` where nobody follows it.
    pub known: Option<FeedPosition>,
    /// The present second since the Unix epoch.
    pub now: i64,
    /// By how many seconds the signer's clock and ours may differ.
    pub leeway: i64,
}

impl VerifiedStatusList {
    /// The claims, if the list is what is expected.
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
        // Somebody who can answer in the authority's place could otherwise hand out a list from
        // before a revocation for as long as it has not expired.
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
