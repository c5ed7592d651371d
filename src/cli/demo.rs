//! `weir demo`: the main job without any service.

use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::config::LogConfig;
use crate::{demo, run};

#[derive(Args)]
pub(super) struct Arguments {
    /// Where log, store and pictures go; cleared by the next demo
    #[arg(long, default_value = "weir-data/demo", value_name = "DIR")]
    dir: PathBuf,
    /// How many generated keys there are
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    keys: u32,
    /// How many events each of them has
    #[arg(long, default_value_t = 160, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    events_each: u32,
    /// Go on until Ctrl-C
    #[arg(long)]
    keep: bool,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    run::telemetry::start(&LogConfig { filter: "warn".into(), json: false })?;
    let Arguments { dir, keys, events_each, keep } = arguments;
    demo::run(&demo::Options { dir, keys, events_each, keep })
}
