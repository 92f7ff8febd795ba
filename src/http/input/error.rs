//! The reasons why a request cannot be read.

use super::violation::Violations;
use crate::authority;

/// The reason why a request cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("some fields of the request are invalid")]
    Invalid(Violations),
    #[error("the body is longer than 64 KiB")]
    BodyTooLarge,
    #[error("the request is not valid UTF-8")]
    Utf8,
    #[error("send Content-Type: application/json; only requests with Authorization: Bearer may omit it")]
    UnsupportedMediaType,
    #[error("send the body as Content-Type: application/x-www-form-urlencoded")]
    FormNeeded,
    /// The body has a `Content-Encoding`, such as gzip.
    #[error("the body has a content coding")]
    Encoded,
    #[error("the body ended early or could not be read")]
    BodyUnreadable(#[source] axum::BoxError),
    /// The caller was revoked or disabled while the body arrived.
    #[error(transparent)]
    Refused(authority::Error),
}
