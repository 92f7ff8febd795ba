//! Encodes cursors of the list of tokens as text.
//!
//! A cursor contains a digest of the list's parameters, so that it is refused for a list with other
//! parameters. It contains no secret and grants nothing.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::authority::Error;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Cursor, SortValue, TokenId};

/// A digest of the sort order and filters of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListDigest([u8; 8]);

/// The first byte of an encoded value.
const INSTANT: u8 = b'i';
const TEXT: u8 = b't';

impl ListDigest {
    /// Computes the digest of the sort order and all filters.
    pub(super) fn of(parameters: &impl std::fmt::Debug) -> Self {
        let hash = digest::digest(&digest::SHA256, format!("{parameters:?}").as_bytes());
        let mut bytes = [0; 8];
        bytes
            .iter_mut()
            .zip(hash.as_ref())
            .for_each(|(byte, hashed)| *byte = *hashed);
        Self(bytes)
    }

    /// Encodes the digest, the number of the token and its sort value, if any.
    pub(super) fn write(self, cursor: &Cursor) -> String {
        let mut bytes = [self.0, cursor.token.0.to_be_bytes()].concat();
        match &cursor.value {
            None => {}
            Some(SortValue::Instant(instant)) => {
                bytes.push(INSTANT);
                bytes.extend(instant.millis().to_be_bytes());
            }
            Some(SortValue::Text(text)) => {
                bytes.push(TEXT);
                bytes.extend(text.as_bytes());
            }
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(super) fn read(self, text: &str) -> Result<Cursor, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::BadCursor)?;
        match bytes.split_first_chunk() {
            Some((own, position)) if *own == self.0 => cursor(position).ok_or(Error::BadCursor),
            _ => Err(Error::BadCursor),
        }
    }
}

fn cursor(bytes: &[u8]) -> Option<Cursor> {
    let (token, value) = bytes.split_first_chunk()?;
    let value = match value.split_first() {
        None => None,
        Some((&INSTANT, millis)) => {
            let millis = i64::from_be_bytes(millis.try_into().ok()?);
            Some(SortValue::Instant(Timestamp::from_millis(millis)?))
        }
        Some((&TEXT, text)) => Some(SortValue::Text(String::from_utf8(text.to_vec()).ok()?)),
        Some(_) => return None,
    };
    Some(Cursor {
        value,
        token: TokenId(i64::from_be_bytes(*token)),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let list = ListDigest::of(&"organization=a");
        let other = ListDigest::of(&"organization=b");
        let instant = Timestamp::from_millis(1_767_323_045_678).unwrap();
        for value in [
            None,
            Some(SortValue::Instant(instant)),
            Some(SortValue::Text(String::new())),
            Some(SortValue::Text("na\u{ef}ve".to_owned())),
        ] {
            let cursor = Cursor {
                value,
                token: TokenId(412),
            };
            let text = list.write(&cursor);
            assert_eq!(list.read(&text).unwrap(), cursor);
            for bad in [other.write(&cursor).as_str(), "", "x", &text[1..], &text[..20]] {
                assert!(matches!(list.read(bad), Err(Error::BadCursor)), "{bad}");
            }
        }
        let cut = |bytes: &[u8]| URL_SAFE_NO_PAD.encode([&list.0, bytes].concat());
        for bad in [
            &[0; 9][..],
            b"12345678i1234567",
            b"12345678t\xff",
            b"12345678i\xff1234567",
        ] {
            assert!(matches!(list.read(&cut(bad)), Err(Error::BadCursor)), "{bad:?}");
        }
    }
}
