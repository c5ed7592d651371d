//! How commands end: exit codes, and the last message.

use std::io::Write;
use std::process::ExitCode;

use crate::config::ConfigError;

/// The codes, as `weir --help` shows them.
pub(super) const HELP: &str = "\
Exit codes:
  0  done
  1  failed: the message says at what, and what to do
  2  the command line is wrong
  3  the configuration is wrong; every fault is listed
  4  `check` or `verify` found faults, or `detect --strict` a faulty line
  5  the node gave up: a part of it failed again and again
  6  stopped before all was durable: a second signal, or the drain deadline; the
     rest is read again";

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Code 1.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
    /// Code 3.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Code 4: what was found has been printed.
    #[error("{0}")]
    Faults(String),
    /// Code 5.
    #[error("the node gave up: {0}")]
    GaveUp(String),
    /// Code 0: who read our output has seen enough.
    #[error("the output was closed")]
    OutputClosed,
    /// Code 6.
    #[error("stopped at once; what was not durable will be read again")]
    StoppedAtOnce,
    /// Code 6.
    #[error(
        "stopped, but not all was durable and committed by the drain deadline; the rest will be \
         read again"
    )]
    StoppedShort,
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Config(_) => 3,
            Self::Faults(_) => 4,
            Self::GaveUp(_) => 5,
            Self::OutputClosed => 0,
            Self::StoppedAtOnce | Self::StoppedShort => 6,
        }
    }
}

pub(super) fn of(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(failure) => {
            // Standard error may be a pipe that nobody reads any more.
            let _ = writeln!(std::io::stderr(), "weir: {failure}");
            ExitCode::from(failure.code())
        }
    }
}

/// Help and version are not failures.
pub(super) fn of_usage(error: &clap::Error) -> ExitCode {
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}
