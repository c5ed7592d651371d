//! `weir schema`: the tables in Cassandra.

use std::path::Path;

use anyhow::{Context, anyhow};
use clap::Subcommand;

use super::Failure;
use super::output::{COLUMNS, Output, wrapped};
use crate::cassandra::{connect_session, schema};
use crate::config::Config;

#[derive(Subcommand)]
pub(super) enum Action {
    /// Print all of it as CQL
    Print,
    /// Bring the keyspace to this version of it
    Apply,
}

pub(super) fn run(action: Action, path: Option<&Path>) -> Result<(), Failure> {
    let config = Config::load(path)?;
    match action {
        Action::Print => {
            let mut output = Output::stdout();
            output.text(&schema::print(&config.cassandra))?;
            output.flush()
        }
        Action::Apply => apply(&config),
    }
}

fn apply(config: &Config) -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(async {
        let failed = |error| anyhow!("{error}");
        let session = connect_session(&config.cassandra).await.map_err(failed)?;
        let done = schema::apply(&session, &config.cassandra).await.map_err(failed)?;
        let mut output = Output::stdout();
        if done.is_empty() {
            output.line(format!("the keyspace {:?} is up to date", config.cassandra.keyspace))?;
        }
        for line in done {
            output.line(wrapped(&line, COLUMNS, "  "))?;
        }
        output.flush()
    })
}
