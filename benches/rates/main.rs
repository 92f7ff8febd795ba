//! How fast jeton is, against what it cannot exceed: the program behind `make bench`.
//!
//! It starts jeton and a server that only does the arithmetic, both of the same build, drives them in
//! turn from a third process and prints one table. A ratio is the median of pairs taken one right
//! after the other, so that a machine that grows slower or faster meanwhile changes both sides of it.
//!
//! The servers, the driver and the bare commits are this program again, named by its first argument.

mod bounds;
mod ceiling;
mod client;
mod commits;
mod crowd;
mod durable;
mod issue;
mod load;
mod pace;
mod process;
mod rows;
mod seed;
mod status_list;
mod subject;
mod table;

use std::process::ExitCode;

/// A bench has nobody to tell errors apart: it says what went wrong and ends.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The server's own, so that the ceiling differs from it in nothing but the work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        Some("ceiling") => ceiling::run(arguments),
        Some("load") => load::run(),
        Some("commits") => commits::run(),
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
