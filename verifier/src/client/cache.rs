//! The cache of verified tokens, by digest.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use aws_lc_rs::digest::{SHA256, digest};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::{Claims, Header};

/// The SHA-256 digest of all bytes of a token without its prefix. A second text with the digest of a verified token
/// cannot be constructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenDigest([u8; 32]);

impl TokenDigest {
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(bytes)
    }
}

/// A token whose signature, type, issuer and audience were checked. Expiry, key and revocation are checked at each
/// use.
#[derive(Debug)]
pub(super) struct VerifiedToken {
    pub(super) header: Header,
    pub(super) claims: Arc<Claims>,
    /// The last use that was not reported, in milliseconds since the Unix epoch; 0: none.
    pub(super) unreported_use: AtomicI64,
}

impl VerifiedToken {
    /// Returns the approximate memory of an entry with its digest, in bytes.
    fn bytes(&self) -> u64 {
        let Claims {
            issuer,
            subject,
            audience,
            client_id,
            scope,
            team,
            projects,
            status,
            ..
        } = &*self.claims;
        let texts = [issuer, subject, client_id, &status.uri];
        let lists = audience.iter().chain(scope.iter().flatten());
        let texts = texts.into_iter().chain(lists).chain(team);
        let texts: usize = texts.map(|text| text.len() + size_of::<String>()).sum();
        let projects = projects.as_ref().map_or(0, |projects| projects.len() * 4);
        (size_of::<Self>() + size_of::<Claims>() + 128 + texts + projects) as u64
    }
}

#[derive(Debug, Clone)]
struct Weight {
    /// The least weight of an entry, so that the bound in bytes bounds the entries too.
    least: u64,
}

impl Weighter<TokenDigest, Arc<VerifiedToken>> for Weight {
    fn weight(&self, _: &TokenDigest, token: &Arc<VerifiedToken>) -> u64 {
        token.bytes().max(self.least)
    }
}

/// Verified tokens by digest, bounded in entries and in bytes.
pub(super) struct TokenCache(Cache<TokenDigest, Arc<VerifiedToken>, Weight>);

impl TokenCache {
    pub(super) fn new(entries: usize, bytes: u64) -> Self {
        let least = bytes.div_ceil(u64::try_from(entries.max(1)).unwrap_or(u64::MAX));
        Self(Cache::with_weighter(entries, bytes, Weight { least }))
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

    /// Returns the weight of all entries, which is not below their bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.0.weight()
    }
}
