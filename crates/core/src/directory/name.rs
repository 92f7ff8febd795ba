//! Names and e-mail addresses, with their canonical form.
//!
//! Look-ups, uniqueness and lock-outs all use the canonical form: a name in another case must not be another
//! organization, nor another account with a fresh count of failed logins.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::text::{self, NotReadable};

/// The name of an organization, a team or a project, as it was given.
///
/// Up to 90 letters, digits and `. _ * -`, beginning with a letter or digit, and neither a UUID nor a team's
/// id, so that a field which takes a name or an id is never ambiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Returns the form in which two names are compared.
    pub fn canonical(&self) -> String {
        Self::canonical_form(&self.0)
    }

    /// Returns the form in which a text that may be a name is looked up.
    pub fn canonical_form(text: &str) -> String {
        text.to_ascii_lowercase()
    }

    /// Returns the name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error for a text that cannot be a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 1 to 90 letters, digits, `.`, `_`, `*` or `-`, begin with a letter or digit, and not be a UUID or a team id"
)]
pub struct NotAName;

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._*-".contains(&byte);
        let well_formed = (1..=90).contains(&text.len())
            && text.bytes().all(allowed)
            && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
        let is_id = Uuid::try_parse(text).is_ok() || text.parse::<super::TeamId>().is_ok();
        if well_formed && !is_id {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAName)
        }
    }
}

/// A person's e-mail address in its canonical form: trimmed, in lower case, with the domain in ASCII (UTS 46).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(String);

impl Email {
    /// Returns the canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the form in which a text that may be a part of an address, or of a person's name, is searched for.
    pub fn searched(text: &str) -> String {
        match text.rsplit_once('@') {
            Some((local, domain)) => {
                format!("{local}@{}", ascii(domain).unwrap_or_else(|| domain.to_owned()))
            }
            None => text::composed(text).into_owned(),
        }
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error for a text that cannot be an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAnEmail {
    /// A hidden character, which may come along when an address is copied.
    #[error(transparent)]
    Unreadable(#[from] NotReadable),
    /// Another form.
    #[error("not an e-mail address; expected the form name@example.com")]
    Malformed,
}

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Some(hidden) = text::hidden(text) {
            return Err(NotReadable::Hidden(hidden).into());
        }
        let (local, domain) = text.rsplit_once('@').ok_or(NotAnEmail::Malformed)?;
        let domain = ascii(domain).ok_or(NotAnEmail::Malformed)?;
        // In lower case over all of Unicode: people consider a mailbox the same in every case.
        let canonical = format!("{}@{domain}", local.to_lowercase());
        if canonical.len() <= 254 && validator::ValidateEmail::validate_email(&canonical) {
            Ok(Self(canonical))
        } else {
            Err(NotAnEmail::Malformed)
        }
    }
}

/// Returns the canonical form of a domain (UTS 46).
fn ascii(domain: &str) -> Option<String> {
    match idna::domain_to_ascii(domain) {
        Ok(ascii) => Some(ascii),
        // A label of a later version of Unicode, or an `xn--` that encodes nothing: no other text is the same label.
        Err(_) => domain.is_ascii().then(|| domain.to_ascii_lowercase()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_id_and_has_one_canonical_form() {
        for good in ["default", "Acme", "a", "9.b_c*d-e", &"x".repeat(90)] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            ".a",
            "a b",
            "a/b",
            "ä",
            &"x".repeat(91),
            "00000000-0000-0000-0000-000000000007",
            "team-Hn5Lq9BcX1dF7gJk",
        ] {
            assert_eq!(bad.parse::<Name>(), Err(NotAName), "{bad}");
        }
        assert_eq!("ACME".parse::<Name>().unwrap().canonical(), "acme");
    }

    #[test]
    fn one_mailbox_has_one_canonical_form() {
        for (written, canonical) in [
            (" Ada@Example.ORG ", "ada@example.org"),
            // The Kelvin sign is a capital k.
            ("\u{212a}im@example.org", "kim@example.org"),
            ("ada@b\u{fc}cher.example", "ada@xn--bcher-kva.example"),
            ("ada@bu\u{308}cher.example", "ada@xn--bcher-kva.example"),
            ("ada@B\u{dc}CHER.example", "ada@xn--bcher-kva.example"),
            ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
            ("ada@b\u{fc}cher\u{3002}example", "ada@xn--bcher-kva.example"),
            ("ada@b\u{fc}\u{fe0f}cher.example", "ada@xn--bcher-kva.example"),
            // A letter that looks like another one makes another domain, and it shows.
            ("ada@ex\u{430}mple.org", "ada@xn--exmple-4nf.org"),
            // A joiner that Persian needs is a part of the name.
            (
                "ada@\u{646}\u{627}\u{645}\u{647}\u{200c}\u{627}\u{6cc}.com",
                "ada@xn--mgba3gch31f060k.com",
            ),
            ("ada@xn--zzzzzzzzzzzz.example", "ada@xn--zzzzzzzzzzzz.example"),
            ("ada@[192.0.2.1]", "ada@[192.0.2.1]"),
            ("ada@[2001:DB8::1]", "ada@[2001:db8::1]"),
        ] {
            let email = written.parse::<Email>();
            assert_eq!(email.as_ref().map(Email::as_str), Ok(canonical), "{written}");
            // What the API shows is accepted again.
            assert_eq!(canonical.parse(), email, "{written}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "ada@exa mple.org",
            "\u{e4}da@example.org",
            "ada@exam_ple.org",
            "ada@-example.org",
            &format!("ada@{}.org", "x".repeat(64)),
            &format!("ada@{}org", "x.".repeat(124)),
            // Each character of it is several in ASCII.
            &format!("ada@{}org", "\u{5b57}.".repeat(32)),
        ] {
            assert_eq!(bad.parse::<Email>(), Err(NotAnEmail::Malformed), "{bad}");
        }
        for hidden in ['\0', '\u{7f}', '\u{ad}', '\u{200b}', '\u{202e}', '\u{feff}'] {
            for bad in [
                format!("a{hidden}da@example.org"),
                format!("ada@exa{hidden}mple.org"),
            ] {
                let error = bad.parse::<Email>();
                assert_eq!(error, Err(NotReadable::Hidden(hidden).into()), "{bad}");
            }
        }
    }
}
