//! Why a request was not understood.

use super::violation::Violations;

/// A request that could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("some fields of the request are wrong")]
    Invalid(Violations),
    #[error("the body is longer than 64 KiB")]
    BodyTooLarge,
    #[error("the request is not valid UTF-8")]
    Utf8,
    #[error("a write without Authorization: Bearer needs a JSON body and says so in Content-Type")]
    UnsupportedMediaType,
    #[error("the body must be application/x-www-form-urlencoded")]
    FormNeeded,
    #[error("the body could not be read to its end")]
    BodyUnreadable(#[source] axum::BoxError),
}
