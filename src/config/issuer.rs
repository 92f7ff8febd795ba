//! Settings that every token contains: the issuer and the token prefix.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use url::Url;

/// The `iss` of every token, and the base URL of the authorization server metadata.
///
/// An http or https URL without user, query, fragment or trailing slash, in normalized form, since
/// verifiers compare it byte by byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(String);

impl Issuer {
    /// Returns the default issuer: the URL of the listening address, with or without TLS.
    pub fn of_address(bound: SocketAddr, is_secure: bool) -> Self {
        let scheme = if is_secure { "https" } else { "http" };
        Self(format!("{scheme}://{bound}"))
    }

    /// Returns whether an issuer is one that [`Issuer::of_address`] made.
    pub fn is_of_address(issuer: &str) -> bool {
        let address = issuer.split_once("://").map(|(_, address)| address);
        address.is_some_and(|address| address.parse::<SocketAddr>().is_ok())
    }

    /// Returns the audience of sessions, which no token may have.
    pub fn session_audience(&self) -> String {
        format!("{}/session", self.0)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The reason why a text is not a valid issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssuerError {
    #[error("must be an http or https URL such as https://tokens.example.com")]
    NoUrl,
    #[error("must not have a user, a query or a fragment")]
    Surplus,
    #[error("must not end with a slash")]
    Slash,
    #[error("must be written as `{0}`")]
    Form(String),
}

impl FromStr for Issuer {
    type Err = IssuerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(text).map_err(|_| IssuerError::NoUrl)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(IssuerError::NoUrl);
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(IssuerError::Surplus);
        }
        if text.ends_with('/') {
            return Err(IssuerError::Slash);
        }
        let canonical = url.as_str().trim_end_matches('/');
        if canonical != text {
            return Err(IssuerError::Form(canonical.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The prefix by which people and secret scanners recognise a token: 1 to 16 letters and digits
/// and an underscore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The error for a text that is not a valid prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 16 letters or digits followed by an underscore, such as jeton_")]
pub struct NotAPrefix;

impl FromStr for Prefix {
    type Err = NotAPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('_').ok_or(NotAPrefix)?;
        let good = (1..=16).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        good.then(|| Self(text.to_owned())).ok_or(NotAPrefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_issuer_is_accepted_unchanged() {
        for text in [
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "https://tokens.example.com",
            "https://example.com/jeton",
            "https://example.com/a/b",
        ] {
            assert_eq!(text.parse(), Ok(Issuer(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn an_issuer_in_non_canonical_form_is_refused() {
        let form = |text: &str| IssuerError::Form(text.to_owned());
        for (text, error) in [
            ("", IssuerError::NoUrl),
            ("tokens.example.com", IssuerError::NoUrl),
            ("ftp://example.com", IssuerError::NoUrl),
            ("https://", IssuerError::NoUrl),
            ("urn:example:issuer", IssuerError::NoUrl),
            ("https://example.com/", IssuerError::Slash),
            ("https://example.com/a/", IssuerError::Slash),
            ("https://example.com?", IssuerError::Surplus),
            ("https://example.com?a=b", IssuerError::Surplus),
            ("https://example.com#", IssuerError::Surplus),
            ("https://me@example.com", IssuerError::Surplus),
            ("https://Example.com", form("https://example.com")),
            ("HTTPS://example.com", form("https://example.com")),
            ("https://example.com:443", form("https://example.com")),
            ("https://example.com/a/../b", form("https://example.com/b")),
            (" https://example.com", form("https://example.com")),
            ("https:\\\\example.com", form("https://example.com")),
        ] {
            assert_eq!(text.parse::<Issuer>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn a_prefix_ends_with_its_only_underscore() {
        for text in ["j_", "jeton_", "ABCdef0123456789_"] {
            assert_eq!(text.parse(), Ok(Prefix(text.to_owned())));
        }
        for text in [
            "",
            "_",
            "jeton",
            "je_ton_",
            "jeton__",
            "jeton-",
            "ABCdef01234567890_",
            "é_",
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(NotAPrefix), "{text}");
        }
    }
}
