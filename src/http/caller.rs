//! The caller of a request and its permissions: a handler's signature declares what it requires.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use jeton_verifier::{Malformed, Rejection, UnreadableCredential, credential};

use crate::authority::{self, Error, Inactive, Presented};
use crate::http::idempotency_key;
use crate::http::origin::RequestOrigin;
use crate::http::requests::RequestContext;
use crate::http::unconfirmed::Unconfirmed;
use crate::http::{App, Failure};
use jeton_core::token::{ManagementScope, TokenKind};

/// The caller, for a handler that requires the permission `P`.
#[derive(Debug)]
pub struct Caller<P> {
    caller: authority::Caller,
    permission: PhantomData<P>,
}

impl<P> Deref for Caller<P> {
    type Target = authority::Caller;

    fn deref(&self) -> &authority::Caller {
        &self.caller
    }
}

/// Declares in a handler's signature that it needs no credential.
#[derive(Debug, Clone, Copy)]
pub struct Anyone;

/// A permission that a handler requires in addition to an active token.
pub trait Permission {
    /// Returns the error for an unreadable `Authorization` header.
    fn unreadable_credential() -> Failure {
        Failure::AmbiguousCredential
    }

    /// Returns the purpose for which the token is presented, with the client address if addresses are
    /// recorded.
    fn presented(from: Option<IpAddr>) -> Presented {
        Presented::ForUse(from)
    }

    /// Whether what is done with the permission, by other methods than GET, can revoke tokens.
    const REVOKES: bool = true;

    /// Whether the operation takes an idempotency key.
    const TAKES_KEY: bool = false;

    /// Whether the operation is refused if its caller has used too many idempotency keys.
    const LIMITS_KEYS: bool = true;

    /// The requirements of the permission, in the order in which they are checked.
    const NEEDS: &'static [Need] = &[];

    /// Returns all requirements, for the OpenAPI document.
    fn needs() -> Vec<Need> {
        Self::NEEDS.to_vec()
    }

    /// Refuses a caller without the permission.
    fn check(caller: &authority::Caller) -> Result<(), Error> {
        Self::NEEDS.iter().try_for_each(|need| need.check(caller))
    }
}

/// A requirement of a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The audience includes the authority's API: a token issued for another service must not work here.
    OwnAudience,
    /// A session.
    Session,
    /// An API token.
    ApiToken,
    /// A scope. A session has all of them, within its user's role.
    Scope(ManagementScope),
}

impl Need {
    fn check(self, caller: &authority::Caller) -> Result<(), Error> {
        let is_session = caller.token().kind() == TokenKind::Session;
        match self {
            Self::OwnAudience if caller.is_for_issuer() => Ok(()),
            Self::Session if is_session => Ok(()),
            Self::ApiToken if !is_session => Ok(()),
            Self::Scope(scope) if caller.holds(scope) => Ok(()),
            unmet => Err(unmet.refusal()),
        }
    }

    /// Returns the name of [`Self::refusal`] among the examples of failures.
    pub(super) fn refusal_name(self) -> &'static str {
        match self {
            Self::OwnAudience => "wrong_audience",
            Self::Session => "session_needed",
            Self::ApiToken => "api_token_needed",
            Self::Scope(scope) => scope.as_str(),
        }
    }

    /// Returns the error of a caller that does not meet the requirement.
    fn refusal(self) -> Error {
        match self {
            Self::OwnAudience => Error::WrongAudience,
            Self::Session => Error::SessionNeeded,
            Self::ApiToken => Error::ApiTokenNeeded,
            Self::Scope(scope) => Error::ScopeNeeded(scope.as_str().into()),
        }
    }
}

/// Any active token with any audience: for operations on the token itself.
#[derive(Debug)]
pub struct Holder;

/// Same as [`Holder`], for operations that only read.
#[derive(Debug)]
pub struct AnyToken;

/// Same as [`ApiToken`], for a token that is presented to be revoked.
#[derive(Debug)]
pub struct Ender;

/// Any active API token with any audience.
#[derive(Debug)]
pub struct ApiToken;

/// Same as [`ApiToken`], for the client of a proxy.
#[derive(Debug)]
pub struct ClientOfProxy;

/// Any active token whose audience includes the authority's API.
#[derive(Debug)]
pub struct Authenticated;

/// A user's session.
#[derive(Debug)]
pub struct LoggedIn;

impl Permission for Holder {}

impl Permission for AnyToken {
    const REVOKES: bool = false;
}

impl Permission for Ender {
    const NEEDS: &'static [Need] = ApiToken::NEEDS;

    fn presented(_: Option<IpAddr>) -> Presented {
        Presented::ToEnd
    }
}

impl Permission for ApiToken {
    const NEEDS: &'static [Need] = &[Need::ApiToken];
}

impl Permission for ClientOfProxy {
    const REVOKES: bool = false;
    const NEEDS: &'static [Need] = ApiToken::NEEDS;

    /// The caller is a proxy, which attributes only 401 and 403 to its client.
    fn unreadable_credential() -> Failure {
        Error::BadCredential(Inactive::Rejected(Rejection::Malformed(Malformed::Encoding))).into()
    }
}

impl Permission for Authenticated {
    const NEEDS: &'static [Need] = &[Need::OwnAudience];
}

impl Permission for LoggedIn {
    const NEEDS: &'static [Need] = &[Need::Session];
}

/// The same permission, for an operation that is carried out once for each idempotency key: one that creates or
/// rotates something, or revokes tokens, with a single order.
#[derive(Debug)]
pub struct Once<P, const LIMITS_KEYS: bool = true>(PhantomData<P>);

/// [`Once`] for an operation that only revokes: it is never refused because of the number of its caller's keys.
pub type RevokesOnce<P> = Once<P, false>;

impl<P: Permission, const LIMITS_KEYS: bool> Permission for Once<P, LIMITS_KEYS> {
    const REVOKES: bool = P::REVOKES;
    const TAKES_KEY: bool = true;
    const LIMITS_KEYS: bool = LIMITS_KEYS;

    fn unreadable_credential() -> Failure {
        P::unreadable_credential()
    }

    fn presented(from: Option<IpAddr>) -> Presented {
        P::presented(from)
    }

    fn needs() -> Vec<Need> {
        P::needs()
    }

    fn check(caller: &authority::Caller) -> Result<(), Error> {
        P::check(caller)
    }
}

/// Both permissions.
impl<P: Permission, Q: Permission> Permission for (P, Q) {
    const REVOKES: bool = P::REVOKES || Q::REVOKES;

    fn needs() -> Vec<Need> {
        [P::needs(), Q::needs()].concat()
    }

    fn check(caller: &authority::Caller) -> Result<(), Error> {
        P::check(caller)?;
        Q::check(caller)
    }
}

/// Declares a permission for each management scope that endpoints require. A session has all of them,
/// within its user's role.
macro_rules! scoped {
    ($($name:ident $revokes:literal),*) => {$(
        #[doc = concat!("A session, or a token with the scope of this name.")]
        #[derive(Debug)]
        pub struct $name;

        impl Permission for $name {
            const REVOKES: bool = $revokes;
            const NEEDS: &'static [Need] = &[Need::OwnAudience, Need::Scope(ManagementScope::$name)];
        }
    )*};
}

scoped!(
    TokensRead false,
    TokensWrite true,
    TokensIntrospect false,
    OrganizationsRead false,
    OrganizationsWrite true,
    AuditRead false,
    RevocationsRead false,
    UsageWrite false
);

impl<P: Permission> FromRequestParts<Arc<App>> for Caller<P> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let caller = Self::authenticate(parts, app).await?;
        Ok(caller.ok_or(Error::NoCredential)?)
    }
}

/// A caller where a credential is optional. An inactive credential is refused all the same: its sender
/// means to be authenticated.
impl<P: Permission> OptionalFromRequestParts<Arc<App>> for Caller<P> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, Failure> {
        Self::authenticate(parts, app).await
    }
}

impl<P: Permission> Caller<P> {
    /// Returns the caller, or `None` if the request has no credential.
    async fn authenticate(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, Failure> {
        let Some(credential) =
            credential(&parts.headers).map_err(|UnreadableCredential| P::unreadable_credential())?
        else {
            return Ok(None);
        };
        let origin = RequestOrigin::of_request(parts, &app.adjustable.load().trusted_proxies);
        let address = origin.address();
        let from = match app.authority.settings().record_addresses {
            true => Some(address),
            false => None,
        };
        let caller = app
            .authority
            .authenticate(credential.token(), P::presented(from), origin.0)
            .await?;
        if let Some(context) = parts.extensions.get::<Arc<RequestContext>>() {
            // Set at most once, since a request has one caller.
            let _ = context.caller.set(caller.active().clone());
            let _ = context.address.set(address);
        }
        app.adjustable
            .load()
            .rate_limits
            .admit_caller(&caller, &parts.extensions)?;
        P::check(&caller)?;
        let key = match P::TAKES_KEY {
            true => idempotency_key::of_request(parts, caller.owner(), P::LIMITS_KEYS)?,
            false => None,
        };
        let caller = caller.with_key(key.clone());
        if !parts.method.is_safe() {
            let active = caller.active().clone();
            let app = Arc::clone(app);
            if let (true, Some(context)) = (P::REVOKES, parts.extensions.get::<Arc<RequestContext>>()) {
                let _ = context.writes.set(Arc::clone(&app));
            }
            parts.extensions.insert(Unconfirmed::new(app, active, key));
        }
        Ok(Some(Self {
            caller,
            permission: PhantomData,
        }))
    }
}

impl<S: Sync> FromRequestParts<S> for Anyone {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self)
    }
}
