//! `weir init`: a commented configuration to start from.

use std::io::Write;

use anyhow::Context;

use super::Failure;
use crate::config::DEFAULT_TOML;

pub(super) fn run() -> Result<(), Failure> {
    std::io::stdout()
        .write_all(DEFAULT_TOML.as_bytes())
        .context("cannot write to standard output")?;
    Ok(())
}
