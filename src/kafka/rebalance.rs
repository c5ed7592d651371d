//! The group's decisions, on the thread that polls librdkafka: what is assigned
//! is looked up (topic id, where to begin) and handed over; what is revoked is
//! waited for until it is drained and committed, or until its time is up.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};
use weir_actors::position::{PartitionId, TopicPartition};
use weir_actors::source::{Assigned, Assignment, SourceError};

use super::client;
use super::config::KafkaConfig;
use super::partition::{Reader, Slot};
use super::start::{self, Begin, Known, Unanswered};
use super::topic_id::{self, TopicInfo};

/// How long the cluster may take to describe topics.
const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// An unanswered question is asked again after this, doubled each time.
const ASK_AGAIN_MIN: Duration = Duration::from_millis(250);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(4);
/// While it waits, the thread looks so often whether waiting has become pointless.
const LOOK: Duration = Duration::from_millis(50);

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
    slots: Mutex<BTreeMap<(String, i32), Arc<Slot>>>,
    /// The topics as they were when they were last assigned.
    topics: Mutex<BTreeMap<String, TopicInfo>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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

    /// Whether the partition is ours, or being drained.
    pub(super) fn owns(&self, partition: &TopicPartition) -> bool {
        let slots = lock(&self.slots);
        // By the whole of it: a topic made anew is another topic.
        slots.values().any(|slot| *slot.partition == *partition)
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
        if !matches!(error.rdkafka_error_code(), Some(code) if is_end(code)) {
            client::log_error(&error, reason);
        }
    }
}

fn is_end(code: rdkafka::error::RDKafkaErrorCode) -> bool {
    code == rdkafka::error::RDKafkaErrorCode::PartitionEOF
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

fn names(list: &TopicPartitionList) -> Vec<(String, i32)> {
    list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect()
}

// What is assigned.
impl Group {
    fn assign(&self, consumer: &GroupConsumer, list: &TopicPartitionList) -> KafkaResult<()> {
        let wanted = names(list);
        let found = if self.is_closing() { None } else { self.look_up(consumer, &wanted) };
        let Some(found) = found else {
            // Nobody reads these; the group takes them back, or the source closes.
            return give(consumer, list);
        };
        let mut explicit = TopicPartitionList::with_capacity(wanted.len());
        let mut chosen = TopicPartitionList::new();
        let mut assigned = Vec::with_capacity(wanted.len());
        for ((topic, number), found) in wanted.into_iter().zip(found) {
            let Some((info, known)) = found else {
                explicit.add_partition(&topic, number);
                continue;
            };
            let begin = start::begin(&self.config.start, known);
            let offset = Offset::Offset(begin.offset());
            explicit.add_partition_offset(&topic, number, offset)?;
            if matches!(begin, Begin::Chosen(_)) {
                chosen.add_partition_offset(&topic, number, offset)?;
            }
            assigned.push(self.hand_over(&info, number, begin, known));
        }
        give(consumer, &explicit)?;
        if chosen.count() > 0 {
            consumer.commit(&chosen, CommitMode::Async)?;
        }
        self.tell(Ok(Assignment::Assigned(assigned)));
        Ok(())
    }

    /// Makes the partition's slot, its queue split off before it is assigned.
    fn hand_over(&self, info: &TopicInfo, number: i32, begin: Begin, known: Known) -> Assigned {
        let id = PartitionId { topic: info.id, number };
        let partition = Arc::new(TopicPartition { topic: Arc::from(info.name.as_str()), id });
        let consumer = self.consumer.get().cloned().unwrap_or_default();
        let slot = Slot::new(partition.clone(), consumer, begin.offset(), known.high);
        if let Err(error) = slot.open() {
            slot.fail(error);
        }
        if let Begin::Gone(committed) = begin {
            let who = format!("the group \"{}\"", self.config.group_id);
            let text = start::loss_text(&partition, &who, committed, known.low, known.high);
            slot.fail(SourceError::Loss(text));
        }
        let before = lock(&self.slots).insert((info.name.clone(), number), slot.clone());
        if let Some(before) = before {
            before.close();
        }
        Assigned { partition, start_offset: begin.offset(), reader: Box::new(Reader(slot)) }
    }

    /// What the brokers know of each partition, `None` for one whose topic is not
    /// there. Asks again until they answer: an assignment that cannot be looked up
    /// cannot be read, and must not be guessed. `None` if waiting became pointless.
    fn look_up(
        &self,
        consumer: &GroupConsumer,
        wanted: &[(String, i32)],
    ) -> Option<Vec<Option<(TopicInfo, Known)>>> {
        let give_up = Instant::now() + Duration::from_millis(self.config.max_poll_interval_ms());
        let mut pause = ASK_AGAIN_MIN;
        loop {
            let unanswered = match self.look_up_once(consumer, wanted) {
                Ok(found) => return Some(found),
                Err(unanswered) => unanswered,
            };
            if unanswered.fatal {
                self.tell(Err(SourceError::Fatal(unanswered.text)));
                return None;
            }
            tracing::warn!(error = unanswered.text, "assigned partitions cannot be looked up yet");
            let until = Instant::now() + pause;
            while Instant::now() < until {
                if self.is_closing() || consumer.assignment_lost() || Instant::now() > give_up {
                    return None;
                }
                thread::sleep(LOOK);
            }
            pause = (pause * 2).min(ASK_AGAIN_MAX);
        }
    }

    fn look_up_once(
        &self,
        consumer: &GroupConsumer,
        wanted: &[(String, i32)],
    ) -> Result<Vec<Option<(TopicInfo, Known)>>, Unanswered> {
        let topics = self.describe(consumer, wanted)?;
        let there = |(topic, number): &&(String, i32)| {
            topics.get(topic).is_some_and(|info| *number < info.partitions)
        };
        let present: Vec<(String, i32)> = wanted.iter().filter(there).cloned().collect();
        let mut known = start::ask(consumer, &self.config.start, &present)?.into_iter();
        let found = wanted.iter().map(|partition| {
            if !there(&partition) {
                tracing::warn!(
                    topic = partition.0,
                    partition = partition.1,
                    "assigned, but it is not in the cluster any more: it is not read"
                );
                return None;
            }
            Some((topics.get(&partition.0)?.clone(), known.next()?))
        });
        Ok(found.collect())
    }

    /// The topics of `wanted` as they are now, and a word about each that changed.
    fn describe(
        &self,
        consumer: &GroupConsumer,
        wanted: &[(String, i32)],
    ) -> Result<BTreeMap<String, TopicInfo>, Unanswered> {
        let mut names: BTreeSet<String> = wanted.iter().map(|(topic, _)| topic.clone()).collect();
        names.extend(lock(&self.topics).keys().cloned());
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let described = topic_id::describe(consumer.client(), &names, DESCRIBE_TIMEOUT)
            .map_err(|code| Unanswered::new("the topics' ids", Some(code), &code.to_string()))?;
        let now: BTreeMap<String, TopicInfo> =
            described.into_iter().flatten().map(|info| (info.name.clone(), info)).collect();
        let mut topics = lock(&self.topics);
        for (name, info) in &now {
            tell_change(topics.get(name), info);
        }
        topics.clone_from(&now);
        Ok(now)
    }
}

/// Says what a topic has become.
fn tell_change(before: Option<&TopicInfo>, now: &TopicInfo) {
    let topic = &now.name;
    match before {
        Some(before) if before.id != now.id => tracing::warn!(
            topic, before = %before.id, now = %now.id,
            "the topic was made anew: it is another topic, with a history of its own"
        ),
        Some(before) if before.partitions != now.partitions => tracing::warn!(
            topic,
            before = before.partitions,
            now = now.partitions,
            "the topic has grown: its producers put keys into other partitions from now on"
        ),
        _ => {}
    }
}

fn is_cooperative(consumer: &GroupConsumer) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

fn give(consumer: &GroupConsumer, list: &TopicPartitionList) -> KafkaResult<()> {
    match is_cooperative(consumer) {
        true => consumer.incremental_assign(list),
        false => consumer.assign(list),
    }
}

fn take_back(consumer: &GroupConsumer, list: &TopicPartitionList) -> KafkaResult<()> {
    match is_cooperative(consumer) {
        true => consumer.incremental_unassign(list),
        false => consumer.unassign(),
    }
}

// What is revoked.
impl Group {
    fn revoke(&self, consumer: &GroupConsumer, list: &TopicPartitionList) -> KafkaResult<()> {
        let keys = names(list);
        let slots: Vec<Arc<Slot>> = {
            let slots = lock(&self.slots);
            keys.iter().filter_map(|key| slots.get(key).cloned()).collect()
        };
        slots.iter().for_each(|slot| slot.revoke());
        if !slots.is_empty() && !self.is_closing() {
            let partitions = || slots.iter().map(|slot| slot.partition.clone()).collect();
            let lost = consumer.assignment_lost() || self.drain(consumer, partitions());
            if lost {
                self.tell(Ok(Assignment::Lost(partitions())));
            }
        }
        // Only now: until here a commit of theirs is taken.
        for key in &keys {
            let slot = lock(&self.slots).remove(key);
            if let Some(slot) = slot {
                slot.close();
            }
        }
        take_back(consumer, list)
    }

    /// Waits until the partitions are let go. Answers whether they were lost
    /// meanwhile.
    fn drain(&self, consumer: &GroupConsumer, partitions: Vec<Arc<TopicPartition>>) -> bool {
        let (done, mut waiting) = oneshot::channel();
        let count = partitions.len();
        if !self.tell(Ok(Assignment::Revoked { partitions, done })) {
            return false;
        }
        let timeout_ms = self.config.drain_timeout_ms;
        let until = Instant::now() + Duration::from_millis(timeout_ms);
        while !wait(&mut waiting, LOOK.min(until.saturating_duration_since(Instant::now()))) {
            if self.is_closing() {
                return false;
            }
            if consumer.assignment_lost() {
                return true;
            }
            if Instant::now() >= until {
                tracing::warn!(
                    partitions = count,
                    timeout_ms,
                    "revoked partitions were not drained in time: they are let go uncommitted, and \
                     read again by whoever has them now"
                );
                return false;
            }
        }
        false
    }
}

/// Waits for `done`, at most about `timeout`; whether it was said (or dropped).
fn wait(done: &mut oneshot::Receiver<()>, timeout: Duration) -> bool {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    if let Poll::Ready(_) = Future::poll(Pin::new(&mut *done), &mut context) {
        return true;
    }
    thread::park_timeout(timeout);
    matches!(Future::poll(Pin::new(done), &mut context), Poll::Ready(_))
}
