//! What the group revokes, on the thread that polls librdkafka: it waits until the
//! partitions are drained and committed, or until their time is up.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use tokio::sync::oneshot;
use weir_actors::position::TopicPartition;
use weir_actors::source::Assignment;

use super::group::{Group, GroupConsumer, is_cooperative, lock, names};
use super::partition::Slot;

/// While it waits, the thread looks so often whether waiting has become pointless.
const LOOK: Duration = Duration::from_millis(50);

impl Group {
    pub(super) fn revoke(
        &self,
        consumer: &GroupConsumer,
        list: &TopicPartitionList,
    ) -> KafkaResult<()> {
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

fn take_back(consumer: &GroupConsumer, list: &TopicPartitionList) -> KafkaResult<()> {
    match is_cooperative(consumer) {
        true => consumer.incremental_unassign(list),
        false => consumer.unassign(),
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
    if Future::poll(Pin::new(&mut *done), &mut context).is_ready() {
        return true;
    }
    thread::park_timeout(timeout);
    Future::poll(Pin::new(done), &mut context).is_ready()
}
