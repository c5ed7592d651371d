//! A topic on the real broker: sending, and reading all of it back.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Headers, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::input::Message;

/// Nothing here takes so long on a machine that works.
pub const DEADLINE: Duration = Duration::from_secs(180);

pub struct Topic {
    pub brokers: String,
    pub name: String,
}

/// A message as a reader sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Topic {
    pub fn create(brokers: &str, name: &str, partitions: i32) -> Self {
        let admin: AdminClient<DefaultClientContext> =
            client(brokers).create().expect("a client needs nothing");
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime needs nothing");
        let created = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()));
        created.expect("the broker answers")[0].as_ref().expect("the topic is new");
        Self { brokers: brokers.to_owned(), name: name.to_owned() }
    }

    pub fn send(&self, key: Option<&[u8]>, value: &[u8]) {
        let message =
            Message { key: key.map(<[u8]>::to_vec), value: Some(value.to_vec()), events: 1 };
        self.send_all(&[message]);
    }

    pub fn send_all(&self, messages: &[Message]) {
        let producer: BaseProducer =
            client(&self.brokers).set("linger.ms", "20").create().expect("a client needs nothing");
        for message in messages {
            self.enqueue(&producer, message);
        }
        producer.flush(DEADLINE).expect("the broker takes everything");
    }

    fn enqueue(&self, producer: &BaseProducer, message: &Message) {
        loop {
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.name);
            if let Some(key) = &message.key {
                record = record.key(key);
            }
            if let Some(value) = &message.value {
                record = record.payload(value);
            }
            match producer.send(record) {
                Ok(()) => return,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    producer.poll(Duration::from_millis(50));
                }
                Err((error, _)) => panic!("{error}"),
            }
        }
    }

    /// Sends in transactions of 1,000, with aborted ones between them.
    pub fn send_in_transactions(&self, messages: &[Message]) {
        let producer: BaseProducer = client(&self.brokers)
            .set("transactional.id", &self.name)
            .create()
            .expect("a client needs nothing");
        producer.init_transactions(DEADLINE).expect("the broker has transactions");
        for (i, chunk) in messages.chunks(1_000).enumerate() {
            if i % 2 == 0 {
                producer.begin_transaction().expect("none is open");
                for message in &chunk[..chunk.len() / 2] {
                    self.enqueue(&producer, message);
                }
                producer.flush(DEADLINE).expect("the broker takes everything");
                producer.abort_transaction(DEADLINE).expect("it is open");
            }
            producer.begin_transaction().expect("none is open");
            for message in chunk {
                self.enqueue(&producer, message);
            }
            producer.commit_transaction(DEADLINE).expect("it is open");
        }
    }

    /// Where each partition ends.
    pub fn ends(&self) -> Vec<(i32, i64)> {
        let consumer: BaseConsumer = self.reader();
        let metadata = consumer.fetch_metadata(Some(&self.name), DEADLINE).expect("it answers");
        let mut numbers: Vec<i32> =
            metadata.topics()[0].partitions().iter().map(|p| p.id()).collect();
        numbers.sort_unstable();
        let end = |number| {
            let marks = consumer.fetch_watermarks(&self.name, number, DEADLINE);
            (number, marks.expect("it answers").1)
        };
        numbers.into_iter().map(end).collect()
    }

    /// What a group has committed.
    pub fn committed(&self, group: &str) -> Vec<(i32, i64)> {
        let consumer: BaseConsumer =
            client(&self.brokers).set("group.id", group).create().expect("a client needs nothing");
        let mut wanted = TopicPartitionList::new();
        for (number, _) in self.ends() {
            wanted.add_partition(&self.name, number);
        }
        let committed = consumer.committed_offsets(wanted, DEADLINE).expect("the broker answers");
        let offset = |o: Offset| o.to_raw().filter(|o| *o >= 0).unwrap_or(0);
        let mut all: Vec<_> =
            committed.elements().iter().map(|e| (e.partition(), offset(e.offset()))).collect();
        all.sort_unstable();
        all
    }

    /// Everything in it, partition by partition in order.
    pub fn read_all(&self) -> Vec<Seen> {
        let consumer = self.reader();
        let ends = self.ends();
        let mut assignment = TopicPartitionList::new();
        for (number, _) in &ends {
            assignment
                .add_partition_offset(&self.name, *number, Offset::Beginning)
                .expect("a plain offset");
        }
        consumer.assign(&assignment).expect("it is a plain list");
        let (mut seen, mut open) = (Vec::new(), ends.len());
        while open > 0 {
            match consumer.poll(DEADLINE) {
                Some(Ok(message)) => seen.push(Seen {
                    partition: message.partition(),
                    offset: message.offset(),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: message.headers().map(owned_headers).unwrap_or_default(),
                }),
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => panic!("{}: {error}", self.name),
                None => panic!("{}: nothing for {DEADLINE:?}", self.name),
            }
        }
        seen.sort_by_key(|s| (s.partition, s.offset));
        seen
    }

    fn reader(&self) -> BaseConsumer {
        client(&self.brokers)
            .set("group.id", "only-reading")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            .create()
            .expect("a client needs nothing")
    }
}

fn owned_headers(headers: &rdkafka::message::BorrowedHeaders) -> Vec<(String, Vec<u8>)> {
    headers
        .iter()
        .map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec).unwrap_or_default()))
        .collect()
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}
