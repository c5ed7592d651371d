//! What the source, its poll thread and librdkafka's callbacks share of the
//! consumer group: the partitions that are ours, and the decisions to be told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::mpsc;
use weir_actors::position::TopicPartition;
use weir_actors::source::{Assignment, SourceError};

use super::client;
use super::config::KafkaConfig;
use super::partition::Slot;
use super::topic_id::TopicInfo;

pub(super) type GroupConsumer = BaseConsumer<GroupContext>;
type Decision = Result<Assignment, SourceError>;

/// What the source, its poll thread and librdkafka's callbacks share.
pub(super) struct Group {
    pub(super) config: KafkaConfig,
    /// Set once, before the first poll.
    pub(super) consumer: OnceLock<Weak<GroupConsumer>>,
    pub(super) closing: AtomicBool,
    /// Where decisions go; `None` once the source is closed.
    decisions: Mutex<Option<mpsc::UnboundedSender<Decision>>>,
    /// The partitions that are ours, those being drained among them.
    pub(super) slots: Mutex<BTreeMap<(String, i32), Arc<Slot>>>,
    /// The topics as they were when they were last assigned.
    pub(super) topics: Mutex<BTreeMap<String, TopicInfo>>,
}

/// How a partition is held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Ours,
    /// Revoked, and waited for.
    Draining,
    Gone,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    pub(super) fn new(config: KafkaConfig) -> (Arc<Self>, mpsc::UnboundedReceiver<Decision>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let group = Self {
            config,
            consumer: OnceLock::new(),
            closing: AtomicBool::new(false),
            decisions: Mutex::new(Some(sender)),
            slots: Mutex::default(),
            topics: Mutex::default(),
        };
        (Arc::new(group), receiver)
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// How the group holds a partition. By the whole of it: a topic made anew is
    /// another topic.
    pub(super) fn hold(&self, partition: &TopicPartition) -> Hold {
        let slots = lock(&self.slots);
        match slots.get(&(partition.topic.to_string(), partition.id.number)) {
            Some(slot) if *slot.partition != *partition => Hold::Gone,
            Some(slot) if slot.is_revoked() => Hold::Draining,
            Some(_) => Hold::Ours,
            None => Hold::Gone,
        }
    }

    /// How many messages librdkafka keeps ahead of all readers.
    #[cfg(test)]
    pub(super) fn ahead(&self) -> usize {
        lock(&self.slots).values().map(|slot| slot.ahead()).sum()
    }

    /// Whether somebody was told.
    pub(super) fn tell(&self, decision: Decision) -> bool {
        lock(&self.decisions).as_ref().is_some_and(|s| s.send(decision).is_ok())
    }

    /// Nothing more will be decided; no partition is read any more.
    pub(super) fn end(&self) {
        lock(&self.decisions).take();
        for slot in std::mem::take(&mut *lock(&self.slots)).values() {
            slot.close();
        }
    }

    /// A message in the consumer's own queue: no reader would ever see it.
    pub(super) fn misrouted(&self, topic: &str, partition: i32, offset: i64) {
        let text = format!(
            "{topic}[{partition}]: offset {offset} came by the consumer's queue instead of its \
             partition's; to go on would leave it out"
        );
        if let Some(slot) = lock(&self.slots).get(&(topic.to_owned(), partition)) {
            slot.fail(SourceError::Fatal(text.clone()));
        }
        self.tell(Err(SourceError::Fatal(text)));
    }
}

/// The consumer's context: librdkafka's callbacks.
pub(super) struct GroupContext(pub(super) Arc<Group>);

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition is no error, and told by its own queue.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            client::log_error(&error, reason);
        }
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(
        &self,
        consumer: &GroupConsumer,
        decision: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let result = match decision {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.0.assign(consumer, list),
            _ => self.0.revoke(consumer, list),
        };
        if let Err(error) = result {
            let text = format!("librdkafka refused a rebalance: {error}");
            self.0.tell(Err(SourceError::Fatal(text)));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        // Only the starts that were chosen are committed without waiting.
        if let Err(error) = result {
            tracing::warn!(%error, "the start of a partition could not be committed");
        }
    }
}

pub(super) fn names(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect()
}

pub(super) fn is_cooperative(consumer: &GroupConsumer) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}
