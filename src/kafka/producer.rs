//! What both sinks share: an idempotent producer that is made anew when it fails
//! for good, and batches of which every delivery is awaited.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use weir_actors::dead_letter::SinkError;

use super::client::{self, LogContext};
use super::config::{KafkaConfig, SinkTopic};

/// How long to wait for room in the producer's queue before asking again.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

/// A record to be written.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: OwnedHeaders,
    /// Milliseconds since 1970; the broker's or the producer's clock if absent.
    pub(super) timestamp_ms: Option<i64>,
}

/// What failed, of a batch.
#[derive(Debug, Default)]
pub(super) struct Failed {
    /// Refused for their size, or for that of others in the same request.
    pub(super) too_large: Vec<usize>,
    /// The worst of everything else.
    pub(super) error: Option<SinkError>,
}

type Client = FutureProducer<LogContext>;

/// A producer for one topic.
pub(super) struct TopicProducer {
    topic: String,
    config: ClientConfig,
    client: Mutex<Client>,
}

impl TopicProducer {
    pub(super) fn new(config: &KafkaConfig, topic: &SinkTopic) -> Result<Self, SinkError> {
        let faults = topic.validate("topic");
        if !faults.is_empty() {
            return Err(SinkError::Fatal(faults.join("; ")));
        }
        let config = client::producer(config).map_err(SinkError::Fatal)?;
        let client = Mutex::new(create(&config)?);
        Ok(Self { topic: topic.topic.clone(), config, client })
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// The producer in use; another one after a failure that it does not outlive.
    fn client(&self) -> Result<Client, SinkError> {
        let mut current = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, text)) = current.client().fatal_error() {
            tracing::warn!(topic = self.topic, error = ?code, "{text}; a new producer is made");
            *current = create(&self.config)?;
        }
        Ok(current.clone())
    }

    /// Writes all, in order, and waits for every one.
    pub(super) async fn send_all(&self, records: &[Outgoing]) -> Result<Failed, SinkError> {
        let client = self.client()?;
        let mut waiting = FuturesUnordered::new();
        let mut failed = Failed::default();
        for (index, outgoing) in records.iter().enumerate() {
            let mut record = self.record(outgoing);
            let delivery = loop {
                match client.send_result(record) {
                    Ok(delivery) => break delivery,
                    Err((error, same)) if is_queue_full(&error) => {
                        record = same;
                        match waiting.next().await {
                            Some((index, result)) => self.note(&mut failed, index, result),
                            None => tokio::time::sleep(QUEUE_FULL_PAUSE).await,
                        }
                    }
                    Err((error, _)) => {
                        self.note(&mut failed, index, Err(error));
                        // Those behind it would overtake it.
                        return self.finish(failed, waiting).await;
                    }
                }
            };
            waiting.push(async move {
                let result = match delivery.await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err((error, _))) => Err(error),
                    Err(_) => Err(KafkaError::Canceled),
                };
                (index, result)
            });
        }
        self.finish(failed, waiting).await
    }

    async fn finish<F>(
        &self,
        mut failed: Failed,
        mut waiting: FuturesUnordered<F>,
    ) -> Result<Failed, SinkError>
    where
        F: Future<Output = (usize, Result<(), KafkaError>)>,
    {
        while let Some((index, result)) = waiting.next().await {
            self.note(&mut failed, index, result);
        }
        failed.too_large.sort_unstable();
        Ok(failed)
    }

    fn record<'a>(&'a self, outgoing: &'a Outgoing) -> FutureRecord<'a, [u8], [u8]> {
        let mut record = FutureRecord::to(&self.topic).headers(outgoing.headers.clone());
        if let Some(key) = &outgoing.key {
            record = record.key(key.as_slice());
        }
        if let Some(value) = &outgoing.value {
            record = record.payload(value.as_slice());
        }
        if let Some(timestamp_ms) = outgoing.timestamp_ms {
            record = record.timestamp(timestamp_ms);
        }
        record
    }

    fn note(&self, failed: &mut Failed, index: usize, result: Result<(), KafkaError>) {
        let Err(error) = result else { return };
        let code = error.rdkafka_error_code();
        if matches!(
            code,
            Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize)
        ) {
            failed.too_large.push(index);
            return;
        }
        let text = match code {
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                format!(
                    "the topic \"{}\" is not there ({error}); make it, or set create = true",
                    self.topic
                )
            }
            _ => format!("the topic \"{}\" did not take a record: {error}", self.topic),
        };
        // A topic that is not there may be made while we try again.
        let fatal = code.is_some_and(|c| client::is_fatal(c) && c != RDKafkaErrorCode::Fatal);
        match (&failed.error, fatal) {
            (Some(SinkError::Fatal(_)), _) => {}
            (_, true) => failed.error = Some(SinkError::Fatal(text)),
            (None, false) => failed.error = Some(SinkError::Transient(text)),
            (Some(_), false) => {}
        }
    }
}

fn create(config: &ClientConfig) -> Result<Client, SinkError> {
    config.create_with_context(LogContext).map_err(|e| {
        SinkError::Fatal(format!("the producer cannot be made: {}", client::fault_text(&e)))
    })
}

fn is_queue_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}
