//! Dead letters on a topic: the message as it came (key, value, headers,
//! timestamp), with its position and the reason in further headers.
//!
//! A letter that is too large for the topic must neither stop the partition for
//! good nor vanish: it is written with its value cut (and its own headers left
//! out, its key cut, if those are large too), and the header `weir-truncated`
//! says how many bytes the value had. The whole message is still where
//! `weir-topic`, `weir-partition` and `weir-offset` say, for as long as that topic
//! keeps it. To keep such letters whole, give the dead letters' topic a
//! `max.message.bytes` above the source topic's.

use async_trait::async_trait;
use rdkafka::message::{Header, OwnedHeaders};
use weir_actors::dead_letter::{DeadLetter, DeadLetterSink, SinkError};
use weir_actors::source::Headers;

use super::config::{KafkaConfig, SinkTopic};
use super::producer::{Outgoing, TopicProducer};

/// The names of the headers that are added.
pub mod header {
    /// The topic that the message came from.
    pub const TOPIC: &str = "weir-topic";
    /// Its partition.
    pub const PARTITION: &str = "weir-partition";
    /// Its offset there.
    pub const OFFSET: &str = "weir-offset";
    /// Which value of the message was refused.
    pub const INDEX: &str = "weir-index";
    /// Why, by kind: `weir_actors::event::RejectReason::name`.
    pub const REASON: &str = "weir-reason";
    /// Why, in words.
    pub const DETAIL: &str = "weir-detail";
    /// The record's own timestamp in milliseconds since 1970; -1 if it has none.
    pub const TIMESTAMP_MS: &str = "weir-timestamp-ms";
    /// Only on a letter that was cut: how many bytes its value had.
    pub const TRUNCATED: &str = "weir-truncated";
}

/// What is left of the parts of a letter that is too large, in bytes.
const CUT_VALUE_BYTES: usize = 64 << 10;
const CUT_KEY_BYTES: usize = 16 << 10;
const CUT_HEADERS_BYTES: usize = 16 << 10;
/// A reason is for people: no longer than this.
const DETAIL_BYTES_MAX: usize = 4 << 10;

/// Writes dead letters to a topic.
pub struct KafkaDeadLetterSink(TopicProducer);

impl KafkaDeadLetterSink {
    /// A sink for `topic`. Asks no broker.
    pub fn new(config: &KafkaConfig, topic: &SinkTopic) -> Result<Self, SinkError> {
        TopicProducer::new(config, topic).map(Self)
    }

    /// Alone: it may have been refused only for the request that it stood in.
    async fn deliver_large(&self, letter: &DeadLetter) -> Result<(), SinkError> {
        if self.deliver_one(outgoing(letter)).await? {
            return Ok(());
        }
        tracing::warn!(
            partition = %letter.partition,
            position = %letter.position,
            bytes = letter.value.as_ref().map_or(0, Vec::len),
            topic = self.0.topic(),
            "a dead letter is too large for its topic and was cut; raise the topic's \
             max.message.bytes"
        );
        if self.deliver_one(cut(letter)).await? {
            return Ok(());
        }
        Err(SinkError::Fatal(format!(
            "the dead letter of {} at {} is too large for the topic \"{}\" even when cut to {} \
             bytes; raise the topic's max.message.bytes",
            letter.partition,
            letter.position,
            self.0.topic(),
            CUT_VALUE_BYTES + CUT_KEY_BYTES + CUT_HEADERS_BYTES
        )))
    }

    /// Whether it was not too large.
    async fn deliver_one(&self, record: Outgoing) -> Result<bool, SinkError> {
        let failed = self.0.send_all(&[record]).await?;
        failed.error.map_or(Ok(failed.too_large.is_empty()), Err)
    }
}

#[async_trait]
impl DeadLetterSink for KafkaDeadLetterSink {
    async fn deliver(&self, letters: &[DeadLetter]) -> Result<(), SinkError> {
        let records: Vec<Outgoing> = letters.iter().map(outgoing).collect();
        let failed = self.0.send_all(&records).await?;
        if let Some(error) = failed.error {
            return Err(error);
        }
        // Some of these only shared a request with one that is too large.
        for index in failed.too_large {
            self.deliver_large(&letters[index]).await?;
        }
        Ok(())
    }
}

fn outgoing(letter: &DeadLetter) -> Outgoing {
    let mut headers = OwnedHeaders::new_with_capacity(16);
    for (key, value) in Headers(&letter.headers) {
        headers = headers.insert(Header { key, value });
    }
    Outgoing {
        key: letter.key.clone(),
        value: letter.value.clone(),
        headers: with_position(headers, letter),
        timestamp_ms: (letter.timestamp_ms >= 0).then_some(letter.timestamp_ms),
    }
}

/// The letter with everything large about it cut.
fn cut(letter: &DeadLetter) -> Outgoing {
    let mut small = letter.clone();
    let value_bytes = letter.value.as_ref().map_or(0, Vec::len).to_string();
    small.value.iter_mut().for_each(|value| value.truncate(CUT_VALUE_BYTES));
    small.key.iter_mut().for_each(|key| key.truncate(CUT_KEY_BYTES));
    if small.headers.len() > CUT_HEADERS_BYTES {
        small.headers.clear();
    }
    let mut record = outgoing(&small);
    record.headers =
        record.headers.insert(Header { key: header::TRUNCATED, value: Some(&value_bytes) });
    record
}

fn with_position(headers: OwnedHeaders, letter: &DeadLetter) -> OwnedHeaders {
    let mut detail = letter.detail.as_str();
    if detail.len() > DETAIL_BYTES_MAX {
        detail = &detail[..detail.floor_char_boundary(DETAIL_BYTES_MAX)];
    }
    let texts = [
        (header::TOPIC, letter.partition.topic.to_string()),
        (header::PARTITION, letter.partition.id.number.to_string()),
        (header::OFFSET, letter.position.offset.to_string()),
        (header::INDEX, letter.position.index.to_string()),
        (header::REASON, letter.reason.name().to_owned()),
        (header::DETAIL, detail.to_owned()),
        (header::TIMESTAMP_MS, letter.timestamp_ms.to_string()),
    ];
    texts
        .iter()
        .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}
