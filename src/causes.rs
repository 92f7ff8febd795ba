//! An error with its causes, as log lines and commands print it.

use std::error::Error;

/// Returns an error followed by its causes, separated by colons.
pub(crate) fn error_chain(error: &(dyn Error + 'static)) -> String {
    let errors = std::iter::successors(Some(error), |error| (*error).source());
    let texts: Vec<String> = errors.map(ToString::to_string).collect();
    texts.join(": ")
}
