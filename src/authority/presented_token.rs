//! A token that somebody presents: its claims, and what the store knows beside them.

use std::sync::Arc;

use jeton_verifier::Claims;
use uuid::Uuid;

use crate::authority::token_cache::VerifiedToken;
use jeton_core::clock::Timestamp;
use jeton_core::directory::{OrganizationId, UserId};
use jeton_core::token::{CutOffSubject, Owner, TokenId, TokenKind};

/// A verified token that somebody presents. Its claims are those of its record, which stays the
/// store's: names and last use are read there when they are shown.
#[derive(Debug)]
pub struct PresentedToken {
    pub(super) verified: Arc<VerifiedToken>,
    pub(super) claims: Claims,
    owner: Owner,
}

impl PresentedToken {
    /// Returns `None` where the claims name no owner, as those of no record do.
    pub(super) fn new(verified: Arc<VerifiedToken>, claims: Claims) -> Option<Self> {
        let owner = owner(&claims)?;
        Some(Self {
            verified,
            claims,
            owner,
        })
    }

    /// The number of its record.
    pub fn id(&self) -> TokenId {
        self.verified.id
    }

    /// The `jti` claim.
    pub fn jti(&self) -> Uuid {
        self.claims.jti
    }

    /// What it is for.
    pub fn kind(&self) -> TokenKind {
        self.verified.kind
    }

    /// What it acts for.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The owner's public id: the claims `sub` and `client_id`.
    pub fn subject(&self) -> &str {
        &self.claims.subject
    }

    /// The scopes it carries, in the order of the claim.
    pub fn scopes(&self) -> &[String] {
        self.claims.scope.as_deref().unwrap_or_default()
    }

    /// The projects it is restricted to; `None` is unrestricted, an empty list is restricted to nothing.
    pub fn projects(&self) -> Option<&[u32]> {
        self.claims.projects.as_deref()
    }

    /// The services it is meant for; never empty.
    pub fn audience(&self) -> &[String] {
        &self.claims.audience
    }

    /// When it was issued, in whole seconds since the Unix epoch (`iat`).
    pub fn issued_at(&self) -> i64 {
        self.claims.issued_at
    }

    /// When it ends by itself; `None` is never.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.verified.expires_at
    }

    /// What decides whether a cut-off covers it.
    pub(super) fn cut_off_subject(&self) -> CutOffSubject<'_> {
        CutOffSubject {
            owner: &self.owner,
            projects: self.projects(),
            kid: self.verified.key.kid().as_str(),
            kind: self.kind(),
            issued_at: self.claims.issued_at,
        }
    }
}

/// The owner that the claims name; the reverse of [`claims`](super::claims::claims).
fn owner(claims: &Claims) -> Option<Owner> {
    let organization = claims.organization.map(OrganizationId);
    if let Some(team) = &claims.team {
        return Some(Owner::Team {
            team: team.parse().ok()?,
            organization: organization?,
        });
    }
    if let Ok(user) = claims.subject.parse::<UserId>() {
        return Some(Owner::User { user, organization });
    }
    match organization {
        Some(organization) => Some(Owner::Organization(organization)),
        None => (claims.subject == "deployment").then_some(Owner::Deployment),
    }
}
