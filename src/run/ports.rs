//! The real Kafka and the real Cassandra behind the ports.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use async_trait::async_trait;
use weir_actors::alert::{Alert, AlertSink};
use weir_actors::dead_letter::SinkError;
use weir_actors::event::KeyEncoding;
use weir_actors::node::Ports;

use super::store_failure;
use crate::cassandra::CassandraStore;
use crate::config::Config;
use crate::kafka::{KafkaAdmin, KafkaAlertSink, KafkaDeadLetterSink, KafkaSource};

/// Connects to everything that the configuration names. The store comes first:
/// a node that cannot write must not join the group.
pub(super) async fn connect(config: &Config, keys: KeyEncoding) -> anyhow::Result<Ports> {
    let store = CassandraStore::connect(&config.cassandra, &config.job, keys)
        .await
        .map_err(|error| store_failure(&error))?;
    let admin = KafkaAdmin::new(&config.kafka).context("Kafka")?;
    for topic in [&config.alerts.kafka, &config.dead_letters.kafka] {
        if !topic.topic.is_empty() {
            admin.ensure(topic).await.with_context(|| format!("topic {:?}", topic.topic))?;
        }
    }
    let mut alerts: Vec<Box<dyn AlertSink>> = Vec::new();
    if !config.alerts.kafka.topic.is_empty() {
        let sink = KafkaAlertSink::new(&config.kafka, &config.alerts.kafka);
        alerts.push(Box::new(sink.context("the producer of alerts")?));
    }
    if config.alerts.stdout {
        alerts.push(Box::new(Stdout));
    }
    let dead_letters = KafkaDeadLetterSink::new(&config.kafka, &config.dead_letters.kafka)
        .context("the producer of dead letters")?;
    let source = KafkaSource::join(config.kafka.clone()).map_err(|error| anyhow!("{error}"))?;
    Ok(Ports {
        source: Box::new(source),
        store: Arc::new(store),
        alerts: Arc::new(All(alerts)),
        dead_letters: Arc::new(dead_letters),
    })
}

/// Alerts to several sinks, one after the other.
struct All(Vec<Box<dyn AlertSink>>);

#[async_trait]
impl AlertSink for All {
    async fn publish(&self, alerts: &[Alert]) -> Result<(), SinkError> {
        for sink in &self.0 {
            sink.publish(alerts).await?;
        }
        Ok(())
    }
}

/// Alerts as JSON lines on standard output.
struct Stdout;

#[async_trait]
impl AlertSink for Stdout {
    async fn publish(&self, alerts: &[Alert]) -> Result<(), SinkError> {
        use std::io::Write;
        let fatal = |error: &dyn std::fmt::Display| {
            SinkError::Fatal(format!("alerts.stdout: cannot write to standard output: {error}"))
        };
        let mut out = std::io::stdout().lock();
        for alert in alerts {
            let line = serde_json::to_string(alert).map_err(|e| fatal(&e))?;
            writeln!(out, "{line}").map_err(|e| fatal(&e))?;
        }
        out.flush().map_err(|e| fatal(&e))
    }
}
