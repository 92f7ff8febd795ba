//! When a token ends.

use serde_json::Value;

use crate::authority::bounds::Bounds;
use crate::authority::{Caller, FieldFault};
use jeton_core::clock::Timestamp;
use jeton_core::token::{Lifetime, TokenKind};

/// When a token is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Nothing was said: the default, shortened to what is allowed.
    Default,
    /// Nothing was said, by a client to which tokens have no end: the organization's default, and where
    /// it has none the latest that is allowed.
    Open,
    /// After a time; the field that said so.
    In(&'static str, Lifetime),
    /// At an instant.
    At(Timestamp),
}

/// When a token ends that this caller makes, within what the organizations allow and, where an API
/// token makes it, before that one ends, be it by a revocation that lies ahead. What is too long is a fault if it was said, and shortened if
/// it is the default.
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
    // A session bounds what may be done, not for how long; an API token bounds both.
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
    let input = wanted.map_or(Value::from("never"), |end| end.to_string().into());
    let beyond = |limit: Option<Timestamp>| limit.is_some_and(|limit| wanted.is_none_or(|end| end > limit));
    if wanted.is_some_and(|end| end.seconds() <= now.seconds()) {
        faults.push(FieldFault::new(field, input, "the expiry must be in the future"));
    } else if beyond(by_policy) {
        let message = format!(
            "the lifetime must be at most {} seconds, the organization's `max_lifetime`",
            longest.unwrap_or_default()
        );
        faults.push(FieldFault::new(field, input, message));
    } else if beyond(by_caller) {
        faults.push(FieldFault::new(
            field,
            input,
            "the new token must not outlive the token of the request",
        ));
    }
    wanted
}
