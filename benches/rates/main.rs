//! How fast jeton is, against what a server can reach here that only answers or only writes rows: the
//! program behind `make bench`.
//!
//! It starts jeton and a bare server, both of the same build, drives them in turn from a third process and
//! prints each row as it is measured. A ratio is the median of pairs taken one right after the other, so that
//! a machine that grows slower or faster meanwhile changes both sides of it.
//!
//! The bare server and the driver are this program again, named by its first argument.

mod against;
mod asking;
mod bare;
mod bare_rows;
mod client;
mod crowd;
mod deferred;
mod disturbed;
mod forgetting;
mod in_turn;
mod issue;
mod issuing;
mod load;
mod pace;
mod process;
mod report;
mod rows;
mod status_list;
mod subject;
mod tokens;

use std::process::ExitCode;

/// A bench says what went wrong and ends: nobody tells its errors apart.
type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The server's own, so that the bare server differs from it in nothing but the work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        Some("bare") => bare::run(arguments),
        Some("load") => load::run(),
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
