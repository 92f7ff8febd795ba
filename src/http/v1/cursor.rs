//! Cursors of the list of tokens, as text.
//!
//! A cursor is good for the list it was given with: it carries a digest of the parameters, so that a
//! page of one list is never silently continued in another. It holds no secret and grants nothing.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::authority::Error;
use crate::token::{Cursor, TokenId};

/// Stands for the parameters of a list, but for page and direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListDigest([u8; 8]);

impl ListDigest {
    /// The digest of the order and of all parameters.
    pub(super) fn of(parameters: &impl std::fmt::Debug) -> Self {
        let hash = digest::digest(&digest::SHA256, format!("-id {parameters:?}").as_bytes());
        let mut bytes = [0; 8];
        bytes
            .iter_mut()
            .zip(hash.as_ref())
            .for_each(|(byte, hashed)| *byte = *hashed);
        Self(bytes)
    }

    pub(super) fn write(self, cursor: Cursor) -> String {
        URL_SAFE_NO_PAD.encode([self.0, cursor.token.0.to_be_bytes()].concat())
    }

    pub(super) fn read(self, text: &str) -> Result<Cursor, Error> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| Error::BadCursor)?;
        let (own, token) = bytes.split_first_chunk::<8>().ok_or(Error::BadCursor)?;
        let token = <[u8; 8]>::try_from(token).map_err(|_| Error::BadCursor)?;
        if *own == self.0 {
            Ok(Cursor {
                token: TokenId(i64::from_be_bytes(token)),
            })
        } else {
            Err(Error::BadCursor)
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_only() {
        let list = ListDigest::of(&"organization=a");
        let cursor = Cursor { token: TokenId(412) };
        assert_eq!(list.read(&list.write(cursor)).unwrap(), cursor);
        let other = ListDigest::of(&"organization=b");
        for text in [other.write(cursor).as_str(), "", "x", &list.write(cursor)[1..]] {
            assert!(matches!(list.read(text), Err(Error::BadCursor)), "{text}");
        }
    }
}
