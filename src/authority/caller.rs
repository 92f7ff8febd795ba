//! Whoever makes a request.

use std::sync::Arc;

use crate::authority::{Active, PresentedToken};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Person, UserId};
use jeton_core::token::{Actor, ManagementScope, Owner, TokenId, TokenKind};
use jeton_store::{Cause, Origin};

/// Whoever makes a request: the holder of an active token.
#[derive(Debug, Clone)]
pub struct Caller {
    active: Active,
    origin: Origin,
}

impl Caller {
    /// The holder of an active token, which is all that makes a caller.
    pub fn new(active: Active, origin: Origin) -> Self {
        Self { active, origin }
    }

    /// Through what they came, and from where.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// In whose name an order of theirs is carried out.
    pub(super) fn cause(&self, at: Timestamp) -> Cause {
        Cause {
            at,
            by: self.actor(),
            token: Some(self.token().id()),
            origin: self.origin.clone(),
            reason: None,
            idempotency_key: None,
        }
    }

    /// The API token that they came with; `None` with a session.
    pub(super) fn api_token(&self) -> Option<TokenId> {
        match self.token().kind() {
            TokenKind::Api => Some(self.token().id()),
            TokenKind::Session => None,
        }
    }

    /// That their token is active.
    pub(super) fn active(&self) -> &Active {
        &self.active
    }

    /// The token they came with.
    pub fn token(&self) -> &PresentedToken {
        self.active.token()
    }

    /// When the token ends, as far as is known now; `None` is never.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.active.ends_at
    }

    /// How many seconds the token is still good for, as far as is known now; `None` is for ever.
    pub fn expires_in(&self) -> Option<u64> {
        self.active.expires_in
    }

    /// The person the token acts for, where it acts for one.
    pub fn person(&self) -> Option<&Arc<Person>> {
        self.active.person()
    }

    /// The person who has logged in, where it is a session.
    pub fn logged_in(&self) -> Option<&Arc<Person>> {
        match self.token().kind() {
            TokenKind::Session => self.person(),
            TokenKind::Api => None,
        }
    }

    /// What the token acts for.
    pub fn owner(&self) -> &Owner {
        self.token().owner()
    }

    /// Whether the token is for the authority's own API at all.
    pub fn is_for_issuer(&self) -> bool {
        self.token().kind() == TokenKind::Session || self.token().is_for_issuer()
    }

    /// Whether the token is for a service.
    pub fn is_for(&self, audience: &str) -> bool {
        self.token().kind() == TokenKind::Session || self.token().audience().iter().any(|one| one == audience)
    }

    /// Whether a scope is held. A session is bounded by what its person may do, not by scopes.
    pub fn holds(&self, scope: ManagementScope) -> bool {
        self.token().kind() == TokenKind::Session || self.token().manages(scope)
    }

    /// Whether the token could hand this scope on.
    pub fn may_grant(&self, scope: &str) -> bool {
        self.token().kind() == TokenKind::Session || self.holds_named(scope)
    }

    /// How the caller is named in records.
    pub fn actor(&self) -> Actor {
        match self.logged_in() {
            Some(person) => Actor {
                name: person.email.to_string(),
                user: Some(person.id.clone()),
            },
            None => Actor {
                name: format!("token {}", self.token().id()),
                user: self.person().map(|person| person.id.clone()),
            },
        }
    }

    /// The person's id, where the token acts for a person.
    pub fn user(&self) -> Option<&UserId> {
        self.owner().user()
    }

    fn holds_named(&self, scope: &str) -> bool {
        self.token().scopes().iter().any(|held| held == scope)
    }
}
