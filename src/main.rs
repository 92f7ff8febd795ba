use std::process::ExitCode;

/// mimalloc, because request data is allocated on one thread and freed on the database writer's. The C
/// library's allocator takes a lock there, which cost a seventh of the time of issuing a token.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    jeton::cli::run()
}
