//! The source on Kafka: the consumer group, on a thread of its own, and commits.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use weir_actors::position::TopicPartition;
use weir_actors::source::{Assignment, Source, SourceError};

use super::client;
use super::config::KafkaConfig;
use super::group::{Group, GroupConsumer, GroupContext, Hold};
use super::partition::run_blocking;
use super::queue;

/// The poll thread looks so often whether the source is to be closed. Events wake
/// it at once.
const POLL: Duration = Duration::from_millis(50);

/// Kafka's side of [`Source`].
///
/// One thread, `kafka-poll`, serves the group; librdkafka's own threads fetch. The
/// readers take what was fetched on their own threads. `assignment` hands over an
/// empty list of partitions too, when the group decides that.
pub struct KafkaSource {
    group: Arc<Group>,
    decisions: tokio::sync::Mutex<mpsc::UnboundedReceiver<Result<Assignment, SourceError>>>,
    /// One commit at a time: a later one must not be overtaken by an earlier.
    commits: Arc<tokio::sync::Mutex<()>>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl KafkaSource {
    /// Joins the group. What the brokers think of it comes by `assignment`.
    pub fn join(config: KafkaConfig) -> Result<Self, SourceError> {
        let faults = config.validate();
        if !faults.is_empty() {
            return Err(SourceError::Fatal(faults.join("; ")));
        }
        let client_config = client::consumer(&config).map_err(SourceError::Fatal)?;
        let topics = config.topics.clone();
        let (group, decisions) = Group::new(config);
        let fatal = |e: KafkaError| {
            SourceError::Fatal(format!("the consumer cannot be made: {}", client::fault_text(&e)))
        };
        let consumer: GroupConsumer =
            client_config.create_with_context(GroupContext(group.clone())).map_err(fatal)?;
        let consumer = Arc::new(consumer);
        // Nothing calls back before the first poll.
        group.consumer.get_or_init(|| Arc::downgrade(&consumer));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics).map_err(fatal)?;
        let polled = group.clone();
        let thread = std::thread::Builder::new()
            .name("kafka-poll".to_owned())
            .spawn(move || poll(&polled, consumer))
            .map_err(|e| SourceError::Fatal(format!("no thread for Kafka: {e}")))?;
        Ok(Self {
            group,
            decisions: decisions.into(),
            commits: Arc::default(),
            thread: Some(thread).into(),
        })
    }

    /// How many messages librdkafka keeps ahead of all readers.
    #[cfg(test)]
    pub(super) fn ahead(&self) -> usize {
        self.group.ahead()
    }

    fn consumer(&self) -> Result<Arc<GroupConsumer>, SourceError> {
        self.group.consumer.get().and_then(|c| c.upgrade()).ok_or(SourceError::Revoked)
    }
}

/// Serves the group until the source is closed, then leaves it.
fn poll(group: &Group, consumer: Arc<GroupConsumer>) {
    /// However the thread ends: nobody waits for a decision that never comes.
    struct End<'a>(&'a Group);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.closing.store(true, Ordering::Release);
            self.0.end();
        }
    }
    let end = End(group);
    while !group.is_closing() {
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => {
                group.misrouted(message.topic(), message.partition(), message.offset());
            }
            Some(Err(error)) => on_error(group, &consumer, &error),
        }
    }
    drop(end);
    // The last of it leaves the group and waits for that.
    drop(consumer);
}

/// What librdkafka cannot mend is told; what it can was logged.
fn on_error(group: &Group, consumer: &GroupConsumer, error: &KafkaError) {
    let Some(code) = error.rdkafka_error_code() else { return };
    let text = match consumer.client().fatal_error() {
        Some((code, text)) => format!("{code}: {text}"),
        None if client::is_fatal(code) => error.to_string(),
        None => return,
    };
    group.tell(Err(SourceError::Fatal(format!("the consumer group cannot go on: {text}"))));
}

#[async_trait(?Send)]
impl Source for KafkaSource {
    async fn assignment(&self) -> Result<Option<Assignment>, SourceError> {
        self.decisions.lock().await.recv().await.transpose()
    }

    async fn commit(&self, offsets: &[(Arc<TopicPartition>, i64)]) -> Result<(), SourceError> {
        let (ours, gone): (Vec<_>, Vec<_>) =
            offsets.iter().cloned().partition(|(p, _)| self.group.hold(p) != Hold::Gone);
        if !ours.is_empty() {
            let consumer = self.consumer()?;
            let turn = self.commits.clone().lock_owned().await;
            let group = self.group.clone();
            run_blocking(move || {
                let committed = commit_blocking(&group, &consumer, &ours);
                drop(turn);
                committed
            })
            .await??;
        }
        if gone.is_empty() { Ok(()) } else { Err(SourceError::Revoked) }
    }

    async fn close(&self) {
        self.group.closing.store(true, Ordering::Release);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = run_blocking(move || thread.join().is_ok()).await;
            if !matches!(joined, Ok(true)) {
                tracing::error!("the thread that polls Kafka ended by a panic");
            }
        }
    }
}

impl Drop for KafkaSource {
    /// Without `close` the thread leaves the group by itself, and nobody waits.
    fn drop(&mut self) {
        self.group.closing.store(true, Ordering::Release);
    }
}

fn commit_blocking(
    group: &Group,
    consumer: &GroupConsumer,
    offsets: &[(Arc<TopicPartition>, i64)],
) -> Result<(), SourceError> {
    // The latest of each, should one stand there twice.
    let latest: BTreeMap<(&str, i32), i64> =
        offsets.iter().map(|(p, offset)| ((&*p.topic, p.id.number), *offset)).collect();
    let mut list = TopicPartitionList::with_capacity(latest.len());
    for ((topic, number), offset) in latest {
        list.add_partition_offset(topic, number, Offset::Offset(offset))
            .map_err(|e| SourceError::Fatal(format!("commit of {topic}[{number}]: {e}")))?;
    }
    let Err((code, failed)) = queue::commit(consumer.client(), &list) else { return Ok(()) };
    let gave_up =
        matches!(code, RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration);
    let gone = |(partition, _): &(Arc<TopicPartition>, i64)| match group.hold(partition) {
        Hold::Ours => false,
        // The group did not wait for the drain: the next owner reads these again.
        Hold::Draining => gave_up,
        Hold::Gone => true,
    };
    if offsets.iter().any(gone) {
        return Err(SourceError::Revoked);
    }
    let which = failed.iter().map(|(t, n, code)| format!("{t}[{n}]: {code}")).collect::<Vec<_>>();
    let which = if which.is_empty() { code.to_string() } else { which.join(", ") };
    Err(match code {
        code if client::is_fatal(code) => {
            SourceError::Fatal(format!("offsets cannot be committed: {which}"))
        }
        RDKafkaErrorCode::UnknownMemberId
        | RDKafkaErrorCode::IllegalGeneration
        | RDKafkaErrorCode::RebalanceInProgress
        | RDKafkaErrorCode::AssignmentLost => SourceError::Transient(format!(
            "offsets are not committed while the group rebalances ({which}); they are, by this \
             node or the next owner, after it"
        )),
        _ => SourceError::Transient(format!("offsets were not committed: {which}")),
    })
}
