//! The `ferroflow` program: hands its arguments to [`ferroflow::cli`].

fn main() -> std::process::ExitCode {
    ferroflow::cli::run()
}
