//! The binary `magpie`.

use std::process::ExitCode;

/// Mail is many small pieces that come and go on all threads: glibc's allocator takes a fifth of the time for that, and
/// gives little of it back to the system.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    server::main()
}
