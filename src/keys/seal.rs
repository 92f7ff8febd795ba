//! Seals private keys by a key-encryption key (AES-256-GCM), as texts that a file or a database column can hold. Apart
//! from the directory, since it does no I/O.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jeton_verifier::{Algorithm, KeyId};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The PEM label of a sealed key.
const LABEL: &str = "JETON SEALED PRIVATE KEY";

/// The first line of a sealed key.
const FIRST_LINE: &str = "-----BEGIN JETON SEALED PRIVATE KEY-----";

/// The version of the format, the first byte.
const VERSION: u8 = 1;

/// Separates the associated data from those of any other use of the same key.
const PURPOSE: &[u8] = b"jeton sealed private key";

/// The length of a key-encryption key in bytes.
const KEY_LENGTH: usize = 32;

const TAG_LENGTH: usize = 16;

/// The key that seals private keys. It can be neither printed nor copied.
pub struct KeyEncryptionKey {
    bytes: Zeroizing<[u8; KEY_LENGTH]>,
    id: KeyEncryptionKeyId,
}

/// Names a key-encryption key, so that a message can say which one is needed: the first 64 bits of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEncryptionKeyId([u8; 8]);

/// A text that is not a key-encryption key. Never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must contain 32 random bytes in base64 and nothing else, as `openssl rand -base64 32` prints them")]
pub struct NotAKeyEncryptionKey;

/// What a sealed key belongs to. It is authenticated: a key that is moved to another deployment or renamed is refused.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The deployment: the id of its database, which no restore changes.
    pub origin: Uuid,
    /// The id of the key.
    pub kid: &'a KeyId,
}

/// The reason why a sealed key cannot be opened. Never contains key material.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not exactly what [`seal`] writes.
    #[error("expected exactly one PEM block with the label {LABEL}, as jeton writes it")]
    NotSealed,
    /// Written by a later version of jeton.
    #[error(
        "expected version {VERSION} of the sealed format, not {0}: use the version of jeton that wrote it"
    )]
    Version(u8),
    /// It needs another key-encryption key.
    #[error("it is sealed by the key-encryption key {needed}, and the given one is {given}")]
    OtherKey {
        /// The key-encryption key that sealed it.
        needed: KeyEncryptionKeyId,
        /// The given one.
        given: KeyEncryptionKeyId,
    },
    /// The tag does not match: the text was altered, or belongs to another key or another deployment.
    #[error("it was altered, or sealed for another key or another database")]
    Altered,
    /// The cryptographic library failed.
    #[error("the cryptographic library failed")]
    Failed,
}

/// A parsed sealed key, not opened yet.
#[derive(Debug)]
pub struct Sealed {
    sealed_by: KeyEncryptionKeyId,
    algorithm: Algorithm,
    nonce: [u8; NONCE_LEN],
    /// The encrypted text and its tag.
    body: Vec<u8>,
}

impl KeyEncryptionKey {
    /// The length of its text with a line ending (CRLF).
    pub const MAXIMUM_TEXT: usize = KEY_LENGTH.div_ceil(3) * 4 + 2;

    /// Reads the text of a key-encryption key, with or without one line ending.
    ///
    /// # Errors
    /// If it is not 32 bytes in base64.
    pub fn of_text(text: &[u8]) -> Result<Self, NotAKeyEncryptionKey> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        // The decoder asks for room for whole groups of three bytes.
        let mut decoded = Zeroizing::new([0; KEY_LENGTH + 1]);
        let length = STANDARD
            .decode_slice(text, &mut *decoded)
            .map_err(|_| NotAKeyEncryptionKey)?;
        let bytes = decoded.get(..length).and_then(|bytes| bytes.try_into().ok());
        let bytes = Zeroizing::new(bytes.ok_or(NotAKeyEncryptionKey)?);
        let id = KeyEncryptionKeyId::of(&bytes);
        Ok(Self { bytes, id })
    }

    /// Returns its name.
    pub fn id(&self) -> KeyEncryptionKeyId {
        self.id
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, Unspecified> {
        RandomizedNonceKey::new(&AES_256_GCM, &*self.bytes)
    }
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyEncryptionKey({})", self.id)
    }
}

/// Equal names: two keys of the same name do not occur.
impl PartialEq for KeyEncryptionKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl KeyEncryptionKeyId {
    /// The digest of a purpose and the key. The key has 256 random bits, so the digest helps nobody to guess it.
    fn of(key: &[u8; KEY_LENGTH]) -> Self {
        let purpose = b"jeton key-encryption key id";
        let mut text = Zeroizing::new(Vec::with_capacity(purpose.len() + KEY_LENGTH));
        text.extend_from_slice(purpose);
        text.extend_from_slice(key);
        let mut id = [0; 8];
        for (byte, digested) in id.iter_mut().zip(digest(&SHA256, &text).as_ref()) {
            *byte = *digested;
        }
        Self(id)
    }
}

impl fmt::Display for KeyEncryptionKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Returns whether a text claims to be a sealed key.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(FIRST_LINE)
}

/// Seals the PEM of a private key. Two seals of one key differ, since each has a random nonce.
///
/// # Errors
/// If the cryptographic library fails.
pub fn seal(
    pem: &str,
    algorithm: Algorithm,
    binding: Binding<'_>,
    key: &KeyEncryptionKey,
) -> Result<String, SealError> {
    // Room for the tag too: a buffer that grows would leave a copy of the private key in freed memory.
    let mut body = Zeroizing::new(Vec::with_capacity(pem.len() + TAG_LENGTH));
    body.extend_from_slice(pem.as_bytes());
    let data = associated_data(key.id, algorithm, binding);
    let (nonce, tag) = key
        .cipher()
        .and_then(|cipher| cipher.seal_in_place_separate_tag(Aad::from(data), &mut body))
        .map_err(|Unspecified| SealError::Failed)?;
    body.extend_from_slice(tag.as_ref());
    let sealed = Sealed {
        sealed_by: key.id,
        algorithm,
        nonce: *nonce.as_ref(),
        body: std::mem::take(&mut *body),
    };
    Ok(sealed.to_text())
}

impl Sealed {
    /// Parses a sealed key.
    ///
    /// # Errors
    /// [`SealError::NotSealed`] and [`SealError::Version`].
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let block = pem::parse(text).map_err(|_| SealError::NotSealed)?;
        let bytes = block.contents();
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&version) if block.tag() == LABEL => return Err(SealError::Version(version)),
            _ => return Err(SealError::NotSealed),
        }
        let sealed = Self::of_bytes(bytes).ok_or(SealError::NotSealed)?;
        // One key has one text: another spelling would mislead tools that compare or digest files.
        match sealed.to_text() == text {
            true => Ok(sealed),
            false => Err(SealError::NotSealed),
        }
    }

    /// Returns the name of the key-encryption key that sealed it.
    pub fn sealed_by(&self) -> KeyEncryptionKeyId {
        self.sealed_by
    }

    /// Returns the PEM of the private key.
    ///
    /// # Errors
    /// Anything but exactly what was sealed by this key-encryption key for this binding.
    pub fn open(&self, binding: Binding<'_>, key: &KeyEncryptionKey) -> Result<Zeroizing<String>, SealError> {
        if self.sealed_by != key.id {
            return Err(SealError::OtherKey {
                needed: self.sealed_by,
                given: key.id,
            });
        }
        let mut body = Zeroizing::new(self.body.clone());
        let data = associated_data(self.sealed_by, self.algorithm, binding);
        let cipher = key.cipher().map_err(|Unspecified| SealError::Failed)?;
        let pem = cipher
            .open_in_place(
                Nonce::assume_unique_for_key(self.nonce),
                Aad::from(data),
                &mut body,
            )
            .map_err(|Unspecified| SealError::Altered)?;
        let pem = str::from_utf8(pem).map_err(|_| SealError::Altered)?;
        Ok(Zeroizing::new(pem.to_owned()))
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (_version, rest) = bytes.split_first()?;
        let (sealed_by, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first()?;
        let (algorithm, rest) = rest.split_at_checked((*length).into())?;
        let (nonce, body) = rest.split_first_chunk()?;
        Some(Self {
            sealed_by: KeyEncryptionKeyId(*sealed_by),
            algorithm: str::from_utf8(algorithm).ok()?.parse().ok()?,
            nonce: *nonce,
            body: (body.len() >= TAG_LENGTH).then(|| body.to_owned())?,
        })
    }

    /// Version, name of the key-encryption key, length and name of the algorithm, nonce, encrypted text, tag.
    fn to_text(&self) -> String {
        let algorithm = self.algorithm.name().as_bytes();
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.sealed_by.0);
        // The longest name of an algorithm has five letters.
        bytes.push(u8::try_from(algorithm.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(algorithm);
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&self.body);
        let block = pem::Pem::new(LABEL, bytes);
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&block, config)
    }
}

/// Returns everything that the tag authenticates besides the private key. Each part follows its length, so that no two
/// bindings have the same data.
fn associated_data(sealed_by: KeyEncryptionKeyId, algorithm: Algorithm, binding: Binding<'_>) -> Vec<u8> {
    let parts: [&[u8]; 6] = [
        PURPOSE,
        &[VERSION],
        &sealed_by.0,
        binding.origin.as_bytes(),
        binding.kid.as_str().as_bytes(),
        algorithm.name().as_bytes(),
    ];
    let mut data = Vec::new();
    for part in parts {
        data.extend_from_slice(&(part.len() as u64).to_be_bytes());
        data.extend_from_slice(part);
    }
    data
}

#[cfg(test)]
#[expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    const ORIGIN: Uuid = Uuid::from_bytes([7; 16]);

    fn key(byte: u8) -> KeyEncryptionKey {
        KeyEncryptionKey::of_text(STANDARD.encode([byte; KEY_LENGTH]).as_bytes()).unwrap()
    }

    struct Example {
        kid: KeyId,
        pem: Zeroizing<String>,
        text: String,
    }

    impl Example {
        fn new(algorithm: Algorithm) -> Self {
            let (signing, pem) = SigningKey::generate(algorithm).unwrap();
            let kid = signing.kid().clone();
            let binding = Binding {
                origin: ORIGIN,
                kid: &kid,
            };
            let text = seal(&pem, algorithm, binding, &key(1)).unwrap();
            Self { kid, pem, text }
        }

        fn binding(&self) -> Binding<'_> {
            Binding {
                origin: ORIGIN,
                kid: &self.kid,
            }
        }
    }

    fn open(text: &str, binding: Binding<'_>) -> Result<Zeroizing<String>, SealError> {
        Sealed::parse(text)?.open(binding, &key(1))
    }

    fn encoded(bytes: Vec<u8>) -> String {
        let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
        pem::encode_config(&pem::Pem::new(LABEL, bytes), config)
    }

    #[test]
    fn a_sealed_key_opens_to_what_was_sealed() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            let example = Example::new(algorithm);
            assert!(is_sealed(&example.text));
            assert!(!is_sealed(&example.pem));
            assert_eq!(open(&example.text, example.binding()).unwrap(), example.pem);
            let again = seal(&example.pem, algorithm, example.binding(), &key(1)).unwrap();
            assert_ne!(again, example.text, "the nonce is random");
            let body = pem::parse(&example.text).unwrap().into_contents();
            let der = pem::parse(&*example.pem).unwrap().into_contents();
            for part in [example.pem.as_bytes(), &der].map(|secret| &secret[32..48]) {
                assert!(!body.windows(part.len()).any(|window| window == part));
            }
        }
    }

    #[test]
    fn no_bit_of_a_sealed_key_can_be_changed() {
        let example = Example::new(Algorithm::EdDsa);
        let bytes = pem::parse(&example.text).unwrap().into_contents();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(
                open(&encoded(changed), example.binding()).is_err(),
                "bit {bit} of the bytes"
            );
        }
        for length in 0..bytes.len() {
            let cut = encoded(bytes[..length].to_vec());
            assert!(open(&cut, example.binding()).is_err(), "{length} bytes");
        }
        let text = example.text.as_bytes();
        for bit in 0..text.len() * 8 {
            let mut changed = text.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            if let Ok(changed) = String::from_utf8(changed) {
                assert!(
                    open(&changed, example.binding()).is_err(),
                    "bit {bit} of the text"
                );
            }
        }
        for other in [
            format!(" {}", example.text),
            format!("{}\n", example.text),
            example.text.replace('\n', "\r\n"),
            example.text.repeat(2),
        ] {
            assert_eq!(open(&other, example.binding()).unwrap_err(), SealError::NotSealed);
        }
        assert!(open(&encoded(bytes), example.binding()).is_ok(), "the control");
    }

    #[test]
    fn a_sealed_key_opens_for_its_own_binding_only() {
        let example = Example::new(Algorithm::EdDsa);
        let other = Example::new(Algorithm::EdDsa);
        let moved = Binding {
            origin: Uuid::from_bytes([8; 16]),
            ..example.binding()
        };
        for binding in [moved, other.binding()] {
            assert_eq!(open(&example.text, binding).unwrap_err(), SealError::Altered);
        }
        let mut relabelled = Sealed::parse(&example.text).unwrap();
        relabelled.algorithm = Algorithm::Es256;
        assert_eq!(
            open(&relabelled.to_text(), example.binding()).unwrap_err(),
            SealError::Altered
        );
        let sealed = Sealed::parse(&example.text).unwrap();
        assert_eq!(
            sealed.open(example.binding(), &key(2)).unwrap_err(),
            SealError::OtherKey {
                needed: key(1).id(),
                given: key(2).id()
            }
        );
        // The name of the key-encryption key proves nothing.
        let renamed = Sealed {
            sealed_by: key(2).id(),
            ..sealed
        };
        assert_eq!(
            renamed.open(example.binding(), &key(2)).unwrap_err(),
            SealError::Altered
        );
    }

    #[test]
    fn a_later_version_is_named() {
        let example = Example::new(Algorithm::EdDsa);
        let mut bytes = pem::parse(&example.text).unwrap().into_contents();
        bytes[0] = 2;
        assert_eq!(Sealed::parse(&encoded(bytes)).unwrap_err(), SealError::Version(2));
    }

    #[test]
    fn different_bindings_have_different_associated_data() {
        let example = Example::new(Algorithm::EdDsa);
        let data = associated_data(key(1).id(), Algorithm::EdDsa, example.binding());
        let parts = 6;
        let lengths = PURPOSE.len() + 1 + 8 + 16 + example.kid.as_str().len() + "EdDSA".len();
        assert_eq!(data.len(), parts * 8 + lengths);
    }

    #[test]
    fn a_key_encryption_key_is_32_bytes_in_base64() {
        let text = STANDARD.encode([1; KEY_LENGTH]);
        for good in [text.clone(), format!("{text}\n"), format!("{text}\r\n")] {
            assert!(good.len() <= KeyEncryptionKey::MAXIMUM_TEXT);
            assert_eq!(KeyEncryptionKey::of_text(good.as_bytes()).unwrap(), key(1));
        }
        let unpadded = text.trim_end_matches('=').to_owned();
        let mut loose = unpadded.clone();
        loose.pop();
        for bad in [
            String::new(),
            STANDARD.encode([1; 31]),
            STANDARD.encode([1; 33]),
            "x".repeat(32),
            format!("{text}\n\n"),
            format!(" {text}"),
            format!("{loose}B="),
            unpadded,
        ] {
            assert_eq!(
                KeyEncryptionKey::of_text(bad.as_bytes()),
                Err(NotAKeyEncryptionKey),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_key_encryption_key_is_never_printed() {
        let (key, text) = (key(1), STANDARD.encode([1; KEY_LENGTH]));
        let printed = format!("{key:?} {}", key.id());
        assert!(
            !printed.contains(&text[..8]) && !printed.contains("0101"),
            "{printed}"
        );
        assert_eq!(key.id().to_string().len(), 16);
    }
}
