//! The caller of an operation: an active token and the origin of its request.

use std::sync::Arc;

use crate::authority::{Active, PresentedToken, RequestKey};
use jeton_core::clock::Timestamp;
use jeton_core::directory::{Person, UserId};
use jeton_core::token::{Actor, ManagementScope, Owner, TokenId, TokenKind};
use jeton_store::{Cause, Idempotency, Origin};

/// The holder of an active token, and the origin of their request.
#[derive(Debug, Clone)]
pub struct Caller {
    active: Active,
    origin: Origin,
    /// The idempotency key of the request.
    key: Option<RequestKey>,
}

impl Caller {
    /// Returns the caller for an active token.
    pub fn new(active: Active, origin: Origin) -> Self {
        Self {
            active,
            origin,
            key: None,
        }
    }

    /// Returns the caller of a request with an idempotency key.
    #[must_use]
    pub fn with_key(self, key: Option<RequestKey>) -> Self {
        Self { key, ..self }
    }

    /// Returns the same caller for a further order of the request: its key is recorded with the first.
    #[must_use]
    pub fn without_key(&self) -> Self {
        self.clone().with_key(None)
    }

    /// Returns the same caller, authenticated again.
    pub(super) fn renewed(&self, active: Active) -> Self {
        Self {
            active,
            origin: self.origin.clone(),
            key: self.key.clone(),
        }
    }

    /// Returns the idempotency key of the request.
    pub(super) fn idempotency(&self) -> Option<Idempotency> {
        self.key.as_ref().map(RequestKey::idempotency)
    }

    /// Returns the API and the address that the request came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the cause that an order of this caller records.
    pub(super) fn cause(&self, at: Timestamp) -> Cause {
        Cause {
            at,
            by: self.actor(),
            token: Some(self.token().id()),
            origin: self.origin.clone(),
            reason: None,
            idempotency: self.idempotency(),
        }
    }

    /// Returns the id of the API token of the request; `None` for a session.
    pub(super) fn api_token(&self) -> Option<TokenId> {
        match self.token().kind() {
            TokenKind::Api => Some(self.token().id()),
            TokenKind::Session => None,
        }
    }

    /// Returns the active token, with the time until which it is active.
    pub fn active(&self) -> &Active {
        &self.active
    }

    /// Returns the token of the request.
    pub fn token(&self) -> &PresentedToken {
        self.active.token()
    }

    /// Returns when the token expires or its scheduled revocation takes effect; `None` is never.
    pub fn ends_at(&self) -> Option<Timestamp> {
        self.active.ends_at
    }

    /// Returns the seconds from the check of the token to [`Self::ends_at`]; `None` if it never ends.
    pub fn expires_in(&self) -> Option<u64> {
        self.active.expires_in
    }

    /// Returns the user that the token acts for, if its owner is a user.
    pub fn person(&self) -> Option<&Arc<Person>> {
        self.active.person()
    }

    /// Returns the logged-in user; `None` for an API token.
    pub fn logged_in(&self) -> Option<&Arc<Person>> {
        match self.token().kind() {
            TokenKind::Session => self.person(),
            TokenKind::Api => None,
        }
    }

    /// Returns the owner of the token.
    pub fn owner(&self) -> &Owner {
        self.token().owner()
    }

    /// Returns whether the audience includes the authority's own API.
    pub fn is_for_issuer(&self) -> bool {
        self.token().kind() == TokenKind::Session || self.token().is_for_issuer()
    }

    /// Returns whether the audience includes a service. A session is for every service.
    pub fn is_for(&self, audience: &str) -> bool {
        self.token().kind() == TokenKind::Session || self.token().audience().iter().any(|one| one == audience)
    }

    /// Returns whether the token has a scope. A session is limited by the rights of its user, not by scopes.
    pub fn holds(&self, scope: ManagementScope) -> bool {
        self.token().kind() == TokenKind::Session || self.token().manages(scope)
    }

    /// Returns whether the caller may grant a scope to a new token.
    pub fn may_grant(&self, scope: &str) -> bool {
        self.token().kind() == TokenKind::Session || self.holds_named(scope)
    }

    /// Returns the caller as records name it: the user of a session, or the API token.
    pub fn actor(&self) -> Actor {
        match self.logged_in() {
            Some(person) => Actor {
                name: person.email.to_string(),
                user: Some(person.id.clone()),
            },
            None => Actor {
                name: self.token().id().actor(),
                user: self.person().map(|person| person.id.clone()),
            },
        }
    }

    /// Returns the id of the user that the token acts for, if its owner is a user.
    pub fn user(&self) -> Option<&UserId> {
        self.owner().user()
    }

    fn holds_named(&self, scope: &str) -> bool {
        self.token().scopes().iter().any(|held| held == scope)
    }
}
