use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::json;
use crate::{Algorithm, KeyId};

/// The purpose of a signed text, so that one type is never accepted as another (RFC 8725 section 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum TokenType {
    /// An API token, `at+jwt` (RFC 9068).
    Access,
    /// A session, `session+jwt`: accepted only by the authority.
    Session,
    /// A status list, `statuslist+jwt`.
    StatusList,
    /// The head of the revocation feed, `revocation-head+jwt`.
    FeedHead,
    /// A snapshot of all revocations, `revocation-snapshot+jwt`.
    Snapshot,
}

impl TokenType {
    const ALL: [Self; 5] = [
        Self::Access,
        Self::Session,
        Self::StatusList,
        Self::FeedHead,
        Self::Snapshot,
    ];

    /// Returns whether a text of this type gives its holder access.
    pub const fn is_credential(self) -> bool {
        matches!(self, Self::Access | Self::Session)
    }

    /// Returns the `typ` value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Session => "session+jwt",
            Self::StatusList => "statuslist+jwt",
            Self::FeedHead => "revocation-head+jwt",
            Self::Snapshot => "revocation-snapshot+jwt",
        }
    }
}

/// The error for a `typ` that jeton does not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of at+jwt, session+jwt, statuslist+jwt, revocation-head+jwt and revocation-snapshot+jwt")]
pub struct NotATokenType;

impl FromStr for TokenType {
    type Err = NotATokenType;

    /// Accepts `at+jwt` and `application/at+jwt`, ignoring case: `typ` is a media type, usually without
    /// its `application/` (RFC 7515 section 4.1.9). The signature covers it, so only the signer can
    /// choose the spelling.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const PREFIX: &str = "application/";
        let subtype = match text.split_at_checked(PREFIX.len()) {
            Some((prefix, subtype)) if prefix.eq_ignore_ascii_case(PREFIX) => subtype,
            _ => text,
        };
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(subtype))
            .ok_or(NotATokenType)
    }
}

impl TryFrom<String> for TokenType {
    type Error = NotATokenType;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The JOSE header: `alg`, `kid` and `typ`.
///
/// No other member is allowed. Other members would change how the token must be read (`crit`, `b64`,
/// `zip`, `enc`), bring their own key (`jwk`, `jku`, `x5u`, `x5c`) or mean nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The algorithm named by the token. It must equal the key's own algorithm, which decides.
    pub algorithm: Algorithm,
    /// The key id.
    pub kid: KeyId,
    /// The purpose of the token.
    pub token_type: TokenType,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    alg: Algorithm,
    kid: KeyId,
    typ: TokenType,
}

impl Header {
    /// Encodes the header as the first segment of a token, in base64url. It is the same for all tokens
    /// of a key and type, so a signer can store it.
    pub fn encode(&self) -> String {
        // Formatted by hand, since none of the three values can contain a character that JSON escapes.
        URL_SAFE_NO_PAD.encode(format!(
            r#"{{"alg":"{}","kid":"{}","typ":"{}"}}"#,
            self.algorithm, self.kid, self.token_type
        ))
    }

    pub(crate) fn from_json(bytes: &[u8]) -> Option<Self> {
        let Wire { alg, kid, typ } = json::object(bytes)?;
        Some(Self {
            algorithm: alg,
            kid,
            token_type: typ,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_as_encoded() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            for token_type in TokenType::ALL {
                let kid = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs".parse().unwrap();
                let header = Header {
                    algorithm,
                    kid,
                    token_type,
                };
                let json = URL_SAFE_NO_PAD.decode(header.encode()).unwrap();
                assert_eq!(Header::from_json(&json), Some(header));
            }
        }
    }

    #[test]
    fn a_type_is_a_media_type() {
        for text in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
            assert_eq!(text.parse(), Ok(TokenType::Access), "{text}");
        }
        for text in [
            "",
            "JWT",
            "at+jwt ",
            "text/at+jwt",
            "application/",
            "application/application/at+jwt",
            "at",
        ] {
            assert_eq!(text.parse::<TokenType>(), Err(NotATokenType), "{text}");
        }
    }
}
