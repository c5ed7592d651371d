//! The commands, a file each.

mod check;
mod dead_letters;
mod demo;
mod detect;
mod exit;
mod history;
mod init;
mod output;
mod run;
mod schema;
mod suggest;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use exit::Failure;

/// Checks every event of a Kafka topic against the history of its own key,
/// within a second, and stores it in Cassandra.
#[derive(Parser)]
#[command(name = "weir", version, max_term_width = 80, after_help = exit::HELP)]
struct Cli {
    /// The configuration [default: weir.toml, if it is there]
    #[arg(short, long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what it does: real and generated events, no service needed
    Demo(demo::Arguments),
    /// Run a node: check the events of the topics until told to stop
    Run,
    /// Check files with the engine of the node
    Detect(detect::DetectArgs),
    /// Print a commented configuration to start from
    Init {
        /// Print all settings as Markdown instead
        #[arg(long)]
        markdown: bool,
    },
    /// Look at the configuration and the servers it names; tell every fault
    Check,
    /// Sample a topic and print a configuration that reads it
    Suggest(suggest::Arguments),
    /// Print what is stored of a key
    History(history::Arguments),
    /// Look at what was refused, or send it again
    #[command(subcommand)]
    DeadLetters(dead_letters::Action),
    /// Print the tables, or make them
    #[command(subcommand)]
    Schema(schema::Action),
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    parse_and_run(std::env::args_os())
}

fn parse_and_run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason to fail: the reader has seen enough.
            let _ = error.print();
            return exit::of_usage(&error);
        }
    };
    let done = match cli.command {
        Command::Demo(arguments) => demo::run(arguments),
        Command::Run => run::run(cli.config.as_deref()),
        Command::Init { markdown } => init::run(markdown),
        Command::Check => check::run(cli.config.as_deref()),
        Command::Suggest(arguments) => suggest::run(&arguments, cli.config.as_deref()),
        Command::History(arguments) => history::run(&arguments, cli.config.as_deref()),
        Command::DeadLetters(action) => dead_letters::run(&action, cli.config.as_deref()),
        Command::Schema(action) => schema::run(action, cli.config.as_deref()),
        Command::Detect(args) => detect::run(args, cli.config.as_deref()),
    };
    exit::of(done)
}
