//! Who is asking, and with which permission: what a handler demands stands in its signature.

use std::marker::PhantomData;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jeton_verifier::{Malformed, Rejection};
use zeroize::Zeroizing;

use crate::authority::{self, Error, Inactive, Presented, policy};
use crate::http::error::ExpiresIn;
use crate::http::origin::RequestOrigin;
use crate::http::{App, Failure};
use jeton_core::token::{ManagementScope, TokenKind};

/// The caller of a handler that cannot run without the permission `P`.
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

/// In place of a caller where anybody may ask, so that this too stands in the signature.
#[derive(Debug, Clone, Copy)]
pub struct Anyone;

/// What a handler demands of its caller, beside an active token.
pub trait Permission {
    /// What is said of `Authorization` headers that cannot be read.
    fn unreadable() -> Failure {
        Failure::AmbiguousCredential
    }

    /// What the caller's token is presented for, with the address where that is to be kept.
    fn presented(from: Option<IpAddr>) -> Presented {
        Presented::ForUse(from)
    }

    /// Refuses a caller who does not have it.
    fn demand(caller: &authority::Caller) -> Result<(), Error>;
}

/// Any active token, whatever it is meant for: for what holders may do with the token itself.
#[derive(Debug)]
pub struct Holder;

/// The same, where the token is presented to be ended.
#[derive(Debug)]
pub struct Ender;

/// Any active API token, whatever it is meant for. A session is for the authority itself, and to
/// everybody else no token at all.
#[derive(Debug)]
pub struct ApiToken;

/// Any active token that is meant for the authority's own API.
#[derive(Debug)]
pub struct Authenticated;

/// A person who has logged in.
#[derive(Debug)]
pub struct LoggedIn;

impl Permission for Holder {
    fn demand(_: &authority::Caller) -> Result<(), Error> {
        Ok(())
    }
}

impl Permission for Ender {
    fn presented(_: Option<IpAddr>) -> Presented {
        Presented::ToEnd
    }

    fn demand(_: &authority::Caller) -> Result<(), Error> {
        Ok(())
    }
}

impl Permission for ApiToken {
    /// Only a proxy asks, which knows no status but 401 and 403 that its client can be the cause of.
    fn unreadable() -> Failure {
        Error::BadCredential(Inactive::Rejected(Rejection::Malformed(Malformed::Encoding))).into()
    }

    fn demand(caller: &authority::Caller) -> Result<(), Error> {
        match caller.token().kind() {
            TokenKind::Api => Ok(()),
            TokenKind::Session => Err(Error::BadCredential(Inactive::Rejected(Rejection::WrongType))),
        }
    }
}

impl Permission for Authenticated {
    fn demand(caller: &authority::Caller) -> Result<(), Error> {
        // A token that some other service was handed must not work here.
        if caller.is_for_issuer() {
            Ok(())
        } else {
            Err(Error::WrongAudience)
        }
    }
}

impl Permission for LoggedIn {
    fn demand(caller: &authority::Caller) -> Result<(), Error> {
        policy::logged_in(caller)
    }
}

/// Both.
impl<P: Permission, Q: Permission> Permission for (P, Q) {
    fn demand(caller: &authority::Caller) -> Result<(), Error> {
        P::demand(caller)?;
        Q::demand(caller)
    }
}

/// A permission for each management scope that endpoints demand. A session has them all, within what
/// its person may do.
macro_rules! scoped {
    ($($name:ident),*) => {$(
        #[doc = concat!("A session, or a token with the scope of this name.")]
        #[derive(Debug)]
        pub struct $name;

        impl Permission for $name {
            fn demand(caller: &authority::Caller) -> Result<(), Error> {
                Authenticated::demand(caller)?;
                let scope = ManagementScope::$name;
                if caller.holds(scope) { Ok(()) } else { Err(Error::ScopeNeeded(scope.as_str().into())) }
            }
        }
    )*};
}

scoped!(
    TokensRead,
    TokensWrite,
    TokensIntrospect,
    OrganizationsRead,
    OrganizationsWrite,
    UsageWrite
);

impl<P: Permission> FromRequestParts<Arc<App>> for Caller<P> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let caller = Self::known(parts, app).await?;
        Ok(caller.ok_or(Error::NoCredential)?)
    }
}

/// For what anybody may do, and a caller in their own name. A credential that is not active is
/// refused all the same: whoever sends one means to be known.
impl<P: Permission> OptionalFromRequestParts<Arc<App>> for Caller<P> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Option<Self>, Failure> {
        Self::known(parts, app).await
    }
}

impl<P: Permission> Caller<P> {
    /// The caller, or `None` where the request carries no credential.
    async fn known(parts: &Parts, app: &Arc<App>) -> Result<Option<Self>, Failure> {
        let Some(credential) = credential(&parts.headers).map_err(|Unreadable| P::unreadable())? else {
            return Ok(None);
        };
        let origin = RequestOrigin::of_request(parts, &app.trusted_proxies);
        let from = match app.authority.settings().record_addresses {
            true => Some(origin.address()),
            false => None,
        };
        let caller = app
            .authority
            .authenticate(credential.token(), P::presented(from), origin.0)
            .await?;
        if let (Some(slot), Some(seconds)) = (parts.extensions.get::<ExpiresIn>(), caller.expires_in()) {
            // Set at most once: a request has one caller.
            let _ = slot.set(seconds);
        }
        app.rate_limits.admit_caller(&caller, &parts.extensions)?;
        P::demand(&caller)?;
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

/// The token of a request, as it came.
enum Credential<'a> {
    /// Where it stands in the header.
    Bearer(&'a str),
    Basic(Zeroizing<String>),
}

impl Credential<'_> {
    fn token(&self) -> &str {
        match self {
            Self::Bearer(token) => token,
            Self::Basic(token) => token,
        }
    }
}

/// Two `Authorization` headers, or one that makes no sense.
#[derive(Debug)]
struct Unreadable;

/// The token of a request: `Bearer`, or Basic with the token as username and an empty password, or
/// as password with any username.
fn credential(headers: &HeaderMap) -> Result<Option<Credential<'_>>, Unreadable> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return if headers.contains_key(header::AUTHORIZATION) {
            Err(Unreadable)
        } else {
            Ok(None)
        };
    };
    let value = value.to_str().map_err(|_| Unreadable)?;
    let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
    let rest = rest.trim_matches(' ');
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(Some(Credential::Bearer(rest)));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let decoded = Zeroizing::new(STANDARD.decode(rest).map_err(|_| Unreadable)?);
    let text = std::str::from_utf8(&decoded).map_err(|_| Unreadable)?;
    let (username, password) = text.split_once(':').ok_or(Unreadable)?;
    let token = if password.is_empty() { username } else { password };
    Ok(Some(Credential::Basic(Zeroizing::new(token.to_owned()))))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        match credential(&headers) {
            Ok(credential) => Ok(credential.map(|credential| credential.token().to_owned())),
            Err(Unreadable) => Err("ambiguous"),
        }
    }

    #[test]
    fn bearer_and_both_forms_of_basic() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["Digest a=b"]), Ok(None));
        for header in [
            "Bearer abc",
            "bearer  abc ",
            &basic("abc:"),
            &basic("anybody:abc"),
            &basic(":abc"),
        ] {
            assert_eq!(read(&[header]), Ok(Some("abc".to_owned())), "{header}");
        }
        for headers in [
            &["Bearer a", "Bearer a"][..],
            &["Basic !"],
            &[&basic("no colon")],
            &["Basic"],
        ] {
            assert_eq!(read(headers), Err("ambiguous"), "{headers:?}");
        }
    }
}
