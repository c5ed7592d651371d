//! Alerts on a topic: JSON, keyed by the series, so that one series' alerts stay
//! in order; an idempotent producer, acknowledged by all in-sync replicas.

use async_trait::async_trait;
use rdkafka::message::{Header, OwnedHeaders};
use weir_actors::alert::{Alert, AlertSink};
use weir_actors::dead_letter::SinkError;

use super::config::{KafkaConfig, SinkTopic};
use super::producer::{Outgoing, TopicProducer};

/// The header with the alert's id: a consumer drops repeats by it without reading
/// the JSON.
pub const ALERT_ID_HEADER: &str = "weir-alert-id";

/// Writes alerts to a topic.
pub struct KafkaAlertSink(TopicProducer);

impl KafkaAlertSink {
    /// A sink for `topic`. Asks no broker.
    pub fn new(config: &KafkaConfig, topic: &SinkTopic) -> Result<Self, SinkError> {
        TopicProducer::new(config, topic).map(Self)
    }
}

fn outgoing(alert: &Alert) -> Result<Outgoing, SinkError> {
    let value = serde_json::to_vec(alert)
        .map_err(|e| SinkError::Fatal(format!("alert {}: no JSON: {e}", alert.id)))?;
    let id = Header { key: ALERT_ID_HEADER, value: Some(&alert.id) };
    Ok(Outgoing {
        key: Some(alert.series.clone().into_bytes()),
        value: Some(value),
        headers: OwnedHeaders::new_with_capacity(1).insert(id),
        timestamp_ms: None,
    })
}

#[async_trait]
impl AlertSink for KafkaAlertSink {
    async fn publish(&self, alerts: &[Alert]) -> Result<(), SinkError> {
        let records = alerts.iter().map(outgoing).collect::<Result<Vec<_>, _>>()?;
        let failed = self.0.send_all(&records).await?;
        if let Some(error) = failed.error {
            return Err(error);
        }
        match failed.too_large.first() {
            None => Ok(()),
            Some(index) => Err(SinkError::Fatal(format!(
                "alert {} has {} bytes, more than the topic \"{}\" takes; raise its \
                 max.message.bytes",
                alerts[*index].id,
                records[*index].value.as_ref().map_or(0, Vec::len),
                self.0.topic()
            ))),
        }
    }
}
