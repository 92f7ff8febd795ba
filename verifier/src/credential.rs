//! The token of a request.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// The token of a request, in its header or decoded from it.
pub enum Credential<'a> {
    /// `Bearer` (RFC 6750).
    Bearer(&'a str),
    /// Basic, from clients that cannot send `Bearer`.
    Basic(Zeroizing<String>),
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(..)")
    }
}

impl Credential<'_> {
    /// Returns the token.
    pub fn token(&self) -> &str {
        match self {
            Self::Bearer(token) => token,
            Self::Basic(token) => token,
        }
    }
}

/// The error for repeated or malformed `Authorization` headers: which one counts would be ambiguous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is more than one `Authorization` header, or it cannot be read")]
pub struct UnreadableCredential;

/// Returns the token of a request as the authority reads it: `Bearer`, or Basic with the token as username and an empty
/// password, or as password with any username. `None` if the request has no such header.
///
/// # Errors
///
/// [`UnreadableCredential`].
pub fn credential(headers: &HeaderMap) -> Result<Option<Credential<'_>>, UnreadableCredential> {
    use UnreadableCredential as Unreadable;

    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (value, more) = (given.next(), given.next());
    let Some(value) = value else { return Ok(None) };
    if more.is_some() {
        return Err(Unreadable);
    }
    let value = value.to_str().map_err(|_| Unreadable)?;
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let rest = rest.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Credential::Bearer(rest)));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = Zeroizing::new(STANDARD.decode(rest).map_err(|_| Unreadable)?);
    let text = std::str::from_utf8(&decoded).map_err(|_| Unreadable)?;
    let (username, password) = text.split_once(':').ok_or(Unreadable)?;
    let token = if password.is_empty() { username } else { password };
    // Clients of OAuth encode both like a form (RFC 6749, section 2.3.1), some of them `.`, `-` and `_` too. No
    // token has a `%` or a `+`.
    let token = percent_decode_str(token).decode_utf8().map_err(|_| Unreadable)?;
    Ok(Some(Credential::Basic(Zeroizing::new(token.into_owned()))))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use UnreadableCredential as Unreadable;

    fn read(values: &[&str]) -> Result<Option<String>, Unreadable> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().unwrap());
        }
        credential(&headers).map(|credential| credential.map(|credential| credential.token().to_owned()))
    }

    #[test]
    fn bearer_and_both_forms_of_basic_are_read() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Digest a=b"]), Ok(None));
        for header in [
            "Bearer abc",
            "bearer  abc ",
            &basic("abc:"),
            &basic("anybody:abc"),
            &basic(":abc"),
            &basic(":a%62c"),
            &basic("%61%62%63:"),
        ] {
            assert_eq!(read(&[header]), Ok(Some("abc".to_owned())), "{header}");
        }
    }

    #[test]
    fn two_headers_and_unreadable_ones_are_refused() {
        let no_colon = format!("Basic {}", STANDARD.encode("no colon"));
        for headers in [
            &["Bearer a", "Bearer a"][..],
            &["Digest a=b", "Bearer a"],
            &["Basic !"],
            &[&no_colon],
            &["Basic"],
            &["Bearer \u{e9}"],
        ] {
            assert_eq!(read(headers), Err(Unreadable), "{headers:?}");
        }
    }
}
