//! `jeton openapi`: prints the OpenAPI document of an API.

use clap::Args;

use super::{Failure, output};
use crate::http::{self, Document};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The API
    #[arg(value_enum, default_value_t = Document::Native)]
    api: Document,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    output::print(
        &http::document(arguments.api)
            .to_pretty_json()
            .map_err(Failure::Document)?,
    )
}
