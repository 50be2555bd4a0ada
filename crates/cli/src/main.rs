//! The one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    marrowline_cli::main()
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
