//! The expiry of a new token.

use crate::authority::bounds::Bounds;
use crate::authority::{Caller, FieldFault};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Lifetime, Span, TokenKind};

/// The requested expiry of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// None requested: the default lifetime, shortened to the maximum.
    Default,
    /// None requested, by a client of an API whose tokens do not expire: the organization's default
    /// lifetime, or else its maximum lifetime.
    Open,
    /// After a lifetime; with the name of the request's field.
    In(&'static str, Lifetime),
    /// At a time.
    At(Timestamp),
}

/// Returns when a token that this caller creates expires; `None` is never.
///
/// The maximum is the maximum lifetime of the organizations and, if the caller is an API token, the end of
/// that token by expiry or scheduled revocation. A requested expiry beyond it is a fault; a default is
/// shortened.
pub(super) fn expires_at(
    caller: &Caller,
    expiry: Expiry,
    default: Lifetime,
    bounds: &Bounds,
    now: Timestamp,
    faults: &mut Vec<FieldFault>,
) -> Option<Timestamp> {
    let longest = bounds.max_lifetime();
    let by_policy = longest.map(|seconds| now.plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)));
    // An API token limits the lifetime of the tokens that it creates; a session does not.
    let by_caller = match caller.token().kind() {
        TokenKind::Session => None,
        TokenKind::Api => caller.ends_at(),
    };
    let after = |lifetime| match lifetime {
        Lifetime::Never => None,
        Lifetime::Limited(span) => Some(now.plus_seconds(i64::try_from(span.seconds()).unwrap_or(i64::MAX))),
    };
    let (field, wanted) = match expiry {
        Expiry::Default | Expiry::Open => {
            return [after(default), by_policy, by_caller].into_iter().flatten().min();
        }
        Expiry::In(field, lifetime) => (field, after(lifetime)),
        Expiry::At(instant) => ("expires_at", Some(instant)),
    };
    let beyond = |limit: Option<Timestamp>| limit.is_some_and(|limit| wanted.is_none_or(|end| end > limit));
    if wanted.is_some_and(|end| end.seconds() <= now.seconds()) {
        faults.push(FieldFault::new(field, "the expiry must be in the future"));
    } else if beyond(by_policy) {
        let message = format!(
            "the lifetime must be at most {}, the organization's `max_lifetime`",
            Span::words(longest.unwrap_or_default())
        );
        faults.push(FieldFault::new(field, message));
    } else if beyond(by_caller) {
        faults.push(FieldFault::new(
            field,
            "the new token must not outlive the token of the request",
        ));
    }
    wanted
}
