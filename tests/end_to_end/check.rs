//! What a run came to, against the reference.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use weir::cassandra::{CassandraConfig, CassandraStore};
use weir::kafka::{KafkaAdmin, KafkaConfig, header};
use weir_actors::alert::{Alert, AlertKind};
use weir_actors::event::KeyEncoding;
use weir_actors::history::rows_in_order;
use weir_actors::position::{GroupId, PartitionId, Position, TopicId};
use weir_actors::store::{HistoryRange, Row, Store};

use super::input::Sent;
use super::node::{Plan, SETTINGS};
use super::topic::{DEADLINE, Seen};
use crate::reference::{self, ExpectedAlert, Logged};

pub struct Job<'a> {
    plan: &'a Plan,
}

/// The topic's content as the reference sees it.
struct Log {
    partitions: BTreeMap<i32, Vec<Logged>>,
    bad: Vec<Seen>,
}

impl<'a> Job<'a> {
    pub fn of(plan: &'a Plan) -> Self {
        Self { plan }
    }

    pub fn wait_until_committed(&self) {
        self.wait(|committed, end| committed == end);
    }

    /// Until something is committed, and not everything.
    pub fn wait_until_some_is_committed(&self) {
        let topic = self.plan.topic();
        let begun = Instant::now();
        while topic.committed(&self.plan.name).iter().all(|(_, offset)| *offset == 0) {
            assert!(begun.elapsed() < DEADLINE, "nothing is committed");
        }
    }

    fn wait(&self, enough: impl Fn(i64, i64) -> bool) {
        let topic = self.plan.topic();
        let begun = Instant::now();
        loop {
            let (committed, ends) = (topic.committed(&self.plan.name), topic.ends());
            if committed.iter().zip(&ends).all(|(c, e)| enough(c.1, e.1)) {
                return;
            }
            assert!(begun.elapsed() < DEADLINE, "committed {committed:?} of {ends:?}");
            // The broker's answer takes a while by itself; no need to sleep.
        }
    }

    /// Lag is 0, and history, alerts and dead letters are what they must be.
    pub fn check(&self, sent: &Sent) {
        let topic = self.plan.topic();
        assert_eq!(topic.committed(&self.plan.name), topic.ends(), "lag is 0");
        let log = self.log(&topic.read_all());
        let events: usize = log.partitions.values().map(Vec::len).sum();
        assert_eq!((events as u64, log.bad.len() as u64), (sent.events, sent.bad));
        let topic_id = self.topic_id();
        self.check_history(topic_id, &log);
        self.check_alerts(topic_id, &log);
        self.check_dead_letters(&log);
    }

    fn topic_id(&self) -> TopicId {
        let config = KafkaConfig {
            brokers: vec![self.plan.brokers.clone()],
            topics: vec![self.plan.topic().name],
            ..KafkaConfig::default()
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime needs nothing");
        let admin = KafkaAdmin::new(&config).expect("it is plain");
        let info = runtime.block_on(admin.topic(&self.plan.topic().name));
        info.expect("the broker answers").expect("the topic is there").id
    }

    /// Reads the messages with another JSON library than the product's.
    fn log(&self, seen: &[Seen]) -> Log {
        let mut log = Log { partitions: BTreeMap::new(), bad: Vec::new() };
        for message in seen {
            let events = self.events(message);
            if events.is_empty() {
                log.bad.push(message.clone());
            }
            log.partitions.entry(message.partition).or_default().extend(events);
        }
        log
    }

    fn events(&self, message: &Seen) -> Vec<Logged> {
        let json = message
            .value
            .as_deref()
            .and_then(|v| serde_json::from_slice::<serde_json::Value>(v).ok());
        let Some(json) = json else { return Vec::new() };
        let Some(time_us) = json["time"].as_str().and_then(time_us) else { return Vec::new() };
        let key = match self.plan.several_values {
            true => json["sensor"].as_str().map(|s| s.as_bytes().to_vec()),
            false => message.key.clone(),
        };
        let Some(key) = key else { return Vec::new() };
        let fields: &[&str] = if self.plan.several_values { &["t", "h"] } else { &["value"] };
        let mut events = Vec::new();
        for (index, field) in fields.iter().enumerate() {
            let Some(value) = json[field].as_f64().filter(|v| v.is_finite()) else { continue };
            let mut series = key.clone();
            if self.plan.several_values {
                series.extend_from_slice(format!("/{field}").as_bytes());
            }
            let position = Position { offset: message.offset, index: index as u16 };
            events.push(Logged { position, series, time_us, value });
        }
        events
    }

    fn check_history(&self, topic: TopicId, log: &Log) {
        let config = CassandraConfig {
            contact_points: vec![self.plan.cassandra.clone()],
            keyspace: self.plan.name.clone(),
            ..CassandraConfig::default()
        };
        let runtime = tokio::runtime::Runtime::new().expect("a runtime needs nothing");
        let store =
            runtime.block_on(CassandraStore::connect(&config, &self.plan.name, KeyEncoding::Utf8));
        let store = store.expect("the store is there");
        for (number, events) in &log.partitions {
            let partition = PartitionId { topic, number: *number };
            let rows = runtime.block_on(stored(&store, partition));
            let found: Vec<Logged> = rows
                .into_iter()
                .map(|r| Logged {
                    position: r.position,
                    series: r.series,
                    time_us: r.time_us,
                    value: r.value,
                })
                .collect();
            assert_eq!(found.len(), events.len(), "events of partition {number}");
            for (found, expected) in found.iter().zip(events) {
                assert_eq!(found, expected, "partition {number}");
            }
        }
    }

    fn check_alerts(&self, topic: TopicId, log: &Log) {
        let mut expected = BTreeMap::new();
        for (number, events) in &log.partitions {
            let partition = PartitionId { topic, number: *number };
            expected.extend(reference::alerts(partition, events, &SETTINGS));
        }
        let mut found: BTreeMap<String, ExpectedAlert> = BTreeMap::new();
        for message in self.plan.alerts().read_all() {
            let alert: Alert = serde_json::from_slice(message.value.as_deref().unwrap_or_default())
                .expect("an alert");
            let seen = ExpectedAlert {
                kind: match alert.kind {
                    AlertKind::Opened => "opened",
                    AlertKind::Updated => "updated",
                    AlertKind::Closed => "closed",
                    AlertKind::Storm => "storm",
                },
                offset: alert.offset,
                series: alert.series.into_bytes(),
                count: alert.count,
                score_millionths: (alert.score * 1e6).round() as i64,
            };
            if let Some(before) = found.insert(alert.id.clone(), seen.clone()) {
                assert_eq!(before, seen, "{} said twice, and not the same", alert.id);
            }
        }
        assert!(expected.len() > 20, "only {} alerts: the test shows little", expected.len());
        let missing: Vec<_> = expected.iter().filter(|(id, _)| !found.contains_key(*id)).collect();
        let surplus: Vec<_> = found.iter().filter(|(id, _)| !expected.contains_key(*id)).collect();
        assert!(
            missing.is_empty() && surplus.is_empty(),
            "missing {missing:#?} surplus {surplus:#?}"
        );
        for (id, alert) in &expected {
            assert_eq!(&found[id], alert, "{id}");
        }
    }

    fn check_dead_letters(&self, log: &Log) {
        let letters = self.plan.dead_letters().read_all();
        let mut found = BTreeSet::new();
        for letter in &letters {
            let header = |name: &str| {
                let value = letter.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
                String::from_utf8(value.expect("the header is there")).expect("it is text")
            };
            assert_eq!(header(header::TOPIC), self.plan.topic().name);
            assert!(!header(header::REASON).is_empty() && !header(header::DETAIL).is_empty());
            let partition: i32 = header(header::PARTITION).parse().expect("a number");
            let offset: i64 = header(header::OFFSET).parse().expect("a number");
            found.insert((partition, offset, letter.key.clone(), letter.value.clone()));
        }
        let bad = log.bad.iter().map(|b| (b.partition, b.offset, b.key.clone(), b.value.clone()));
        assert_eq!(found, bad.collect(), "the dead letters are the bad messages, as they came");
    }
}

async fn stored(store: &CassandraStore, partition: PartitionId) -> Vec<Row> {
    let buckets = store.bucket_times(partition).await.expect("the store answers");
    let mut all = Vec::new();
    for group in 0..SETTINGS.key_groups {
        for bucket in &buckets {
            let range = HistoryRange { bucket: bucket.bucket, after: None, before: None };
            let history = store.history(GroupId { partition, group }, range).await;
            let rows = rows_in_order(&history.expect("the store answers"), range);
            all.extend(rows.expect("it is whole"));
        }
    }
    all.sort_by_key(|row: &Row| row.position);
    all
}

fn time_us(text: &str) -> Option<i64> {
    let with_zone = if text.ends_with('Z') { text.to_owned() } else { format!("{text}Z") };
    let time: jiff::Timestamp = with_zone.replace(' ', "T").parse().ok()?;
    Some(time.as_microsecond())
}
