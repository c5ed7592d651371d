//! Logs: events with fields, on standard error.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::config::LogConfig;

/// Begins to log as configured. `RUST_LOG`, if it is set, decides what.
///
/// # Errors
/// If the filter cannot be read.
pub fn start(config: &LogConfig) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) => filter,
        Err(_) => config.filter.clone(),
    };
    let filter = EnvFilter::try_new(&filter)
        .with_context(|| format!("log.filter {filter:?}; write it like \"info,weir=debug\""))?;
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if config.json { logs.json().try_init() } else { logs.try_init() };
    started.map_err(|error| anyhow::anyhow!("logs: {error}"))
}
