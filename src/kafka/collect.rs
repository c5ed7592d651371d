//! Records from librdkafka's memory into one batch, up to a limit in bytes.

use rdkafka::error::RDKafkaErrorCode;
use weir_actors::position::TopicPartition;
use weir_actors::source::{Headers, RawRecord, SourceError, Span};

use super::client;
use super::queue::{Incoming, Record};

/// Spans are 32 bits wide: a batch stays below this, whatever the caller allows,
/// so that one more message of the largest size that Kafka has still fits.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// How large a batch was: the next one's buffers begin so large.
#[derive(Clone, Copy, Default)]
pub(super) struct Sizes {
    pub(super) bytes: usize,
    pub(super) records: usize,
}

/// Why a partition gives no more batches.
#[derive(Clone)]
pub(super) enum Failure {
    /// The broker has no such offset; what is there is still to be asked.
    OutOfRange(i64),
    Known(SourceError),
}

/// Copies records into a batch until it is full.
pub(super) struct Collector<'a> {
    partition: &'a TopicPartition,
    pub(super) bytes: Vec<u8>,
    pub(super) records: Vec<RawRecord>,
    pub(super) next_offset: i64,
    bytes_max: usize,
    pub(super) failure: Option<Failure>,
    pub(super) repeated: u64,
}

impl<'a> Collector<'a> {
    pub(super) fn new(
        partition: &'a TopicPartition,
        next_offset: i64,
        bytes_max: usize,
        last: Sizes,
    ) -> Self {
        let bytes_max = bytes_max.min(BATCH_BYTES_MAX);
        Self {
            partition,
            bytes: Vec::with_capacity(last.bytes.min(bytes_max)),
            records: Vec::with_capacity(last.records.min(bytes_max / size_of::<RawRecord>())),
            next_offset,
            bytes_max,
            failure: None,
            repeated: 0,
        }
    }

    /// Whether there is room for more.
    pub(super) fn take(&mut self, incoming: Incoming<'_>) -> bool {
        match incoming {
            Incoming::Record(record) if record.offset < self.next_offset => {
                self.repeated += 1;
                true
            }
            Incoming::Record(record) => {
                self.push(&record);
                let used = self.bytes.len() + self.records.len() * size_of::<RawRecord>();
                used < self.bytes_max
            }
            Incoming::End { offset } => {
                // Behind markers and compacted records the log ends past the last
                // record that is handed over.
                self.next_offset = self.next_offset.max(offset);
                true
            }
            Incoming::Failed { code, text, offset } => {
                self.failure = failure(self.partition, code, &text, offset);
                self.failure.is_none()
            }
        }
    }

    fn push(&mut self, record: &Record<'_>) {
        let key = self.push_bytes(record.key);
        let value = self.push_bytes(record.value);
        let start = self.bytes.len();
        record.each_header(|name, value| Headers::push(&mut self.bytes, name, value));
        let headers = self.span_from(start);
        self.records.push(RawRecord {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key,
            value,
            headers,
        });
        self.next_offset = record.offset + 1;
    }

    fn push_bytes(&mut self, bytes: Option<&[u8]>) -> Span {
        let Some(bytes) = bytes else { return Span::NULL };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.span_from(start)
    }

    /// BATCH_BYTES_MAX and one message's largest size are below 2^32 together.
    fn span_from(&self, start: usize) -> Span {
        Span { start: start as u32, len: (self.bytes.len() - start) as u32 }
    }
}

/// What an error of a partition means; `None` if librdkafka tries again by itself.
fn failure(
    partition: &TopicPartition,
    code: RDKafkaErrorCode,
    text: &str,
    offset: i64,
) -> Option<Failure> {
    use RDKafkaErrorCode as E;
    match code {
        E::AutoOffsetReset | E::OffsetOutOfRange => Some(Failure::OutOfRange(offset)),
        // librdkafka would go on behind these: what it cannot read would be left out.
        E::BadMessage
        | E::BadCompression
        | E::NotImplemented
        | E::InvalidMessage
        | E::InvalidMessageSize
        | E::MessageSizeTooLarge => Some(Failure::Known(SourceError::Loss(format!(
            "{partition}: the records at offset {offset} cannot be read ({code}: {text}); nothing \
             behind them is read, so that none is left out in silence"
        )))),
        code if client::is_fatal(code) => Some(Failure::Known(SourceError::Fatal(format!(
            "{partition} cannot be read: {code}: {text}"
        )))),
        _ => {
            tracing::warn!(%partition, error = ?code, offset, "{text}; librdkafka tries again");
            None
        }
    }
}
