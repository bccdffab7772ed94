//! `ferroflow db`: makes or checks the schema of a database.
//!
//! Upstream: `mlflow db upgrade`.

use anyhow::{Context as _, Result};
use clap::Subcommand;

use crate::store::migrate::{self, Found, Outcome};
use crate::store::uri::DatabaseUri;

#[derive(Debug, Subcommand)]
pub(super) enum DbCommand {
    /// Make the schema of MLflow 3.17.2 in an empty database, or take over one that has it.
    Upgrade(Target),
    /// Say whether a database can be served; change nothing.
    Check(Target),
}

#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// The database, as in `--backend-store-uri`.
    #[arg(value_name = "URI")]
    uri: String,
}

/// Runs the command and prints one line about what was found.
#[expect(clippy::print_stdout, reason = "the answer of a command")]
pub(super) fn run(command: &DbCommand) -> Result<()> {
    let parse = |target: &Target| DatabaseUri::parse(&target.uri).context("cannot use this database URI");
    let line = match command {
        DbCommand::Upgrade(target) => match migrate::upgrade(&parse(target)?)? {
            Outcome::Made => "made the schema of MLflow 3.17.2",
            Outcome::Adopted => "took over the database; its data is as it was",
            Outcome::AdoptedAsItIs => {
                "took over the database without adding indexes and tables, which its user may not do; its data is as it was"
            }
            Outcome::Nothing => "nothing to do: the schema is up to date",
        },
        DbCommand::Check(target) => match migrate::check(&parse(target)?)? {
            Found::Empty => "the database is empty; `ferroflow server` or `ferroflow db upgrade` fills it",
            Found::Stock => "the database is one of MLflow 3.17.2; `ferroflow server` will take it over",
            Found::Ready => "the database is ready",
        },
    };
    println!("{line}");
    Ok(())
}
