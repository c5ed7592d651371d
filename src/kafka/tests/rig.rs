//! What the tests share: names of their own, topics, producers, and waiting with
//! a deadline.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::oneshot;
use weir_actors::position::TopicPartition;
use weir_actors::source::{Assigned, Assignment, PartitionSource, RawBatch, Source};

use crate::kafka::{KafkaAdmin, KafkaConfig, KafkaSource, SinkTopic};

/// Nothing here takes so long on a machine that works.
pub const DEADLINE: Duration = Duration::from_secs(60);
pub const BATCH_BYTES: usize = 64 << 10;

/// The broker's address; without one the test says that it is skipped.
pub fn broker() -> Option<String> {
    let address = std::env::var("WEIR_TEST_KAFKA").ok().filter(|a| !a.is_empty());
    if address.is_none() {
        println!("skipped: WEIR_TEST_KAFKA is not set");
    }
    address
}

/// A name that no other test has.
pub fn unique(what: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("weir-test-{}-{count}-{what}", std::process::id())
}

/// A topic, and how to get at it.
pub struct Rig {
    pub broker: String,
    pub topic: String,
    pub config: KafkaConfig,
    pub admin: KafkaAdmin,
}

impl Rig {
    pub async fn new(partitions: i32) -> Option<Self> {
        let broker = broker()?;
        let topic = unique("topic");
        let config = KafkaConfig {
            brokers: vec![broker.clone()],
            topics: vec![topic.clone()],
            group_id: unique("group"),
            metadata_refresh_ms: 1_000,
            ..KafkaConfig::default()
        };
        let admin = KafkaAdmin::new(&config).unwrap();
        let rig = Self { broker, topic, config, admin };
        rig.create(&rig.topic, partitions).await;
        Some(rig)
    }

    pub async fn create(&self, topic: &str, partitions: i32) {
        let topic = SinkTopic { create: true, partitions, ..SinkTopic::named(topic) };
        self.admin.create(&topic).await.unwrap();
    }

    pub fn native_admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.broker).create().unwrap()
    }

    /// Deletes the records before `offset` of partition 0.
    pub async fn delete_before(&self, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, 0, Offset::Offset(offset)).unwrap();
        let deleted = self.native_admin().delete_records(&list, &AdminOptions::new()).await;
        deleted.unwrap().elements()[0].error().unwrap();
    }

    pub fn producer(&self) -> FutureProducer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.broker)
            .set("linger.ms", "5")
            .create()
            .unwrap()
    }

    pub fn transactional_producer(&self) -> FutureProducer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.broker)
            .set("transactional.id", unique("transactions"))
            .create()
            .unwrap()
    }

    /// Writes `count` records to a partition: the values are `from`, `from + 1`...
    pub async fn produce(&self, partition: i32, from: u64, count: u64) {
        self.produce_with(&self.producer(), partition, from, count).await;
    }

    pub async fn produce_with(&self, to: &FutureProducer, partition: i32, from: u64, count: u64) {
        let mut waiting = Vec::new();
        for value in from..from + count {
            let payload = value.to_be_bytes();
            let record =
                || FutureRecord::to(&self.topic).partition(partition).key(b"k").payload(&payload);
            let mut sent = to.send_result(record());
            while sent.is_err() {
                tokio::task::yield_now().await;
                sent = to.send_result(record());
            }
            waiting.push(sent.unwrap());
        }
        for delivery in waiting {
            delivery.await.unwrap().unwrap();
        }
    }

    /// Makes the group forget its members, as if they had left: LeaveGroup, version
    /// 0, in their names.
    pub fn remove_members(&self) {
        let admin = self.native_admin();
        let groups = admin.inner().fetch_group_list(Some(&self.config.group_id), DEADLINE);
        for member in groups.unwrap().groups()[0].members() {
            let mut request = vec![0, 13, 0, 0, 0, 0, 0, 1];
            for text in ["test", &self.config.group_id, member.id()] {
                request.extend_from_slice(&(text.len() as u16).to_be_bytes());
                request.extend_from_slice(text.as_bytes());
            }
            let mut stream = TcpStream::connect(&self.broker).unwrap();
            stream.write_all(&(request.len() as u32).to_be_bytes()).unwrap();
            stream.write_all(&request).unwrap();
            // Length, correlation and the error, which is none.
            let mut answer = [0xff; 10];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer[8..], [0, 0]);
        }
    }

    pub fn join(&self) -> KafkaSource {
        KafkaSource::join(self.config.clone()).unwrap()
    }

    /// Joins, and takes the one partition.
    pub async fn join_one(&self) -> (KafkaSource, Assigned) {
        let mut source = self.join();
        let mut assigned = assigned(&mut source).await;
        assert_eq!(assigned.len(), 1);
        let assigned = assigned.remove(0);
        (source, assigned)
    }
}

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {DEADLINE:?}"),
    }
}

/// Looks until it is so.
pub async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !so() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub async fn decision(source: &mut KafkaSource) -> Assignment {
    within("a decision of the group", source.assignment()).await.unwrap().unwrap()
}

/// The next partitions that are assigned; an empty list is passed over.
pub async fn assigned(source: &mut KafkaSource) -> Vec<Assigned> {
    loop {
        match decision(source).await {
            Assignment::Assigned(assigned) if assigned.is_empty() => {}
            Assignment::Assigned(assigned) => return assigned,
            Assignment::Revoked { partitions, .. } => panic!("revoked: {partitions:?}"),
            Assignment::Lost(partitions) => panic!("lost: {partitions:?}"),
        }
    }
}

pub async fn revoked(source: &mut KafkaSource) -> (Vec<Arc<TopicPartition>>, oneshot::Sender<()>) {
    loop {
        match decision(source).await {
            Assignment::Assigned(assigned) if assigned.is_empty() => {}
            Assignment::Assigned(_) => panic!("assigned"),
            Assignment::Revoked { partitions, done } => return (partitions, done),
            Assignment::Lost(partitions) => panic!("lost: {partitions:?}"),
        }
    }
}

pub async fn next(reader: &mut (dyn PartitionSource + Send)) -> RawBatch {
    within("a batch", reader.next(BATCH_BYTES)).await.unwrap()
}

pub fn values(batch: &RawBatch) -> Vec<u64> {
    let value = |r: &weir_actors::source::RawRecord| {
        u64::from_be_bytes(r.value.of(&batch.bytes).unwrap().try_into().unwrap())
    };
    batch.records.iter().map(value).collect()
}

/// Reads until the batch that ends at `offset` or behind it.
pub async fn read_to(reader: &mut (dyn PartitionSource + Send), offset: i64) -> Vec<RawBatch> {
    let mut batches: Vec<RawBatch> = Vec::new();
    while batches.last().is_none_or(|b| b.next_offset < offset) {
        batches.push(next(reader).await);
    }
    batches
}

pub fn all_values(batches: &[RawBatch]) -> Vec<u64> {
    batches.iter().flat_map(values).collect()
}
