//! The command line: `ferroflow server` and `ferroflow db`. Here are its root and the way a failure reaches
//! the caller: one line on standard error and a non-zero exit.

mod db;
mod gateway;
mod memory;
pub mod server;
mod webhooks;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A drop-in MLflow tracking server.
#[derive(Debug, Parser)]
#[command(name = "ferroflow", version = VERSION)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// The version of this program and of the MLflow server whose protocol it speaks.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (MLflow 3.17.2)");

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the tracking server: REST API, artifacts and user interface.
    #[command(alias = "ui")]
    Server(Box<server::ServerArgs>),
    /// Make or check the schema of a database.
    #[command(subcommand)]
    Db(db::DbCommand),
}

/// Runs the program with the process's arguments.
pub fn run() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Server(args) => server::run(*args),
        Command::Db(command) => db::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints `error` and its causes as one line.
#[expect(clippy::print_stderr, reason = "the last word of a program that cannot go on")]
fn report(error: &anyhow::Error) {
    eprintln!("ferroflow: {}", format!("{error:#}").replace('\n', " "));
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_one_another() {
        Cli::command().debug_assert();
    }
}
