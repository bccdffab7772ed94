//! The `ferroflow` program: hands its arguments to [`ferroflow::cli`].

use tikv_jemallocator::Jemalloc;

/// The C library's allocator keeps the most that loads ever needed, and spends a quarter of a search on joining freed pieces.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> std::process::ExitCode {
    ferroflow::cli::run()
}
