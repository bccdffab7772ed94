//! The `ferroflow` program: hands its arguments to [`ferroflow::cli`].

use mimalloc::MiMalloc;

/// The C library's allocator spends a quarter of a search's time on joining freed pieces.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> std::process::ExitCode {
    ferroflow::cli::run()
}
