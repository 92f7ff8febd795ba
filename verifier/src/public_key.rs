use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse, ThumbprintHash,
};
use serde_json::Value;

use crate::{Algorithm, KeyId};

/// A public key with its only algorithm.
///
/// Parsed once: the verifiers of `jsonwebtoken` copy and parse the key for each token.
#[derive(Debug, Clone)]
pub struct PublicKey {
    kid: KeyId,
    algorithm: Algorithm,
    key: ParsedPublicKey,
}

/// The reason why a JWK cannot verify tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAPublicKey {
    /// Not a JWK, or an unsupported kind of key.
    #[error("the key is not a JWK of a supported kind")]
    Unknown,
    /// The JWK contains a secret, which is thereby published.
    #[error("the key contains private members")]
    Private,
    /// `alg` is absent, unsupported, or does not fit the kind of key (RFC 8725 section 3.1).
    #[error("the key's `alg` is missing, unsupported or does not fit the key")]
    Algorithm,
    /// `use` or `key_ops` reserve the key for another purpose.
    #[error("the key's `use` or `key_ops` do not allow verifying signatures")]
    Use,
    /// `kid` is not the key's thumbprint.
    #[error("the key's id is not its thumbprint")]
    KeyId,
    /// The numbers are not a valid key: a point off the curve, a modulus below 2048 bits, a wrong
    /// length.
    #[error("the key's numbers are not a valid key")]
    Numbers,
}

impl PublicKey {
    /// Parses a JWK and refuses private members. `TryFrom<&Jwk>` cannot detect them, since the type
    /// [`Jwk`] drops them.
    pub fn from_json(text: &str) -> Result<Self, NotAPublicKey> {
        let value: Value = serde_json::from_str(text).map_err(|_| NotAPublicKey::Unknown)?;
        Self::from_value(value)
    }

    pub(crate) fn from_value(value: Value) -> Result<Self, NotAPublicKey> {
        // RFC 7518 sections 6.2.2, 6.3.2 and 6.4; `priv` is from RFC 9964.
        const PRIVATE: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];
        if PRIVATE.iter().any(|member| value.get(member).is_some()) {
            return Err(NotAPublicKey::Private);
        }
        let jwk: Jwk = serde_json::from_value(value).map_err(|_| NotAPublicKey::Unknown)?;
        Self::try_from(&jwk)
    }

    /// Returns the thumbprint, the `kid` in the headers of this key's tokens.
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// Returns the key's only algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns whether this key signed the message. A signature has exactly one length: 64 bytes, or
    /// the length of the modulus for RS256; AWS-LC refuses all others, DER included.
    ///
    /// For ES256 both (r, s) and (r, n - s) verify, as the standard defines: anyone can turn a valid
    /// signature into another valid one over the same claims. This is harmless, since tokens are
    /// identified and revoked by their `jti`, never by their bytes.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        self.key.verify_sig(message, signature).is_ok()
    }
}

impl TryFrom<&Jwk> for PublicKey {
    type Error = NotAPublicKey;

    fn try_from(jwk: &Jwk) -> Result<Self, Self::Error> {
        let common = &jwk.common;
        if common
            .public_key_use
            .as_ref()
            .is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
            || common
                .key_operations
                .as_ref()
                .is_some_and(|all| !all.contains(&KeyOperations::Verify))
        {
            return Err(NotAPublicKey::Use);
        }
        let (algorithm, key) = match (&jwk.algorithm, common.key_algorithm) {
            (AlgorithmParameters::EllipticCurve(point), Some(KeyAlgorithm::ES256))
                if point.curve == EllipticCurve::P256 =>
            {
                let mut bytes = vec![4]; // an uncompressed point, SEC 1 section 2.3.3
                bytes.extend(coordinate(&point.x)?);
                bytes.extend(coordinate(&point.y)?);
                let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes);
                (Algorithm::Es256, key)
            }
            (AlgorithmParameters::OctetKeyPair(point), Some(KeyAlgorithm::EdDSA))
                if point.curve == EllipticCurve::Ed25519 =>
            {
                (
                    Algorithm::EdDsa,
                    ParsedPublicKey::new(&ED25519, coordinate(&point.x)?),
                )
            }
            (AlgorithmParameters::RSA(numbers), Some(KeyAlgorithm::RS256)) => {
                let (n, e) = (number(&numbers.n)?, number(&numbers.e)?);
                check_rsa(&n, &e)?;
                let key = RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256);
                (Algorithm::Rs256, key)
            }
            (AlgorithmParameters::OctetKey(_), _) => return Err(NotAPublicKey::Private),
            (AlgorithmParameters::Other(_), _) => return Err(NotAPublicKey::Unknown),
            _ => return Err(NotAPublicKey::Algorithm),
        };
        let key = key.map_err(|_| NotAPublicKey::Numbers)?;
        let kid = jwk
            .thumbprint(ThumbprintHash::SHA256)
            .ok()
            .and_then(|thumbprint| KeyId::try_from(thumbprint).ok())
            .ok_or(NotAPublicKey::KeyId)?;
        if common.key_id.as_ref().is_some_and(|named| named != kid.as_str()) {
            return Err(NotAPublicKey::KeyId);
        }
        Ok(Self { kid, algorithm, key })
    }
}

/// Decodes canonical base64url only: another spelling of the same number would have another thumbprint.
fn number(text: &str) -> Result<Vec<u8>, NotAPublicKey> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAPublicKey::Numbers)
}

/// Decodes exactly 32 bytes, leading zeros included (RFC 7518 section 6.2.1.2, RFC 8037 section 2).
fn coordinate(text: &str) -> Result<Vec<u8>, NotAPublicKey> {
    let bytes = number(text)?;
    if bytes.len() != 32 {
        return Err(NotAPublicKey::Numbers);
    }
    Ok(bytes)
}

/// Requires a modulus of 2048 to 8192 bits and an odd exponent above 1, both without leading zeros.
/// AWS-LC checks sizes only when it verifies, which is too late to skip a key.
fn check_rsa(n: &[u8], e: &[u8]) -> Result<(), NotAPublicKey> {
    let modulus_is_good = match n {
        [0, ..] | [] => false,
        [first, rest @ ..] => {
            (2048..=8192).contains(&(rest.len() * 8 + (8 - first.leading_zeros() as usize)))
        }
    };
    let exponent_is_good = match e {
        [0, ..] | [] | [1] => false,
        [.., last] => last % 2 == 1 && e.len() <= 5,
    };
    if modulus_is_good && exponent_is_good {
        Ok(())
    } else {
        Err(NotAPublicKey::Numbers)
    }
}
