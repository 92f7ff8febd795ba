//! The cache of verified tokens, by digest.
//!
//! An entry holds the verdict on a token and the facts of its record. It does not hold the claims, to stay
//! small: a request that presents the token contains them.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use jeton_verifier::PublicKey;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use quick_cache::sync::Cache;

use crate::authority::usage::LastNoted;
use jeton_core::clock::Timestamp;
use jeton_core::token::{ListIndex, ManagementScope, Owner, TokenId, TokenKind};
use jeton_store::Generation;
use jeton_store::metrics::Labelled;
use jeton_store::rules::tokens::Liveness;

/// The maximum overhead and rounding of the allocator for one token, in bytes.
const ALLOCATION: usize = 16;

/// The SHA-256 digest of all bytes of a token without its prefix. A second text with the digest of a
/// verified token cannot be constructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Returns the digest of a token whose prefix was stripped.
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }
}

/// A set of management scopes, a bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ManagementScopes(u8);

impl ManagementScopes {
    /// Returns the management scopes among names of scopes.
    pub(super) fn among(names: &[String]) -> Self {
        let named = |scope: &&ManagementScope| names.iter().any(|name| name == scope.as_str());
        let bits = ManagementScope::ALL
            .iter()
            .filter(named)
            .map(|scope| Self::bit(*scope));
        Self(bits.fold(0, |bits, bit| bits | bit))
    }

    pub(super) fn contains(self, scope: ManagementScope) -> bool {
        self.0 & Self::bit(scope) != 0
    }

    fn bit(scope: ManagementScope) -> u8 {
        1 << scope as u8
    }
}

/// A token with a valid signature and the claims of its record.
#[derive(Debug)]
pub(super) struct VerifiedToken {
    pub(super) id: TokenId,
    pub(super) kind: TokenKind,
    pub(super) owner: Owner,
    pub(super) list_index: ListIndex,
    /// The claim `iat`, in whole seconds since the Unix epoch.
    pub(super) issued_at: i64,
    /// The expiry, in milliseconds; the claim `exp` has whole seconds.
    pub(super) expires_at: Option<Timestamp>,
    /// When the revocation of its record takes effect; those since are in the index.
    pub(super) revoked_from: Option<Timestamp>,
    /// The scopes for the authority's own API.
    pub(super) management: ManagementScopes,
    /// Whether the audience includes the authority itself, that is, the issuer.
    pub(super) is_for_issuer: bool,
    /// Whether it is restricted to the projects in its claims.
    pub(super) is_restricted: bool,
    /// The key that signed it, shared with the key ring.
    pub(super) key: Arc<PublicKey>,
    pub(super) liveness: Liveness,
    pub(super) noted: LastNoted,
    /// The generation of the directory that was known before the store was read.
    pub(super) read_at: Generation,
    /// The generation of its organization at that time; the default without an organization, since no realm is at
    /// it and an `Option` takes eight more bytes.
    pub(super) organization: Generation,
    /// The generation of its user at that time; the default without a user.
    pub(super) person: Generation,
}

/// Verified tokens by digest.
#[derive(Debug)]
pub(super) struct TokenCache {
    tokens: Cache<TokenDigest, Arc<VerifiedToken>>,
    lookups: Labelled<Counter>,
    hits: Counter,
    misses: Counter,
}

impl TokenCache {
    /// Returns an empty cache for at most `capacity` tokens.
    pub(super) fn new(capacity: usize) -> Self {
        let lookups = Labelled::<Counter>::default();
        Self {
            tokens: Cache::new(capacity),
            hits: lookups.get_or_create_owned(&[("result", "hit")]),
            misses: lookups.get_or_create_owned(&[("result", "miss")]),
            lookups,
        }
    }

    pub(super) fn get(&self, digest: &TokenDigest) -> Option<Arc<VerifiedToken>> {
        let found = self.tokens.get(digest);
        match found {
            Some(_) => self.hits.inc(),
            None => self.misses.inc(),
        };
        found
    }

    pub(super) fn insert(&self, digest: TokenDigest, token: Arc<VerifiedToken>) {
        self.tokens.insert(digest, token);
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns the memory that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        // An `Arc` has two counters before its value.
        let block = (size_of::<VerifiedToken>() + 2 * size_of::<usize>()).next_multiple_of(16);
        let tables = self.tokens.memory_used().total();
        tables.saturating_add(self.len() * (block + ALLOCATION))
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "jeton_token_cache_lookups",
            "Look-ups in the cache of verified tokens, by result",
            self.lookups.clone(),
        );
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use jeton_core::directory::OrganizationId;
    use jeton_verifier::Algorithm;
    use uuid::Uuid;

    /// The maximum memory of a cached token, in bytes (docs/decisions/token-cache.md).
    const MOST: usize = 300;

    #[test]
    fn a_token_takes_few_bytes() {
        let (key, _) = SigningKey::generate(Algorithm::Es256).unwrap();
        let key = Arc::new(key.public_key().clone());
        let owner = Owner::Team {
            team: "team-0123456789abcdef".parse().unwrap(),
            organization: OrganizationId(Uuid::nil()),
        };
        for capacity in [1_000, 200_000, 1_000_000] {
            let cache = TokenCache::new(capacity);
            for number in 0..capacity as i64 * 3 / 2 {
                let token = VerifiedToken {
                    id: TokenId(number),
                    kind: TokenKind::Api,
                    owner: owner.clone(),
                    list_index: ListIndex { list: 1, index: 1 },
                    issued_at: 1,
                    expires_at: None,
                    revoked_from: None,
                    management: ManagementScopes::default(),
                    is_for_issuer: false,
                    is_restricted: false,
                    key: Arc::clone(&key),
                    liveness: Liveness::Live,
                    noted: LastNoted::new(None),
                    read_at: Generation(1),
                    organization: Generation(1),
                    person: Generation(1),
                };
                cache.insert(TokenDigest::of(&number.to_string()), Arc::new(token));
            }
            let held = cache.len();
            assert!(
                held <= capacity && held > capacity * 9 / 10,
                "{held} of {capacity}"
            );
            let each = cache.bytes() / held;
            println!("{held} tokens: {each} bytes each");
            assert!(each <= MOST, "{each} bytes a token in a cache of {capacity}");
        }
    }

    #[test]
    fn management_scopes_are_found_among_other_names() {
        let names: Vec<String> = ["tokens:write", "content:read", "usage:write"]
            .map(str::to_owned)
            .to_vec();
        let scopes = ManagementScopes::among(&names);
        let held = ManagementScope::ALL
            .into_iter()
            .filter(|scope| scopes.contains(*scope));
        let held: Vec<&str> = held.map(ManagementScope::as_str).collect();
        assert_eq!(held, ["tokens:write", "usage:write"]);
        assert_eq!(ManagementScopes::among(&[]), ManagementScopes::default());
    }

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
