//! A node from its configuration: the real Kafka and the real Cassandra plugged
//! into the actors, with probes, metrics and an orderly end.

mod http;
mod metrics;
mod ports;
pub mod telemetry;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, anyhow};
use tokio::signal::unix::{Signal, SignalKind, signal};
use weir_actors::decode::Decoder;
use weir_actors::detection::Detection;
use weir_actors::node::{Node, NodeConfig, Ports, Threads};
use weir_actors::store::Layout;

use crate::cli::Failure;
use crate::config::{Config, ConfigError};
pub use http::{Observed, serve};

/// What the actors are configured with.
///
/// # Errors
/// If the format or the rules cannot be; every fault at once.
pub fn node_config(config: &Config) -> Result<NodeConfig, ConfigError> {
    let decoder = Decoder::new(&config.format, &config.limits).map_err(ConfigError::Faults)?;
    let detection = Detection::new(&config.detection, decoder.key_encoding());
    Ok(NodeConfig {
        job: config.job.as_str().into(),
        layout: Layout::from(&config.layout),
        decoder: Arc::new(decoder),
        detection: Arc::new(detection.map_err(ConfigError::Faults)?),
        reader: config.reader.clone(),
        shard: config.shard.clone(),
        pool: config.pool.clone(),
        run: config.run.clone(),
    })
}

/// Runs a node against Kafka and Cassandra until it is told to stop.
///
/// # Errors
/// If it cannot start, gives up, or is stopped before all is durable.
pub fn run(config: &Config) -> Result<(), Failure> {
    let node_config = node_config(config)?;
    actix::System::new().block_on(async {
        // Before anything is begun, so that a signal is never lost.
        let signals = Signals::new().context("cannot listen to signals")?;
        let ports = ports::connect(config, node_config.decoder.key_encoding()).await?;
        run_with(node_config, ports, config, signals).await
    })
}

async fn run_with(
    node_config: NodeConfig,
    ports: Ports,
    config: &Config,
    mut signals: Signals,
) -> Result<(), Failure> {
    let store = Arc::clone(&ports.store);
    let mut node = Node::start(node_config, ports, Threads::Own);
    let observed = Observed {
        stats: Arc::clone(&node.stats),
        registry: Arc::clone(&node.registry),
        budget: node.budget.clone(),
        store,
        stopping: Arc::new(AtomicBool::new(false)),
    };
    let stopping = Arc::clone(&observed.stopping);
    let address = serve(config.http.listen, observed)?;
    tracing::info!(%address, job = config.job, "running");
    tokio::select! {
        biased;
        exit = node.failed() => {
            return Err(Failure::GaveUp(exit.to_string()));
        }
        name = signals.next() => tracing::info!(signal = name, "stopping"),
    }
    stopping.store(true, std::sync::atomic::Ordering::Relaxed);
    tokio::select! {
        biased;
        _ = signals.next() => Err(Failure::StoppedAtOnce),
        complete = node.stop() => {
            if !complete {
                return Err(Failure::StoppedShort);
            }
            tracing::info!("stopped; everything in hand is durable and committed");
            Ok(())
        }
    }
}

/// SIGTERM and SIGINT.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// If the process may not.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// An error of the store as the last message of a command.
fn store_failure(error: &weir_actors::store::StoreError) -> anyhow::Error {
    anyhow!("{error}")
}
