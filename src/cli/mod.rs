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
#[command(name = "ferroflow", version = VERSION, args_override_self = true)]
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
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_one_another() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_last_of_repeated_flags_wins() {
        let mut command = Cli::command();
        command.build();
        let server = command.find_subcommand("server").unwrap();
        let flags: Vec<_> = server.get_arguments().filter(|arg| !arg.is_positional()).collect();
        assert!(flags.len() > 30, "{}", flags.len());
        for flag in flags {
            let name = format!("--{}", flag.get_long().unwrap());
            let mut words = vec![name.clone()];
            if flag.get_action().takes_values() {
                words.push("1".to_owned());
            }
            let parsed =
                server.clone().try_get_matches_from(["server".to_owned()].iter().chain(&words).chain(&words));
            // What a value must be is another matter.
            assert!(parsed.err().is_none_or(|e| e.kind() != ErrorKind::ArgumentConflict), "{name}");
        }
        let parsed = Cli::command().get_matches_from(["ferroflow", "server", "-p", "1", "--port", "2"]);
        assert_eq!(parsed.subcommand().unwrap().1.get_one::<u16>("port"), Some(&2));
    }
}
