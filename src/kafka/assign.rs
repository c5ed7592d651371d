//! What the group assigns, on the thread that polls librdkafka: each partition is
//! looked up (the topic's id, where to begin) and handed over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use weir_actors::position::{PartitionId, TopicPartition};
use weir_actors::source::{Assigned, Assignment, SourceError};

use super::group::{Group, GroupConsumer, is_cooperative, lock, names};
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

impl Group {
    pub(super) fn assign(
        &self,
        consumer: &GroupConsumer,
        list: &TopicPartitionList,
    ) -> KafkaResult<()> {
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
    /// cannot be read, and must not be guessed; if the group gave us up meanwhile, it
    /// says so afterwards. `None` if waiting became pointless.
    fn look_up(
        &self,
        consumer: &GroupConsumer,
        wanted: &[(String, i32)],
    ) -> Option<Vec<Option<(TopicInfo, Known)>>> {
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
                if self.is_closing() || consumer.assignment_lost() {
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
        let described =
            topic_id::describe(consumer.client(), &names, DESCRIBE_TIMEOUT).map_err(|code| {
                let what = "the topics' ids (which brokers before 2.8 do not have)";
                Unanswered::new(what, Some(code), &code.to_string())
            })?;
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

fn give(consumer: &GroupConsumer, list: &TopicPartitionList) -> KafkaResult<()> {
    match is_cooperative(consumer) {
        true => consumer.incremental_assign(list),
        false => consumer.assign(list),
    }
}
