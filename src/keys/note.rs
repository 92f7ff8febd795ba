//! Checkpoints of the audit: signed notes (C2SP signed-note) in the form of C2SP tlog-checkpoint.
//!
//! The hash of a checkpoint is that of the chain's last line, not the root of a Merkle tree. Two extension lines follow:
//! the instant of that line, and that of the signature, by which lines that were deleted too early are found. The text
//! of a note contains newlines, so that no signature of a note is one of a token.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jeton_core::clock::Timestamp;
use jeton_store::{AuditHead, BEFORE_FIRST_LINE, SignedHead};
use jeton_verifier::{Algorithm, PublicKey};
use serde_json::Value;
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{Decode, Encode, Reader, SliceReader};

/// The longest note that is read, in bytes: a signature of RSA with 8192 bits is the longest.
const LONGEST: usize = 8_192;

/// The most signatures of a note that are read.
const MOST_SIGNATURES: usize = 16;

/// The reason why a note is not a checkpoint of this authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not in the form of a checkpoint.
    #[error("it is not in the form of a checkpoint")]
    Malformed,
    /// Of another log.
    #[error("it is of `{0}`")]
    Origin(String),
    /// Signed by a key that is not known.
    #[error("none of its signatures is of a key of this authority")]
    UnknownKey,
    /// A signature of a known key is wrong.
    #[error("the signature of the key {0} is wrong")]
    Signature(String),
}

/// What extension lines begin with.
const MADE_AT: &str = "line ";
const SIGNED_AT: &str = "signed ";

/// A public key by which checkpoints are verified.
#[derive(Debug, Clone)]
pub struct NoteKey {
    /// The key's id in the key set.
    pub kid: String,
    key: PublicKey,
    encoded: Vec<u8>,
}

/// A checkpoint whose signature is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNote {
    /// What was signed.
    pub signed: SignedHead,
    /// The key that signed it.
    pub kid: String,
}

/// Returns the origin of an issuer's checkpoints: the issuer without its scheme, and `/audit`. A key's name contains no
/// plus sign.
pub fn origin(issuer: &str) -> String {
    let name = issuer.split_once("://").map_or(issuer, |(_, name)| name);
    format!("{}/audit", name.replace('+', "%2B"))
}

/// Returns the text of a checkpoint.
pub(super) fn text(origin: &str, signed: &SignedHead) -> String {
    let SignedHead {
        head,
        made_at,
        signed_at,
    } = signed;
    let hash = STANDARD.encode(head.hash);
    format!(
        "{origin}\n{}\n{hash}\n{MADE_AT}{made_at}\n{SIGNED_AT}{signed_at}\n",
        head.sequence
    )
}

impl NoteKey {
    /// Reads the public JWK of a key; `None` if it is damaged.
    pub fn from_jwk(text: &str) -> Option<Self> {
        let key = PublicKey::from_json(text).ok()?;
        let numbers: Value = serde_json::from_str(text).ok()?;
        let number = |name| URL_SAFE_NO_PAD.decode(numbers.get(name)?.as_str()?).ok();
        let encoded = match key.algorithm() {
            Algorithm::EdDsa => {
                let mut encoded = vec![ED25519];
                encoded.extend(number("x")?);
                encoded
            }
            Algorithm::Es256 => {
                let mut encoded = P256_SPKI.to_vec();
                encoded.extend(number("x")?);
                encoded.extend(number("y")?);
                encoded
            }
            Algorithm::Rs256 => {
                let mut encoded = vec![UNASSIGNED];
                encoded.extend(b"jeton RS256 ");
                encoded.extend(key.kid().as_str().as_bytes());
                encoded
            }
        };
        Some(Self {
            kid: key.kid().as_str().to_owned(),
            key,
            encoded,
        })
    }

    /// Returns the id of the key under a name: the first four bytes of a hash. That of an ECDSA key is over its
    /// SubjectPublicKeyInfo alone, as the specification says.
    fn id(&self, name: &str) -> [u8; 4] {
        let hashed = match self.key.algorithm() {
            Algorithm::Es256 => digest(&SHA256, &self.encoded),
            Algorithm::EdDsa | Algorithm::Rs256 => {
                let mut input = name.as_bytes().to_vec();
                input.push(b'\n');
                input.extend(&self.encoded);
                digest(&SHA256, &input)
            }
        };
        hashed.as_ref().first_chunk().copied().unwrap_or_default()
    }

    fn verify(&self, text: &str, signature: &[u8]) -> bool {
        match self.key.algorithm() {
            Algorithm::Es256 => {
                fixed(signature).is_some_and(|signature| self.key.verify(text.as_bytes(), &signature))
            }
            Algorithm::EdDsa | Algorithm::Rs256 => self.key.verify(text.as_bytes(), signature),
        }
    }

    /// Returns a text with its signature, which is in the format of JWS.
    pub(super) fn signed(&self, name: &str, text: &str, signature: &[u8]) -> Option<String> {
        let mut signed = self.id(name).to_vec();
        match self.key.algorithm() {
            Algorithm::Es256 => signed.extend(der(signature)?),
            Algorithm::EdDsa | Algorithm::Rs256 => signed.extend(signature),
        }
        Some(format!("{text}\n\u{2014} {name} {}\n", STANDARD.encode(signed)))
    }
}

/// The types of signatures. RSA has none, and is named after that of unassigned types.
const ED25519: u8 = 0x01;
const UNASSIGNED: u8 = 0xff;

/// The SubjectPublicKeyInfo of a P-256 key up to the coordinates of its uncompressed point.
const P256_SPKI: [u8; 27] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
];

/// Verifies a checkpoint of an origin.
///
/// # Errors
///
/// Returns [`NoteError`] if it is not signed by one of these keys.
pub fn verify(note: &str, origin: &str, keys: &[NoteKey]) -> Result<VerifiedNote, NoteError> {
    if note.len() > LONGEST || note.chars().any(|one| one < ' ' && one != '\n') {
        return Err(NoteError::Malformed);
    }
    let (before, signatures) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
    let text = format!("{before}\n");
    let lines: Vec<&str> = before.split('\n').collect();
    let [name, size, hash, extensions @ ..] = lines.as_slice() else {
        return Err(NoteError::Malformed);
    };
    if *name != origin {
        return Err(NoteError::Origin((*name).to_owned()));
    }
    let head = head(size, hash).ok_or(NoteError::Malformed)?;
    let (made_at, signed_at) = instants(extensions).ok_or(NoteError::Malformed)?;
    let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    let mut verified = None;
    for line in signatures.split('\n').take(MOST_SIGNATURES) {
        let signature = line
            .strip_prefix("\u{2014} ")
            .and_then(|line| line.split_once(' '));
        let (signer, signature) = signature.ok_or(NoteError::Malformed)?;
        let signature = STANDARD.decode(signature).map_err(|_| NoteError::Malformed)?;
        let (id, signature) = signature.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
        let mut known = keys
            .iter()
            .filter(|key| signer == origin && key.id(origin) == *id);
        // Signatures of others, such as witnesses, are ignored.
        let Some(first) = known.next() else { continue };
        let right = std::iter::once(first)
            .chain(known)
            .find(|key| key.verify(&text, signature));
        let right = right.ok_or_else(|| NoteError::Signature(first.kid.clone()))?;
        verified = Some(right.kid.clone());
    }
    Ok(VerifiedNote {
        signed: SignedHead {
            head,
            made_at,
            signed_at,
        },
        kid: verified.ok_or(NoteError::UnknownKey)?,
    })
}

/// The notes of a file.
#[derive(Debug, Default)]
pub struct Notes {
    /// The notes, in their order.
    pub notes: Vec<String>,
    /// How many are incomplete, since a write was interrupted.
    pub incomplete: usize,
}

/// Splits a file of notes of an origin: each begins with the origin and ends with the line of its last signature.
pub fn notes(text: &str, origin: &str) -> Notes {
    let mut read = Notes::default();
    let mut note = String::new();
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        if line.trim_end_matches('\n') == origin && !note.is_empty() {
            note.clear();
            read.incomplete += 1;
        }
        note.push_str(line);
        let is_signature = |line: &str| line.starts_with('\u{2014}');
        if is_signature(line) && line.ends_with('\n') && !lines.peek().is_some_and(|next| is_signature(next))
        {
            read.notes.push(std::mem::take(&mut note));
        }
    }
    if !note.trim().is_empty() {
        read.incomplete += 1;
    }
    read
}

fn head(size: &str, hash: &str) -> Option<AuditHead> {
    let sequence: u64 = size.parse().ok()?;
    let hash: [u8; 32] = STANDARD.decode(hash).ok()?.try_into().ok()?;
    let is_canonical = sequence.to_string() == size && (sequence > 0 || hash == BEFORE_FIRST_LINE);
    is_canonical.then_some(AuditHead { sequence, hash })
}

/// Reads the extension lines. Others may follow them.
fn instants(extensions: &[&str]) -> Option<(Timestamp, Timestamp)> {
    let [made_at, signed_at, ..] = extensions else {
        return None;
    };
    let read = |line: &str, name| line.strip_prefix(name)?.parse::<Timestamp>().ok();
    Some((read(made_at, MADE_AT)?, read(signed_at, SIGNED_AT)?))
}

/// Returns a signature of R and S, of 32 bytes each, as DER.
fn der(signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(32)?;
    let mut numbers = Vec::new();
    for number in [r, s] {
        UintRef::new(number).ok()?.encode_to_vec(&mut numbers).ok()?;
    }
    // At most 70 bytes, so that the length is one byte.
    let mut der = vec![
        0x30,
        u8::try_from(numbers.len()).ok().filter(|length| *length < 128)?,
    ];
    der.extend(numbers);
    Some(der)
}

/// Returns a signature in DER as R and S, of 32 bytes each.
fn fixed(der: &[u8]) -> Option<[u8; 64]> {
    let mut reader = SliceReader::new(der).ok()?;
    let (r, s) = reader
        .sequence(|numbers| {
            Ok::<_, x509_cert::der::Error>((UintRef::decode(numbers)?, UintRef::decode(numbers)?))
        })
        .ok()?;
    reader.finish().ok()?;
    let mut fixed = [0; 64];
    for (number, place) in [r, s].iter().zip(fixed.chunks_exact_mut(32)) {
        let bytes = number.as_bytes();
        let begin = 32_usize.checked_sub(bytes.len())?;
        place.get_mut(begin..)?.copy_from_slice(bytes);
    }
    Some(fixed)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::keys::SigningKey;

    const ORIGIN: &str = "tokens.example.org/audit";

    fn head_at(sequence: u64) -> SignedHead {
        SignedHead {
            head: AuditHead {
                sequence,
                hash: [7; 32],
            },
            made_at: Timestamp::from_millis(1_764_600_000_123).unwrap(),
            signed_at: Timestamp::from_millis(1_764_600_060_000).unwrap(),
        }
    }

    fn signed(key: &SigningKey, head: SignedHead) -> (String, NoteKey) {
        let jwk = serde_json::to_string(key.public_jwk()).unwrap();
        let note_key = NoteKey::from_jwk(&jwk).unwrap();
        let text = text(ORIGIN, &head);
        let signature = key.sign(text.as_bytes()).unwrap();
        (note_key.signed(ORIGIN, &text, &signature).unwrap(), note_key)
    }

    #[test]
    fn a_checkpoint_of_each_algorithm_is_verified() {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256] {
            let (key, _) = SigningKey::generate(algorithm).unwrap();
            let (note, public) = signed(&key, head_at(12));
            let verified = verify(&note, ORIGIN, std::slice::from_ref(&public)).unwrap();
            assert_eq!(verified.signed, head_at(12), "{algorithm}");
            assert_eq!(verified.kid, key.kid().as_str());
            for (altered, error) in [
                (
                    note.replacen("\n12\n", "\n13\n", 1),
                    NoteError::Signature(verified.kid.clone()),
                ),
                (note.replacen("\n12\n", "\n012\n", 1), NoteError::Malformed),
                (
                    note.replacen("signed 2025", "signed 2024", 1),
                    NoteError::Signature(verified.kid.clone()),
                ),
                (note.replacen("\nline ", "\nlines ", 1), NoteError::Malformed),
                (note.replace("\u{2014}", "-"), NoteError::Malformed),
                (
                    note.replacen("tokens", "other", 1),
                    NoteError::Origin("other.example.org/audit".to_owned()),
                ),
                (note.trim_end().to_owned(), NoteError::Malformed),
                (String::new(), NoteError::Malformed),
            ] {
                assert_eq!(
                    verify(&altered, ORIGIN, std::slice::from_ref(&public)),
                    Err(error),
                    "{altered}"
                );
            }
            let (other, _) = SigningKey::generate(algorithm).unwrap();
            let (_, other) = signed(&other, head_at(1));
            assert_eq!(verify(&note, ORIGIN, &[other]), Err(NoteError::UnknownKey));
        }
    }

    #[test]
    fn signatures_of_witnesses_are_ignored() {
        let (key, _) = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let (note, public) = signed(&key, head_at(3));
        let witnessed = format!(
            "{note}\u{2014} witness.example.org {}\n",
            STANDARD.encode([1; 72])
        );
        assert_eq!(verify(&witnessed, ORIGIN, &[public]).unwrap().signed, head_at(3));
        let file = format!("{note}{witnessed}{note}cut off");
        let split = notes(&file, ORIGIN);
        assert_eq!(split.notes, [note.clone(), witnessed, note.clone()]);
        assert_eq!(split.incomplete, 1);
        // Interrupted, and ended by the next write.
        for torn in ["tokens.exa\n".to_owned(), format!("{ORIGIN}\n12\n")] {
            let split = notes(&format!("{note}{torn}{note}"), ORIGIN);
            assert_eq!(split.notes, [note.clone(), note.clone()]);
            assert_eq!(split.incomplete, 1);
        }
    }

    /// The example of c2sp.org/tlog-checkpoint with extension lines: its key id is not ours to compute, but its form is
    /// read.
    #[test]
    fn the_form_is_that_of_the_specification() {
        let example = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
            line 2025-12-01T14:40:00Z\nsigned 2025-12-01T14:41:00Z\nanother\n\n\
            \u{2014} example.com/behind-the-sofa \
            Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
        assert_eq!(
            verify(example, "example.com/behind-the-sofa", &[]),
            Err(NoteError::UnknownKey)
        );
        assert_eq!(
            origin("https://tokens.example.org/a"),
            "tokens.example.org/a/audit"
        );
    }

    #[test]
    fn signatures_are_converted_to_der_and_back() {
        let mut numbers = [0; 64];
        for (first, second) in [(0_u8, 1_u8), (0x7f, 0x80), (0xff, 0)] {
            numbers.fill(0);
            for (place, value) in [(0, first), (31, 5), (32, second), (63, 9)] {
                *numbers.get_mut(place).unwrap() = value;
            }
            assert_eq!(fixed(&der(&numbers).unwrap()), Some(numbers));
        }
        assert_eq!(fixed(&[0x30, 0x00]), None);
        assert_eq!(der(&[1; 31]), None);
    }
}
