//! References to a token: the number of its record and its `jti`.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// The number of a token's record: positive, ascending in the order of issue, never reused.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct TokenId(pub i64);

impl TokenId {
    /// Returns the name by which records call the token as the actor of an operation: `token 412`.
    pub fn actor(self) -> String {
        format!("{ACTOR}{self}")
    }

    /// Returns the token that an actor's name stands for, ignoring the case of ASCII letters.
    pub fn of_actor(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let number = name.strip_prefix(ACTOR)?.parse().ok().map(Self)?;
        (number.actor() == name).then_some(number)
    }
}

/// What is before the number in an actor's name.
const ACTOR: &str = "token ";

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A reference to a token in a path, by its number or its `jti`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenReference {
    /// The number of its record.
    Id(TokenId),
    /// The `jti` claim.
    Jti(Uuid),
}

/// The error for a text that is no reference to a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a token's number or its `jti`")]
pub struct NotATokenReference;

impl FromStr for TokenReference {
    type Err = NotATokenReference;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(number) = text.parse::<i64>() {
            // A sign or leading zeros would give one token several URLs.
            let canonical = number > 0 && !text.starts_with(['0', '+']);
            return if canonical {
                Ok(Self::Id(TokenId(number)))
            } else {
                Err(NotATokenReference)
            };
        }
        match Uuid::try_parse(text) {
            Ok(jti) if text.len() == 36 => Ok(Self::Jti(jti)),
            _ => Err(NotATokenReference),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_an_actor_by_its_number_in_one_way() {
        assert_eq!(TokenId(412).actor(), "token 412");
        assert_eq!(TokenId::of_actor("Token 412"), Some(TokenId(412)));
        for name in [
            "412",
            "token",
            "token 0412",
            "token +412",
            "token  412",
            "tokens 412",
            "token 412 ",
        ] {
            assert_eq!(TokenId::of_actor(name), None, "{name}");
        }
    }

    #[test]
    fn one_token_has_one_number_and_one_jti() {
        assert_eq!("412".parse(), Ok(TokenReference::Id(TokenId(412))));
        let jti = Uuid::from_u128(7);
        assert_eq!(jti.to_string().parse(), Ok(TokenReference::Jti(jti)));
        for text in [
            "",
            "0",
            "-1",
            "+1",
            "01",
            "1.0",
            "9223372036854775808",
            "{00000000-0000-0000-0000-000000000007}",
        ] {
            assert_eq!(text.parse::<TokenReference>(), Err(NotATokenReference), "{text}");
        }
    }
}
