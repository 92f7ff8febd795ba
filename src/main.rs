use std::process::ExitCode;

/// A request's data goes to the writer's thread and comes back, and the C library's allocator locks
/// where a thread frees what another made: of the time of a token issued, a seventh was its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    jeton::cli::run()
}
