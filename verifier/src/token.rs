use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::verdict::{Rejection, Verified};
use crate::{Claims, Header, PublicKey, TokenType};

/// No text longer than this is looked at, and none is signed that would be: a stranger's nonsense
/// costs little, and whatever is signed can be verified.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// How many characters a prefix has at most.
const LONGEST_PREFIX: usize = 16;

/// The longest prefix with its underscore, two dots, and the signature of an RSA key of 8192 bits.
const ROOM_AROUND: usize = 17 + 2 + 1366;

/// Why a text cannot be one of our tokens, whoever signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Longer than what is looked at.
    #[error("the token is longer than is accepted")]
    TooLong,
    /// Not exactly two dots.
    #[error("the token does not have three segments")]
    Segments,
    /// Padding, foreign characters or unused bits that are not zero.
    #[error("a segment of the token is not canonical base64url")]
    Encoding,
    /// Not exactly `alg`, `kid` and `typ`, each once, of a known value.
    #[error("the token's header is not one of ours")]
    Header,
    /// A claim is missing, repeated, of the wrong type or out of range.
    #[error("the token's claims are not as they must be")]
    Claims,
}

/// A token as it came: well formed, and not to be believed. Nothing of its claims can be read.
#[derive(Debug)]
pub struct Unverified<'a> {
    header: Header,
    message: &'a str,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Reads a compact JWS, with or without a prefix.
    ///
    /// Only the canonical base64url of each segment is taken, the signature's included, so that a
    /// token has one spelling and a cache keyed by its bytes cannot be filled with variants of it.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Malformed::TooLong);
        }
        Self::split(strip_prefix(text))
    }

    /// Takes a compact JWS apart, however long it is.
    pub(crate) fn split(text: &'a str) -> Result<Self, Malformed> {
        let (message, signature) = text.rsplit_once('.').ok_or(Malformed::Segments)?;
        let (header, claims) = message.split_once('.').ok_or(Malformed::Segments)?;
        if claims.contains('.') {
            return Err(Malformed::Segments);
        }
        let header = Header::from_json(&decode(header)?).ok_or(Malformed::Header)?;
        Ok(Self {
            header,
            message,
            claims: decode(claims)?,
            signature: decode(signature)?,
        })
    }

    /// What the token says about itself. Good for finding its key, and for nothing else.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Checks the signature and only then reads the claims, from the very bytes that were signed.
    ///
    /// The algorithm is the key's; a header that names another is refused. A key that is not the
    /// one the header names is [`Rejection::UnknownKey`].
    pub fn verify(self, key: &PublicKey) -> Result<Verified, Rejection> {
        let (header, claims) = self.signed(key)?;
        // A status list has other claims, and is never a credential.
        if header.token_type == TokenType::StatusList {
            return Err(Rejection::WrongType);
        }
        let claims = Claims::from_json(&claims).ok_or(Malformed::Claims)?;
        Ok(Verified::new(header, claims))
    }

    /// The header and the text of the claims, if the key signed them.
    pub(crate) fn signed(self, key: &PublicKey) -> Result<(Header, Vec<u8>), Rejection> {
        if self.header.kid != *key.kid() {
            return Err(Rejection::UnknownKey);
        }
        if self.header.algorithm != key.algorithm() {
            return Err(Rejection::WrongAlgorithm);
        }
        if !key.verify(self.message.as_bytes(), &self.signature) {
            return Err(Rejection::BadSignature);
        }
        Ok((self.header, self.claims))
    }
}

/// Drops one `[A-Za-z0-9]{1,16}_` in front of `eyJ`, the start of every JSON object in base64url.
///
/// The prefix helps secret scanners and is not under the signature. Whichever it is, it is dropped,
/// so that configuring another one ends no token.
pub fn strip_prefix(text: &str) -> &str {
    // Only where it can be: a signature may have a `_` too, at the far end.
    let length = text
        .bytes()
        .take(LONGEST_PREFIX + 1)
        .take_while(u8::is_ascii_alphanumeric)
        .count();
    match text.split_at_checked(length) {
        Some((prefix, rest)) if matches!(prefix.len(), 1..=LONGEST_PREFIX) => {
            let token = rest.strip_prefix('_');
            token.filter(|token| token.starts_with("eyJ")).unwrap_or(text)
        }
        _ => text,
    }
}

/// Claims that must not be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unsignable {
    /// It would be longer than what anybody accepts.
    #[error("the token would be longer than is accepted")]
    TooLong,
    /// The claims have no JSON form.
    #[error("the claims cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// What a signature is made over: the header as [`Header::encode`] gave it, a dot and the claims.
///
/// The text has room for the signature, so that [`assemble`] rarely moves it.
pub fn signing_input(header: &str, claims: &Claims) -> Result<String, Unsignable> {
    signing_input_within(MAX_TOKEN_BYTES, 768, header, claims)
}

/// The same for any claims, where the finished text may be of so many bytes.
pub(crate) fn signing_input_within(
    limit: usize,
    expected: usize,
    header: &str,
    claims: &impl Serialize,
) -> Result<String, Unsignable> {
    let mut json = Vec::with_capacity(expected);
    serde_json::to_writer(&mut json, claims)?;
    let length = header.len() + json.len().div_ceil(3) * 4;
    if length + ROOM_AROUND > limit {
        return Err(Unsignable::TooLong);
    }
    // 3072 bits of an RSA signature are 512 characters; the other algorithms need 86.
    let mut text = String::with_capacity(length + 2 + 512);
    text.push_str(header);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(&json, &mut text);
    Ok(text)
}

/// The finished token.
pub fn assemble(mut signing_input: String, signature: &[u8]) -> String {
    signing_input.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut signing_input);
    signing_input
}

/// The decoder of `URL_SAFE_NO_PAD` refuses padding and unused bits that are set.
pub(crate) fn decode(segment: &str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| Malformed::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_prefix_is_dropped_and_only_a_prefix() {
        for (text, rest) in [
            ("eyJhbGci", "eyJhbGci"),
            ("dz_eyJhbGci", "eyJhbGci"),
            ("0123456789abcdeF_eyJ", "eyJ"),
            ("0123456789abcdefg_eyJ", "0123456789abcdefg_eyJ"),
            ("_eyJ", "_eyJ"),
            ("a-b_eyJ", "a-b_eyJ"),
            ("ä_eyJ", "ä_eyJ"),
            ("a_b_eyJ", "a_b_eyJ"),
            ("a_", "a_"),
            ("", ""),
        ] {
            assert_eq!(strip_prefix(text), rest, "{text}");
        }
    }
}
