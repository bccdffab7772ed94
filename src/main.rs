//! The `ferroflow` program: hands its arguments to [`ferroflow::cli`].

use tikv_jemallocator::Jemalloc;

/// The C library's malloc keeps peak resident memory, and spends a quarter of a search coalescing chunks.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> std::process::ExitCode {
    ferroflow::cli::run()
}
