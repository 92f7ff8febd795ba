use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::json;
use crate::{Algorithm, KeyId};

/// What a signed text is for, so that one kind is never taken for another (RFC 8725 section 3.11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum TokenType {
    /// An API token, `at+jwt` (RFC 9068).
    Access,
    /// What logging in returns, `session+jwt`: for the authority alone.
    Session,
    /// A published list of revoked tokens, `statuslist+jwt`.
    StatusList,
}

impl TokenType {
    const ALL: [Self; 3] = [Self::Access, Self::Session, Self::StatusList];

    /// The value of `typ`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Session => "session+jwt",
            Self::StatusList => "statuslist+jwt",
        }
    }
}

/// A text that is the `typ` of nothing that jeton signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not one of at+jwt, session+jwt and statuslist+jwt")]
pub struct NotATokenType;

impl FromStr for TokenType {
    type Err = NotATokenType;

    /// Takes `at+jwt`, `application/at+jwt` and either in capitals: `typ` is a media type, whose
    /// letters have no case, written without its `application/` (RFC 7515 section 4.1.9). It lies
    /// under the signature, so nobody can choose among the spellings but the signer.
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

/// The whole JOSE header: `alg`, `kid` and `typ`.
///
/// The set is closed. Whatever else a header could hold either changes how the token must be read
/// (`crit`, `b64`, `zip`, `enc`), brings its own key (`jwk`, `jku`, `x5u`, `x5c`) or means nothing here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How the token says it is signed. A key's own algorithm decides, and must be the same.
    pub algorithm: Algorithm,
    /// Which key.
    pub kid: KeyId,
    /// What the token is for.
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
    /// The first segment of a token, in base64url. The same for every token of one key and type, so
    /// a signer keeps it.
    pub fn encode(&self) -> String {
        // Written by hand, since none of the three values can hold a character that JSON escapes.
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
    fn what_is_encoded_is_read_back() {
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
