//! `weir run`: a node.

use std::path::Path;

use super::Failure;
use crate::config::Config;
use crate::run;

pub(super) fn run(path: Option<&Path>) -> Result<(), Failure> {
    let config = Config::load(path)?;
    run::telemetry::start(&config.log)?;
    run::run(&config)
}
