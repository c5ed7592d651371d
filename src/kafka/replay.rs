//! Writing records back to where they came from.

use std::time::Duration;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::admin::AdminError;
use super::client::{self, LogContext};
use super::config::KafkaConfig;
use super::peek::PeekedRecord;

/// How long to wait for room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);

/// A producer that writes to any topic, into the partition that it is told.
pub struct Replay(FutureProducer<LogContext>);

impl Replay {
    /// A producer for these brokers. Asks nothing yet.
    pub fn new(config: &KafkaConfig) -> Result<Self, AdminError> {
        let client = client::producer(config).map_err(AdminError::Refused)?;
        let made = client.create_with_context(LogContext);
        Ok(Self(made.map_err(|e| AdminError::of_error("the producer cannot be made", &e))?))
    }

    /// Writes the record to its partition of `topic`; returns once all in-sync
    /// replicas have it. Its offset counts for nothing.
    pub async fn write(&self, topic: &str, record: &PeekedRecord) -> Result<(), AdminError> {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: value.as_ref() })
        });
        let mut out: FutureRecord<'_, Vec<u8>, Vec<u8>> =
            FutureRecord::to(topic).partition(record.partition).headers(headers);
        out.key = record.key.as_ref();
        out.payload = record.value.as_ref();
        out.timestamp = (record.timestamp_ms >= 0).then_some(record.timestamp_ms);
        let sent = self.0.send(out, QUEUE_TIMEOUT).await;
        let what = format!("{topic}[{}]: a record cannot be written", record.partition);
        sent.map(drop).map_err(|(error, _)| AdminError::of_error(&what, &error))
    }
}
