//! Names and e-mail addresses, with their canonical form.
//!
//! Look-ups, uniqueness and lock-outs all use the canonical form: a name in another case must not be another
//! organization, nor another account with a fresh count of failed logins.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

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

/// A person's e-mail address in its canonical form: trimmed and in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Email(String);

impl Email {
    /// Returns the canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error for a text that cannot be an e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address; expected the form name@example.com")]
pub struct NotAnEmail;

impl FromStr for Email {
    type Err = NotAnEmail;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // In lower case over all of Unicode: people consider a mailbox the same in every case.
        let text = text.trim().to_lowercase();
        let printable = !text
            .chars()
            .any(|character| character.is_control() || character.is_whitespace());
        if text.len() <= 254 && printable && validator::ValidateEmail::validate_email(&text) {
            Ok(Self(text))
        } else {
            Err(NotAnEmail)
        }
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
    fn case_and_spaces_make_no_second_account() {
        assert_eq!(
            " Ada@Example.ORG ".parse::<Email>().unwrap().as_str(),
            "ada@example.org"
        );
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "ada@exa\0mple.org",
        ] {
            assert_eq!(bad.parse::<Email>(), Err(NotAnEmail), "{bad}");
        }
    }
}
