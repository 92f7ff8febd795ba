//! A presented token: the cached facts from its record, and its claims.

use std::sync::{Arc, OnceLock};

use jeton_verifier::{Claims, NEVER};
use uuid::Uuid;

use crate::authority::token_cache::VerifiedToken;
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOffSubject, ManagementScope, Owner, TokenId, TokenKind};

/// A verified token of a request. Its claims equal those of its record; names and last use are not here,
/// but read from the store when they are shown.
///
/// The claims are parsed when one of them is needed: most requests to the authority's own API need only
/// what the cache holds.
#[derive(Debug)]
pub struct PresentedToken {
    pub(super) verified: Arc<VerifiedToken>,
    text: Box<str>,
    claims: OnceLock<Option<Claims>>,
}

impl PresentedToken {
    /// Returns a presented token. `text` must be the verified token, byte for byte, without its prefix.
    pub(super) fn new(verified: Arc<VerifiedToken>, text: &str) -> Self {
        Self {
            verified,
            text: text.into(),
            claims: OnceLock::new(),
        }
    }

    /// Returns a presented token whose claims are already parsed.
    pub(super) fn with_claims(verified: Arc<VerifiedToken>, text: &str, claims: Claims) -> Self {
        Self {
            claims: OnceLock::from(Some(claims)),
            ..Self::new(verified, text)
        }
    }

    /// Returns the claims. `None` cannot occur, since the same text was parsed before; it grants nothing.
    pub(super) fn claims(&self) -> Option<&Claims> {
        let claims = self.claims.get_or_init(|| Claims::of_verified(&self.text).ok());
        claims.as_ref()
    }

    /// Returns the text without its prefix.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the id of its record.
    pub fn id(&self) -> TokenId {
        self.verified.id
    }

    /// Returns the `jti` claim.
    pub fn jti(&self) -> Uuid {
        self.claims().map_or(Uuid::nil(), |claims| claims.jti)
    }

    /// Returns whether it is an API token or a session.
    pub fn kind(&self) -> TokenKind {
        self.verified.kind
    }

    /// Returns the owner.
    pub fn owner(&self) -> &Owner {
        &self.verified.owner
    }

    /// Returns the owner's public id: the claims `sub` and `client_id`.
    pub fn subject(&self) -> &str {
        self.claims().map_or("", |claims| &claims.subject)
    }

    /// Returns the scopes, in the order of the claim.
    pub fn scopes(&self) -> &[String] {
        let scopes = self.claims().and_then(|claims| claims.scope.as_deref());
        scopes.unwrap_or_default()
    }

    /// Returns whether it has a scope for the authority's own API.
    pub fn manages(&self, scope: ManagementScope) -> bool {
        self.verified.management.contains(scope)
    }

    /// Returns the projects that it is restricted to: `None` is unrestricted, an empty list allows none.
    pub fn projects(&self) -> Option<&[u32]> {
        if !self.verified.is_restricted {
            return None;
        }
        let projects = self.claims().and_then(|claims| claims.projects.as_deref());
        Some(projects.unwrap_or_default())
    }

    /// Returns the audience; never empty for a parsed token.
    pub fn audience(&self) -> &[String] {
        self.claims().map_or(&[], |claims| &claims.audience)
    }

    /// Returns whether the audience includes the authority itself.
    pub fn is_for_issuer(&self) -> bool {
        self.verified.is_for_issuer
    }

    /// Returns `iat`, in whole seconds since the Unix epoch.
    pub fn issued_at(&self) -> i64 {
        self.verified.issued_at
    }

    /// Returns when it expires; `None` is never.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.verified.expires_at
    }

    /// Returns `exp`: the first second in which it is expired.
    pub(super) fn exp(&self) -> i64 {
        self.verified.expires_at.map_or(NEVER, Timestamp::seconds)
    }

    /// Returns the facts that decide whether a cut-off covers it.
    pub(super) fn cut_off_subject(&self) -> CutOffSubject<'_> {
        CutOffSubject {
            owner: self.owner(),
            projects: self.projects(),
            kid: self.verified.key.kid().as_str(),
            kind: self.kind(),
            issued_at: self.verified.issued_at,
        }
    }
}
