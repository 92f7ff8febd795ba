//! Registers handlers: adds to the OpenAPI operation of each what its first argument requires.

use std::sync::Arc;

use utoipa::openapi::path::PathItem;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::http::caller::{Anyone, Caller, Need, Permission};
use crate::http::{App, Failure};

/// The extension of an operation with the names of the failures of callers that may not call it.
/// `openapi::complete` replaces it by examples.
pub(super) const REFUSALS: &str = "x-refusals";

/// The extension of an operation that says whether it can revoke tokens. `openapi::complete` removes it.
pub(super) const REVOKES: &str = "x-revokes";

/// Collects handlers of one path, as `utoipa_axum::routes!` does.
macro_rules! routes {
    ($($($handler:ident)::+),+ $(,)?) => {
        crate::http::routes::together([
            $(crate::http::routes::guarded(utoipa_axum::routes!($($handler)::+), $($handler)::+)),+
        ])
    };
}

pub(crate) use routes;

/// The first argument of a handler: who may call it.
pub(crate) trait Access {
    /// Returns the names of the failures of callers that may not.
    fn refusals() -> Vec<&'static str>;

    /// Whether the handler can revoke tokens.
    const REVOKES: bool;
}

impl Access for Anyone {
    const REVOKES: bool = false;

    fn refusals() -> Vec<&'static str> {
        Vec::new()
    }
}

impl<P: Permission> Access for Caller<P> {
    const REVOKES: bool = P::REVOKES;

    fn refusals() -> Vec<&'static str> {
        [vec!["not_authenticated"], Option::<Self>::refusals()].concat()
    }
}

impl<P: Permission> Access for Option<Caller<P>> {
    const REVOKES: bool = P::REVOKES;

    fn refusals() -> Vec<&'static str> {
        let ambiguous = matches!(P::unreadable_credential(), Failure::AmbiguousCredential);
        let credential = ["invalid_token", "token_expired", "token_revoked"]
            .into_iter()
            .chain(ambiguous.then_some("ambiguous_credential"));
        credential
            .chain(P::needs().into_iter().map(Need::refusal_name))
            .collect()
    }
}

/// A handler with the arguments `T`.
pub(crate) trait Guarded<T> {
    /// The first argument.
    type Access: Access;
}

macro_rules! guarded {
    ($($rest:ident),*) => {
        impl<F, R, A: Access, $($rest),*> Guarded<(A, $($rest,)*)> for F
        where
            F: Fn(A, $($rest),*) -> R,
        {
            type Access = A;
        }
    };
}

guarded!();
guarded!(B);
guarded!(B, C);
guarded!(B, C, D);
guarded!(B, C, D, E);

/// Adds to the operations of a handler what its first argument requires.
pub(crate) fn guarded<T, H: Guarded<T>>(
    (schemas, mut paths, router): UtoipaMethodRouter<Arc<App>>,
    _: H,
) -> UtoipaMethodRouter<Arc<App>> {
    let refusals = H::Access::refusals();
    for item in paths.paths.values_mut() {
        let PathItem {
            get,
            head,
            post,
            put,
            patch,
            delete,
            ..
        } = item;
        for operation in [get, head, post, put, patch, delete].into_iter().flatten() {
            let extensions = operation.extensions.get_or_insert_default();
            extensions.insert(REFUSALS.to_owned(), refusals.clone().into());
            extensions.insert(REVOKES.to_owned(), H::Access::REVOKES.into());
        }
    }
    (schemas, paths, router)
}

/// Merges the handlers of one path.
pub(crate) fn together<const N: usize>(
    all: [UtoipaMethodRouter<Arc<App>>; N],
) -> UtoipaMethodRouter<Arc<App>> {
    all.into_iter()
        .reduce(|(mut schemas, mut paths, router), (more, others, another)| {
            schemas.extend(more);
            paths.merge(others);
            (schemas, paths, router.merge(another))
        })
        .unwrap_or_default()
}
