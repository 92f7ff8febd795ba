use std::process::ExitCode;

/// A request's data goes to the writer's thread and comes back, and the C library's allocator takes a
/// lock whenever a thread frees what another made: a seventh of the time of a token issued.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    jeton::cli::run()
}
