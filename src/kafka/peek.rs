//! Reading topics without joining the group: what `check`, `suggest` and
//! `dead-letters` ask. Commits nothing, and takes no partition from anyone.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers as _, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::admin::AdminError;
use super::client;
use super::config::KafkaConfig;

/// How long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// A topic that sends nothing for so long, and does not end, has failed.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(20);
const POLL_TIMEOUT: Duration = Duration::from_millis(200);

/// A record that owns its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeekedRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970; -1 if it has none.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value.
    pub value: Option<Vec<u8>>,
    /// Its headers.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl PeekedRecord {
    /// The last header of that name, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().rev().find(|(n, _)| n == name)?;
        Some(String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned())
    }
}

/// The first offset of a partition, and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The partition.
    pub partition: i32,
    /// The first offset in the log.
    pub low: i64,
    /// The log's end.
    pub high: i64,
}

/// Reads without a group. Every method blocks.
pub struct Peek(BaseConsumer<PeekContext>);

struct PeekContext;

impl ClientContext for PeekContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        client::log_error(&error, reason);
    }
}

impl ConsumerContext for PeekContext {}

fn failed(what: &str) -> impl Fn(KafkaError) -> AdminError {
    move |error| AdminError::of_error(what, &error)
}

impl Peek {
    /// A reader for these brokers. Asks nothing yet.
    pub fn new(config: &KafkaConfig) -> Result<Self, AdminError> {
        let mut client = client::consumer(config).map_err(AdminError::Refused)?;
        // Of nobody's group: a static name is another's.
        client.remove("group.instance.id");
        let made = client.create_with_context(PeekContext);
        Ok(Self(made.map_err(failed("the consumer cannot be made"))?))
    }

    /// The brokers that the cluster has, as `host:port`.
    pub fn brokers(&self) -> Result<Vec<String>, AdminError> {
        let metadata = self.0.fetch_metadata(None, ASK_TIMEOUT);
        let metadata = metadata.map_err(failed("the cluster cannot be asked"))?;
        Ok(metadata.brokers().iter().map(|b| format!("{}:{}", b.host(), b.port())).collect())
    }

    /// Where each partition begins and ends.
    pub fn bounds(&self, topic: &str, partitions: i32) -> Result<Vec<Bounds>, AdminError> {
        let what = format!("topic {topic:?}: its offsets cannot be read");
        (0..partitions)
            .map(|partition| {
                let found = self.0.fetch_watermarks(topic, partition, ASK_TIMEOUT);
                let (low, high) = found.map_err(failed(&what))?;
                Ok(Bounds { partition, low, high })
            })
            .collect()
    }

    /// What the configured group has committed of each partition.
    pub fn committed(&self, topic: &str, partitions: i32) -> Result<Vec<Option<i64>>, AdminError> {
        let what = format!("topic {topic:?}: the group's committed offsets cannot be read");
        let mut list = TopicPartitionList::new();
        list.add_partition_range(topic, 0, partitions - 1);
        let list = self.0.committed_offsets(list, ASK_TIMEOUT).map_err(failed(&what))?;
        list.elements()
            .iter()
            .map(|element| {
                element.error().map_err(failed(&what))?;
                Ok(match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                })
            })
            .collect()
    }

    /// Hands over every record between the bounds, partition by partition as they
    /// come, until `each` has enough.
    pub fn read(
        &self,
        topic: &str,
        bounds: &[Bounds],
        mut each: impl FnMut(PeekedRecord) -> ControlFlow<()>,
    ) -> Result<(), AdminError> {
        let what = format!("topic {topic:?} cannot be read");
        let mut left: BTreeMap<i32, i64> = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        for Bounds { partition, low, high } in bounds.iter().filter(|b| b.low < b.high) {
            list.add_partition_offset(topic, *partition, Offset::Offset(*low))
                .map_err(failed(&what))?;
            left.insert(*partition, *high);
        }
        if left.is_empty() {
            return Ok(());
        }
        self.0.assign(&list).map_err(failed(&what))?;
        let done = self.read_assigned(&what, &mut left, &mut each);
        self.0.unassign().map_err(failed(&what))?;
        done
    }

    fn read_assigned(
        &self,
        what: &str,
        left: &mut BTreeMap<i32, i64>,
        each: &mut impl FnMut(PeekedRecord) -> ControlFlow<()>,
    ) -> Result<(), AdminError> {
        let mut heard = Instant::now();
        while !left.is_empty() {
            match self.0.poll(POLL_TIMEOUT) {
                None if heard.elapsed() < SILENCE_TIMEOUT => continue,
                None => {
                    let silent = SILENCE_TIMEOUT.as_secs();
                    return Err(AdminError::Unavailable(format!(
                        "{what}: nothing came for {silent} s"
                    )));
                }
                Some(Ok(message)) => {
                    let Some(&end) = left.get(&message.partition()) else { continue };
                    if message.offset() + 1 >= end {
                        left.remove(&message.partition());
                    }
                    if message.offset() < end && each(owned(&message)).is_break() {
                        return Ok(());
                    }
                }
                // Markers and compaction may leave no record before the end.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    left.remove(&partition);
                }
                Some(Err(error)) if is_passing(&error) && heard.elapsed() < SILENCE_TIMEOUT => {
                    continue;
                }
                Some(Err(error)) => return Err(AdminError::of_error(what, &error)),
            }
            heard = Instant::now();
        }
        Ok(())
    }
}

/// librdkafka goes on by itself.
fn is_passing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::Resolve
        )
    )
}

fn owned(message: &impl Message) -> PeekedRecord {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect()
    });
    PeekedRecord {
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}
