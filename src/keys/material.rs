//! A key pair: generates and reads it, and signs with it.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jeton_verifier::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters, EllipticCurveKeyType,
    Jwk, KeyAlgorithm, OctetKeyPairParameters, OctetKeyPairType, PublicKeyUse, RSAKeyParameters, RSAKeyType,
};
use jeton_verifier::{Algorithm, KeyId, NotAPublicKey, PublicKey};
use zeroize::Zeroizing;

/// The label of an unencrypted PKCS#8 key (RFC 7468 section 10).
const LABEL: &str = "PRIVATE KEY";

/// A private key and its public half, parsed once and ready to sign from any thread.
///
/// It can be neither copied, printed nor written. The PEM text is the only form in which a private key
/// leaves the process, returned once by [`SigningKey::generate`].
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
    jwk: Jwk,
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

/// The reason why a signing key cannot be created or used. Never contains key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not exactly one block of unencrypted PKCS#8; also an encrypted key, or one with a certificate.
    #[error("expected exactly one PEM block with the label {LABEL}")]
    NotPem,
    /// PKCS#8 of an unsupported kind of key, or damaged.
    #[error("expected a P-256, Ed25519 or RSA key of 2048 to 8192 bits in PKCS#8")]
    Unsupported,
    /// A key that verifiers do not accept, such as RSA with a huge exponent.
    #[error("the public key cannot be published")]
    Unpublishable(#[from] NotAPublicKey),
    /// The public key does not verify a signature of the private key.
    #[error("the private and the public key do not match")]
    Mismatch,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Failed(#[from] Unspecified),
}

impl SigningKey {
    /// Generates a key and returns it with its PKCS#8 PEM, which cannot be obtained again.
    ///
    /// AWS-LC draws from its own generator, seeded by the kernel, and accepts no other source. A key
    /// from a seeded test generator would be insecure.
    pub fn generate(algorithm: Algorithm) -> Result<(Self, Zeroizing<String>), KeyError> {
        let (pair, pem) = match algorithm {
            Algorithm::Es256 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
                let pem = to_pem(pair.to_pkcs8v1()?.as_ref());
                (Pair::Es256(pair), pem)
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate()?;
                // Version 1: OpenSSL's command line does not read version 2.
                let pem = to_pem(pair.to_pkcs8v1()?.as_ref());
                (Pair::EdDsa(pair), pem)
            }
            Algorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa3072)?;
                let document: Pkcs8V1Der<'_> = pair.as_der()?;
                let pem = to_pem(document.as_ref());
                (Pair::Rs256(pair), pem)
            }
        };
        Ok((Self::new(pair)?, pem))
    }

    /// Reads a key of any of the three algorithms, detected from the key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let mut blocks = pem::parse_many(text).map_err(|_| KeyError::NotPem)?.into_iter();
        let (Some(block), None) = (blocks.next(), blocks.next()) else {
            return Err(KeyError::NotPem);
        };
        let fits = block.tag() == LABEL;
        let der = Zeroizing::new(block.into_contents());
        if !fits {
            return Err(KeyError::NotPem);
        }
        // Each parser checks the key's object identifier first and rejects the other algorithms' keys.
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)
            .map(Pair::Es256)
            .or_else(|_| Ed25519KeyPair::from_pkcs8(&der).map(Pair::EdDsa))
            .or_else(|_| RsaKeyPair::from_pkcs8(&der).map(Pair::Rs256))
            .map_err(|_| KeyError::Unsupported)?;
        Self::new(pair)
    }

    /// Returns the key id: the thumbprint of the public key.
    pub fn kid(&self) -> &KeyId {
        self.public.kid()
    }

    /// Returns the only algorithm that this key signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.public.algorithm()
    }

    /// Returns the public key, to verify signatures.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Returns the JWK to publish: `kid`, `alg`, `use` and the public numbers, nothing else.
    pub fn public_jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// Returns a signature in the JWS format: R and S for ES256, not DER (RFC 7518 section 3.4).
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.pair.sign(message)
    }

    /// Checks that the key pair matches by signing once. A mismatch would go unnoticed here while
    /// verifiers reject every token.
    fn new(pair: Pair) -> Result<Self, KeyError> {
        let mut jwk = pair.public_jwk();
        let public = PublicKey::try_from(&jwk)?;
        jwk.common.key_id = Some(public.kid().to_string());
        let sample = b"do both halves of this key belong together?";
        if !public.verify(sample, &pair.sign(sample)?) {
            return Err(KeyError::Mismatch);
        }
        Ok(Self { pair, public, jwk })
    }
}

/// Prints the public key id, so that types with a key can derive `Debug`.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(self.kid()).finish()
    }
}

impl Pair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        // AWS-LC ignores this argument and uses its own generator.
        let random = SystemRandom::new();
        match self {
            Self::Es256(pair) => Ok(pair.sign(&random, message)?.as_ref().to_vec()),
            Self::EdDsa(pair) => Ok(pair.try_sign(message)?.as_ref().to_vec()),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                Ok(signature)
            }
        }
    }

    /// Returns the public JWK without its key id, which is computed from it.
    fn public_jwk(&self) -> Jwk {
        let (algorithm, numbers) = match self {
            Self::Es256(pair) => {
                // An uncompressed point: the byte 4, then the two coordinates.
                let point = pair.public_key().as_ref();
                let (x, y) = point
                    .get(1..)
                    .unwrap_or_default()
                    .split_at_checked(32)
                    .unwrap_or_default();
                let numbers = AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
                    key_type: EllipticCurveKeyType::EC,
                    curve: EllipticCurve::P256,
                    x: URL_SAFE_NO_PAD.encode(x),
                    y: URL_SAFE_NO_PAD.encode(y),
                });
                (KeyAlgorithm::ES256, numbers)
            }
            Self::EdDsa(pair) => {
                let numbers = AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
                    key_type: OctetKeyPairType::OctetKeyPair,
                    curve: EllipticCurve::Ed25519,
                    x: URL_SAFE_NO_PAD.encode(pair.public_key()),
                });
                (KeyAlgorithm::EdDSA, numbers)
            }
            Self::Rs256(pair) => {
                let components = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                let numbers = AlgorithmParameters::RSA(RSAKeyParameters {
                    key_type: RSAKeyType::RSA,
                    n: URL_SAFE_NO_PAD.encode(components.n),
                    e: URL_SAFE_NO_PAD.encode(components.e),
                });
                (KeyAlgorithm::RS256, numbers)
            }
        };
        Jwk {
            common: CommonParameters {
                public_key_use: Some(PublicKeyUse::Signature),
                key_algorithm: Some(algorithm),
                ..CommonParameters::default()
            },
            algorithm: numbers,
        }
    }
}

fn to_pem(der: &[u8]) -> Zeroizing<String> {
    let block = pem::Pem::new(LABEL, der);
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    let text = Zeroizing::new(pem::encode_config(&block, config));
    drop(Zeroizing::new(block.into_contents()));
    text
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;

    const ALL: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];

    #[test]
    fn a_generated_key_is_read_back_unchanged() {
        for algorithm in ALL {
            let (made, pem) = SigningKey::generate(algorithm).unwrap();
            let read = SigningKey::from_pem(&pem).unwrap();
            assert_eq!(read.algorithm(), algorithm);
            assert_eq!(read.kid(), made.kid());
            assert_eq!(read.public_jwk(), made.public_jwk());

            let signature = read.sign(b"message").unwrap();
            assert!(made.public_key().verify(b"message", &signature));
            assert!(!made.public_key().verify(b"massage", &signature));
            let (other, _) = SigningKey::generate(algorithm).unwrap();
            assert_ne!(other.kid(), made.kid());
            assert!(!other.public_key().verify(b"message", &signature));
        }
    }

    #[test]
    fn only_the_public_half_is_published() {
        for algorithm in ALL {
            let (key, _) = SigningKey::generate(algorithm).unwrap();
            let json = serde_json::to_value(key.public_jwk()).unwrap();
            let mut members: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
            members.sort_unstable();
            let expected: &[&str] = match algorithm {
                Algorithm::Es256 => &["alg", "crv", "kid", "kty", "use", "x", "y"],
                Algorithm::EdDsa => &["alg", "crv", "kid", "kty", "use", "x"],
                Algorithm::Rs256 => &["alg", "e", "kid", "kty", "n", "use"],
            };
            assert_eq!(members, expected);
            assert_eq!(json["kid"], key.kid().as_str());
            assert_eq!(json["alg"], algorithm.name());
            let read = PublicKey::from_json(&json.to_string()).unwrap();
            assert_eq!(read.kid(), key.kid());
        }
    }

    #[test]
    fn debug_names_the_key_and_nothing_else() {
        let (key, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        assert_eq!(
            format!("{key:?}"),
            format!("SigningKey(KeyId({:?}))", key.kid().as_str())
        );
    }

    #[test]
    fn a_generated_rsa_key_has_3072_bits() {
        let (key, _) = SigningKey::generate(Algorithm::Rs256).unwrap();
        assert_eq!(key.sign(b"").unwrap().len() * 8, 3072);
    }

    /// The private key of RFC 8410 section 10.3, in the form that OpenSSL writes.
    const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";

    /// RFC 8410 section 10.1 gives its public key.
    #[test]
    fn a_known_key_has_its_known_public_key() {
        let key = SigningKey::from_pem(ED25519).unwrap();
        let json = serde_json::to_value(key.public_jwk()).unwrap();
        assert_eq!(json["x"], "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE");
    }

    #[test]
    fn a_mismatched_key_pair_is_refused() {
        let (_, mine) = SigningKey::generate(Algorithm::Es256).unwrap();
        let (_, theirs) = SigningKey::generate(Algorithm::Es256).unwrap();
        let der = |text: &str| pem::parse(text).unwrap().into_contents();
        // The public point is the last 65 bytes of the file.
        let mut mixed = der(&mine);
        let point = mixed.len() - 65;
        assert_eq!(mixed[point], 4);
        SigningKey::from_pem(&to_pem(&mixed)).unwrap();
        mixed[point..].copy_from_slice(&der(&theirs)[point..]);
        assert!(SigningKey::from_pem(&to_pem(&mixed)).is_err());
    }

    /// An RSA key of 1024 bits, which no library here generates.
    const RSA_1024: &str = "-----BEGIN PRIVATE KEY-----
MIICeAIBADANBgkqhkiG9w0BAQEFAASCAmIwggJeAgEAAoGBAL38phjc1Q3ogwd5
7Vqcpv1YXx8YKTq0HGukmzVQkZr7hyvnEgxoAn042f35L0Yro7cZSf+QWTVfbwhk
Ahhj/iyuhqpL4uViaMgfuwIu9cWBlNwgyFnBEL9GFMpdYSzWVudhn4tDZCnT9IDD
vL/VXvUYbgQxbX7n/vL4w/GxLoNfAgMBAAECgYEAumvVw6G1QV98avKeD4KVbRSw
yb8YfazMEmfDkG4NYekbut2S3S+V+a+2X7qKQ62AiKK89JN8pZ2OQsp3L922Qgrn
MMBvJAQ0Razs4eJYZllR2ypoONd4TUdyww6nShnbHiC6hBkCPbDf2LlL7ip1MoVn
BS2WGUXk5D4U3/Z8HqECQQDgE1LUbOsUr5E3T+UW9idA2XUNp2ahUVoB1dC4yi7s
0G7yoAK5Ng5qWiiE0RBMu2X7xpZQGhuD/czUvhpQ1+xvAkEA2Q4EX+4eoMOV0Nps
qcQh+2ps1YPERiOPYrMizMJ9/kTWXBIFeGuBeXb0wSQxWXe8wSy3LZtR29hP9MwA
qS0wEQJBAMCDmZxsX6SMGqV8/QQ3RA5RRmIOuvxKGpyNCSBahOptQYUuuGhL6yKw
hzNlMy3Zq4sfWTFE3PMP8RWupolimf0CQQDWufk19dmy7QqO/Sa2o+OCV3ynlZ1c
Td2RpOnuaxI9s1fk6acjxCboRPhJAkcX3U6MRHJK2fcXaF1hLVgSBTQhAkBvfn6b
YIv1j0WpE3JNeomqlIRoQz5Gq3+EP0CWpmwS/XQeRPHWTWfcLxSceL7dPpAVC2GU
LIHTUxcFLLuEVhq4
-----END PRIVATE KEY-----
";

    #[test]
    fn unsupported_keys_are_refused() {
        let good = ED25519;
        let p384 = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        assert!(matches!(
            SigningKey::from_pem(&to_pem(p384.to_pkcs8v1().unwrap().as_ref())),
            Err(KeyError::Unsupported)
        ));
        assert!(matches!(
            SigningKey::from_pem(&to_pem(b"")),
            Err(KeyError::Unsupported)
        ));
        assert!(matches!(
            SigningKey::from_pem(RSA_1024),
            Err(KeyError::Unsupported)
        ));
        for text in [
            "",
            "no key",
            &good.replace("PRIVATE", "PUBLIC"),
            &good.replace("PRIVATE", "ENCRYPTED PRIVATE"),
            &good.replace("PRIVATE", "EC PRIVATE"),
            &good.repeat(2),
            &good[..good.len() / 2],
        ] {
            assert!(
                matches!(SigningKey::from_pem(text), Err(KeyError::NotPem)),
                "{text}"
            );
        }
        SigningKey::from_pem(good).unwrap();
    }
}
