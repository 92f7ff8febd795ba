//! A token that somebody presents: what the store knows of it, and its claims.

use std::sync::{Arc, OnceLock};

use jeton_verifier::{Claims, NEVER};
use uuid::Uuid;

use crate::authority::token_cache::VerifiedToken;
use jeton_core::clock::Timestamp;
use jeton_core::token::{CutOffSubject, ManagementScope, Owner, TokenId, TokenKind};

/// A verified token that somebody presents. Its claims are those of its record, which stays the
/// store's: names and last use are read there when they are shown.
///
/// The claims are read out of its text when somebody asks for one of them. A caller of the authority's own
/// API is mostly asked for nothing that the cache does not hold.
#[derive(Debug)]
pub struct PresentedToken {
    pub(super) verified: Arc<VerifiedToken>,
    text: Box<str>,
    claims: OnceLock<Option<Claims>>,
}

impl PresentedToken {
    /// The text is that of the token that was verified, to the last byte.
    pub(super) fn new(verified: Arc<VerifiedToken>, text: &str) -> Self {
        Self {
            verified,
            text: text.into(),
            claims: OnceLock::new(),
        }
    }

    /// The same, of which the claims have been read already.
    pub(super) fn with_claims(verified: Arc<VerifiedToken>, text: &str, claims: Claims) -> Self {
        Self {
            claims: OnceLock::from(Some(claims)),
            ..Self::new(verified, text)
        }
    }

    /// The claims. `None` cannot be: they were read out of this very text before. Nothing is granted to it.
    pub(super) fn claims(&self) -> Option<&Claims> {
        let claims = self.claims.get_or_init(|| Claims::of_verified(&self.text).ok());
        claims.as_ref()
    }

    /// The text, without its prefix.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The number of its record.
    pub fn id(&self) -> TokenId {
        self.verified.id
    }

    /// The `jti` claim.
    pub fn jti(&self) -> Uuid {
        self.claims().map_or(Uuid::nil(), |claims| claims.jti)
    }

    /// What it is for.
    pub fn kind(&self) -> TokenKind {
        self.verified.kind
    }

    /// What it acts for.
    pub fn owner(&self) -> &Owner {
        &self.verified.owner
    }

    /// The owner's public id: the claims `sub` and `client_id`.
    pub fn subject(&self) -> &str {
        self.claims().map_or("", |claims| &claims.subject)
    }

    /// The scopes it carries, in the order of the claim.
    pub fn scopes(&self) -> &[String] {
        let scopes = self.claims().and_then(|claims| claims.scope.as_deref());
        scopes.unwrap_or_default()
    }

    /// Whether it carries a scope for the authority's own API.
    pub fn manages(&self, scope: ManagementScope) -> bool {
        self.verified.management.contains(scope)
    }

    /// The projects it is restricted to; `None` is unrestricted, an empty list is restricted to nothing.
    pub fn projects(&self) -> Option<&[u32]> {
        if !self.verified.is_restricted {
            return None;
        }
        let projects = self.claims().and_then(|claims| claims.projects.as_deref());
        Some(projects.unwrap_or_default())
    }

    /// The services it is meant for; never empty.
    pub fn audience(&self) -> &[String] {
        self.claims().map_or(&[], |claims| &claims.audience)
    }

    /// Whether it is meant for the authority itself.
    pub fn is_for_issuer(&self) -> bool {
        self.verified.is_for_issuer
    }

    /// When it was issued, in whole seconds since the Unix epoch (`iat`).
    pub fn issued_at(&self) -> i64 {
        self.verified.issued_at
    }

    /// When it ends by itself; `None` is never.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.verified.expires_at
    }

    /// The first second in which it is no longer good (`exp`).
    pub(super) fn exp(&self) -> i64 {
        self.verified.expires_at.map_or(NEVER, Timestamp::seconds)
    }

    /// What decides whether a cut-off covers it.
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
