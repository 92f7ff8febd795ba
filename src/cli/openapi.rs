//! `jeton openapi`: the document of the API, for the file in the repository and for other tools.

use super::{Failure, output};

pub(super) fn run() -> Result<(), Failure> {
    output::print(
        &crate::http::document()
            .to_pretty_json()
            .map_err(Failure::Document)?,
    )
}
