//! Public ids of teams and people: a prefix of five letters, and 16 letters and digits.

/// The error for a text that is no public id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an id; expected `team-` or `user-` and 16 letters and digits")]
pub struct NotAnId;

/// The length of an id in bytes.
pub(super) const LENGTH: usize = 21;

/// Returns the bytes of a text that is an id with this prefix.
pub(super) fn bytes(text: &str, prefix: &str) -> Result<[u8; LENGTH], NotAnId> {
    let is_id = text
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    match <[u8; LENGTH]>::try_from(text.as_bytes()) {
        Ok(bytes) if is_id => Ok(bytes),
        _ => Err(NotAnId),
    }
}

/// Defines an id type. It stores its text inline: ids are in every key of the caches.
macro_rules! public_id {
    ($(#[$document:meta])* $name:ident, $prefix:literal) => {
        $(#[$document])*
        #[derive(Clone, PartialEq, Eq, Hash, serde::Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name([u8; $crate::directory::public_id::LENGTH]);

        impl $name {
            /// Returns a new random id.
            pub fn random(entropy: &dyn $crate::entropy::Entropy) -> Self {
                let text = format!("{}{}", $prefix, entropy.alphanumeric(16));
                // The generator returns letters and digits only, so that all bytes of the text are copied.
                let mut bytes = [b'0'; $crate::directory::public_id::LENGTH];
                for (byte, letter) in bytes.iter_mut().zip(text.bytes()) {
                    *byte = letter;
                }
                Self(bytes)
            }

            /// Returns the id as text.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.as_str()).finish()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::directory::public_id::NotAnId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $crate::directory::public_id::bytes(text, $prefix).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::directory::public_id::NotAnId;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    };
}
pub(super) use public_id;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_id_is_its_prefix_and_16_letters_and_digits() {
        assert!(bytes("team-Tw4Ev8Ny2Ka6Mo3P", "team-").is_ok());
        for text in [
            "team-Tw4Ev8Ny2Ka6Mo3",
            "team-Tw4Ev8Ny2Ka6Mo3PQ",
            "user-Tw4Ev8Ny2Ka6Mo3P",
            "team-Tw4Ev8Ny2Ka6Mo_P",
            "team-Tw4Ev8Ny2Ka6Mo\u{e9}",
            "",
        ] {
            assert_eq!(bytes(text, "team-"), Err(NotAnId), "{text}");
        }
    }
}
