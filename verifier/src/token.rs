use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::verdict::{Rejection, Verified};
use crate::{Claims, Header, PublicKey};

/// The maximum length of a token, both to parse and to sign: invalid input costs little, and every
/// signed token can be verified.
pub const MAX_TOKEN_BYTES: usize = 8192;

/// The maximum length of a prefix.
const LONGEST_PREFIX: usize = 16;

/// The longest prefix with its underscore, two dots, and the signature of an RSA key of 8192 bits.
const ROOM_AROUND: usize = 17 + 2 + 1366;

/// The reason why a text is not a well-formed token, whatever its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Longer than [`MAX_TOKEN_BYTES`], or a status list longer than [`crate::MAX_STATUS_LIST_BYTES`].
    #[error("the token is longer than the maximum")]
    TooLong,
    /// Not exactly two dots.
    #[error("the token does not have three segments")]
    Segments,
    /// Padding, invalid characters or unused bits that are not zero.
    #[error("a segment of the token is not canonical base64url")]
    Encoding,
    /// Not exactly `alg`, `kid` and `typ`, each once, with a known value.
    #[error("the token's header is not exactly a known `alg`, `kid` and `typ`")]
    Header,
    /// A claim is missing, repeated, of the wrong type or out of range.
    #[error("a claim of the token is missing, repeated, of the wrong type or out of range")]
    Claims,
}

/// A well-formed token whose signature is not verified yet. Its claims cannot be read.
#[derive(Debug)]
pub struct Unverified<'a> {
    header: Header,
    message: &'a str,
    claims: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Parses a compact JWS, with or without a prefix.
    ///
    /// Only canonical base64url is accepted in each segment, the signature's included, so that a cache keyed
    /// by the token's bytes cannot be filled with variants. An ECDSA signature has a second form, *n - s*,
    /// which every holder of the token can compute: it has two spellings. They have the same `jti`, and a
    /// revocation applies to both.
    pub fn parse(text: &'a str) -> Result<Self, Malformed> {
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Malformed::TooLong);
        }
        Self::split(strip_prefix(text))
    }

    /// Splits a compact JWS of any length.
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

    /// Returns the unverified header. Use it only to find the key.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Verifies the signature and then parses the claims, from the bytes that were signed.
    ///
    /// The key determines the algorithm; a header with another one is refused. If the header names
    /// another key, the error is [`Rejection::UnknownKey`].
    pub fn verify(self, key: &PublicKey) -> Result<Verified, Rejection> {
        let (header, claims) = self.signed(key)?;
        // A statement has other claims and is never a credential.
        if !header.token_type.is_credential() {
            return Err(Rejection::WrongType);
        }
        let claims = Claims::from_json(&claims).ok_or(Malformed::Claims)?;
        Ok(Verified::new(header, claims))
    }

    /// Returns the header and the text of the claims if the key signed them.
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

/// Removes one `[A-Za-z0-9]{1,16}_` in front of `eyJ`, the start of every JSON object in base64url.
///
/// The prefix helps secret scanners and is not signed. Any prefix is removed, so that a change of the
/// configured prefix invalidates no token.
pub fn strip_prefix(text: &str) -> &str {
    // Only where a prefix can be: a signature may also contain a `_`.
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

/// The reason why claims cannot be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unsignable {
    /// The token would exceed the maximum length.
    #[error("the token would exceed the maximum length")]
    TooLong,
    /// The claims cannot be serialized as JSON.
    #[error("the claims cannot be serialized as JSON")]
    Json(#[from] serde_json::Error),
}

/// Returns the text to sign: the header as [`Header::encode`] returned it, a dot and the claims.
///
/// It has capacity for the signature, so that [`assemble`] rarely reallocates.
pub fn signing_input(header: &str, claims: &Claims) -> Result<String, Unsignable> {
    signing_input_within(MAX_TOKEN_BYTES, 768, header, claims)
}

/// Returns the text to sign for any claims, with a maximum length for the finished token.
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
    // A signature of a 3072-bit RSA key has 512 characters; the other algorithms need 86.
    let mut text = String::with_capacity(length + 2 + 512);
    text.push_str(header);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(&json, &mut text);
    Ok(text)
}

/// Appends the signature and returns the token.
pub fn assemble(mut signing_input: String, signature: &[u8]) -> String {
    signing_input.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut signing_input);
    signing_input
}

/// Decodes a segment. `URL_SAFE_NO_PAD` refuses padding and unused bits that are set.
pub(crate) fn decode(segment: &str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| Malformed::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_token_is_parsed_and_leaves_room_for_every_prefix_and_signature() {
        let of_length = |length: usize| Unverified::parse(&".".repeat(length)).map(drop);
        assert_eq!(of_length(MAX_TOKEN_BYTES), Err(Malformed::Segments));
        assert_eq!(of_length(MAX_TOKEN_BYTES + 1), Err(Malformed::TooLong));
        let signature = URL_SAFE_NO_PAD.encode([0; 8192 / 8]).len();
        assert_eq!(ROOM_AROUND, LONGEST_PREFIX + "_..".len() + signature);
    }

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
