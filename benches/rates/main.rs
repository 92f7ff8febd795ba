//! The benchmark behind `make bench`: jeton's speed against a bare server that only answers or only
//! writes rows.
//!
//! It starts jeton and a bare server of the same build, drives them in turn from a third process and
//! prints each row once it is measured. A ratio is the median of pairs measured in direct succession,
//! so that a change of the machine's speed affects both sides.
//!
//! The bare server and the driver are this program again, selected by its first argument.

mod against;
mod asking;
mod bare;
mod bare_rows;
mod client;
mod crowd;
mod deferred;
mod disturbed;
mod feed;
mod followers;
mod forgetting;
mod in_turn;
mod issue;
mod issuing;
mod load;
mod pace;
mod postgres;
mod process;
mod report;
mod rows;
mod status_list;
mod subject;
mod tenants;
mod tokens;
mod verify;

use std::process::ExitCode;

/// The result of a benchmark step. Errors are only printed, so their type does not matter.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The server's allocator, so that the bare server differs only in its work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        Some("bare") => bare::run(arguments),
        Some("load") => load::run(),
        Some("followers") => followers::run(),
        Some("verify") => verify::run(),
        first => rows::run(first.into_iter().map(str::to_owned).chain(arguments)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
