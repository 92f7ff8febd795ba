//! Slots: names under which an owner has at most one live token.

use std::fmt;
use std::str::FromStr;

/// The name of a slot, which holds at most one live token of its owner: 1 to 64 letters, digits and `.`, `_`,
/// `-`, the first a letter or digit. Issuing into a slot revokes the token that it holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Slot(String);

impl Slot {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns a name that is a constant in the code, whose form its own test checks.
    pub fn literal(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

/// The error for a text that is no name of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 letters, digits, `.`, `_` or `-`, and begin with a letter or digit")]
pub struct NotASlot;

impl FromStr for Slot {
    type Err = NotASlot;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if begins_well && text.len() <= 64 && text.bytes().all(is_inner) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotASlot)
        }
    }
}

impl TryFrom<String> for Slot {
    type Error = NotASlot;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_a_short_plain_name() {
        let longest = "s".repeat(64);
        for text in ["a", "0", "ci", "Deploy_2.eu-west", &longest] {
            assert_eq!(
                text.parse::<Slot>().map(|slot| slot.to_string()),
                Ok(text.to_owned())
            );
        }
        let too_long = "s".repeat(65);
        for text in ["", "-a", ".a", "a b", "a/b", "ä", "a\n", &too_long] {
            assert_eq!(text.parse::<Slot>(), Err(NotASlot), "{text:?}");
        }
    }
}
