//! The commands, a file each.

mod detect;
mod exit;
mod init;

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
    Detect(Box<detect::DetectArgs>),
    /// Print a commented configuration to start from
    Init,
}

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason to fail: the reader has seen enough.
            let _ = error.print();
            return exit::of_usage(&error);
        }
    };
    let done = match cli.command {
        Command::Detect(args) => detect::run(*args, cli.config.as_deref()),
        Command::Init => init::run(),
    };
    exit::of(done)
}
