use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// A key id: the SHA-256 thumbprint of the public key (RFC 7638) in base64url.
///
/// 43 letters, digits, `-` and `_`. The sender of a token chooses its `kid`; this type makes it safe as
/// a map key, file name or log field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct KeyId(String);

impl KeyId {
    /// Returns the `kid` value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The error for a text that is not a SHA-256 thumbprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a key id: a SHA-256 thumbprint in 43 characters of base64url")]
pub struct NotAKeyId;

impl TryFrom<String> for KeyId {
    type Error = NotAKeyId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // One byte more than a thumbprint, which the decoder needs for its last group.
        let mut thumbprint = [0; 33];
        match URL_SAFE_NO_PAD.decode_slice(&text, &mut thumbprint) {
            Ok(32) => Ok(Self(text)),
            _ => Err(NotAKeyId),
        }
    }
}

impl FromStr for KeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_thumbprint_is_a_key_id() {
        let good = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        assert_eq!(
            good.parse::<KeyId>().map(|id| id.to_string()),
            Ok(good.to_owned())
        );
        for bad in [
            "",
            "key-1",
            "../../dev/null",
            "'; --",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xt", // unused bits set
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs=",
            "NzbLsXh8uDCcd+6MNwXF4W/7noWXFZAfHkxZsRGC9Xs",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9X",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9XsA",
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9X\0",
        ] {
            assert_eq!(bad.parse::<KeyId>(), Err(NotAKeyId), "{bad}");
        }
    }
}
