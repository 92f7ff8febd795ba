//! The cache of verified tokens.
//!
//! An entry holds the verdict on a token and what the store knows beside its claims. The claims
//! themselves are not kept: whoever presents the token brings them along.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use jeton_verifier::PublicKey;
use quick_cache::sync::Cache;

use crate::authority::usage::LastNoted;
use jeton_core::clock::Timestamp;
use jeton_core::token::{Place, TokenId, TokenKind};
use jeton_store::{Generation, Liveness};

/// SHA-256 over all bytes of a token without its prefix. Nobody can construct a second text with the
/// digest of a token that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Returns the digest of a token, from which the prefix was stripped.
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }
}

/// A token whose signature is right and whose claims are those of its record.
#[derive(Debug)]
pub(super) struct VerifiedToken {
    pub(super) id: TokenId,
    pub(super) kind: TokenKind,
    pub(super) place: Place,
    /// To the millisecond, which `exp` does not have.
    pub(super) expires_at: Option<Timestamp>,
    /// The key that signed it, shared with the key ring.
    pub(super) key: Arc<PublicKey>,
    pub(super) liveness: Liveness,
    pub(super) noted: LastNoted,
    /// The last edit of the directory that was known before the store was read.
    pub(super) read_at: Generation,
    /// The version of its organization then.
    pub(super) organization: Option<Generation>,
    /// The version of its person then.
    pub(super) person: Option<Generation>,
}

/// Verified tokens by their digests.
pub(super) struct TokenCache(Cache<TokenDigest, Arc<VerifiedToken>>);

impl TokenCache {
    /// Returns an empty cache for so many tokens.
    pub(super) fn new(capacity: usize) -> Self {
        Self(Cache::new(capacity))
    }

    pub(super) fn get(&self, digest: &TokenDigest) -> Option<Arc<VerifiedToken>> {
        self.0.get(digest)
    }

    pub(super) fn insert(&self, digest: TokenDigest, token: Arc<VerifiedToken>) {
        self.0.insert(digest, token);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use jeton_verifier::Algorithm;

    /// What a token may take at most, in bytes (decision 22).
    const MOST: usize = 300;

    /// What the allocator adds to a block, and rounds it up to, at most.
    const ALLOCATION: usize = 16;

    #[test]
    fn a_token_takes_few_bytes() {
        let (key, _) = SigningKey::generate(Algorithm::Es256).unwrap();
        let key = Arc::new(key.public_key().clone());
        for capacity in [1_000, 200_000, 1_000_000] {
            let cache = TokenCache::new(capacity);
            for number in 0..capacity as i64 * 3 / 2 {
                let token = VerifiedToken {
                    id: TokenId(number),
                    kind: TokenKind::Api,
                    place: Place { list: 1, index: 1 },
                    expires_at: None,
                    key: Arc::clone(&key),
                    liveness: Liveness::Live,
                    noted: LastNoted::new(None),
                    read_at: Generation(1),
                    organization: Some(Generation(1)),
                    person: Some(Generation(1)),
                };
                cache.insert(TokenDigest::of(&number.to_string()), Arc::new(token));
            }
            let held = cache.len();
            assert!(
                held <= capacity && held > capacity * 9 / 10,
                "{held} of {capacity}"
            );
            // Two counters stand before what an `Arc` shares.
            let block = (size_of::<VerifiedToken>() + 2 * size_of::<usize>()).next_multiple_of(16);
            let tables = cache.0.memory_used().total();
            let each = tables / held + block + ALLOCATION;
            println!("{held} tokens: {each} bytes each");
            assert!(each <= MOST, "{each} bytes a token in a cache of {capacity}");
        }
    }

    /// Every byte counts.
    #[test]
    fn a_digest_is_of_the_whole_token() {
        let token = "eyJhbGciOi.eyJpc3MiOi.c2lnbmF0dXJl";
        for index in 0..token.len() {
            let mut other = token.to_owned().into_bytes();
            if let Some(byte) = other.get_mut(index) {
                *byte ^= 1;
            }
            let other = String::from_utf8(other).unwrap();
            assert_ne!(TokenDigest::of(&other), TokenDigest::of(token), "{index}");
        }
        assert_eq!(TokenDigest::of(token), TokenDigest::of(token));
    }
}
