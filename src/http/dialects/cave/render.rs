//! How CAVE says what went wrong.

use axum::response::Response;

use crate::http::openapi::{self, ErrorAnswer, Takes};
use crate::http::{Failure, oauth};

/// The errors of an operation, as its document has them.
pub(super) fn errors(takes: Takes) -> Vec<ErrorAnswer> {
    openapi::usual_errors(takes, || None)
}

/// The one table from failures to answers of this API.
pub(super) fn render(failure: &Failure) -> Response {
    oauth::render(failure)
}
