//! The configuration of Kafka: one value, parsed once, every fault in it told at
//! once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::client;
use super::properties::{self, Properties};

/// What one fetch may bring of one partition, at most: librdkafka's response
/// buffer bounds it.
const FETCH_BYTES_MAX: usize = 50 << 20;
/// What librdkafka itself takes for `max.poll.interval.ms` unless told otherwise.
const MAX_POLL_INTERVAL_MS: u64 = 300_000;
/// A topic's name has no more characters.
const TOPIC_CHARS_MAX: usize = 249;

/// Where a partition begins to be read in which the group has committed nothing
/// yet. A committed offset always comes first: a rebalance or a restart must go
/// on where the work stands. To read anew, take a new group (and a new job).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// The committed offset; where there is none, the log's beginning.
    #[default]
    Committed,
    /// The log's beginning.
    Earliest,
    /// The log's end at the moment of the first assignment. That offset is
    /// committed at once, so that a restart before the first event skips nothing.
    /// A partition that is added to a live topic begins at its end too: what was
    /// sent to it before it was noticed is not read.
    Latest,
    /// The first record with this time or a later one, RFC 3339:
    /// `start = { timestamp = "2026-01-01T00:00:00Z" }`. The log's end if there is
    /// none; committed at once, like `latest`.
    Timestamp(String),
}

impl Start {
    /// The time in milliseconds since 1970, if it is one.
    pub(super) fn timestamp_ms(&self) -> Result<Option<i64>, String> {
        match self {
            Self::Timestamp(text) => match text.parse::<jiff::Timestamp>() {
                Ok(time) if time.as_millisecond() >= 0 => Ok(Some(time.as_millisecond())),
                Ok(_) => Err(format!("kafka.start.timestamp {text:?} is before 1970")),
                Err(e) => Err(format!(
                    "kafka.start.timestamp {text:?} is not RFC 3339 ({e}); write it like \
                     \"2026-01-01T00:00:00Z\""
                )),
            },
            _ => Ok(None),
        }
    }
}

/// How Weir joins Kafka.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// Brokers to begin with, each `host:port`.
    pub brokers: Vec<String>,
    /// Names of topics, or patterns: what begins with `^` is a regular expression
    /// (POSIX extended) over the names of all topics.
    pub topics: Vec<String>,
    /// The consumer group; nodes of one job share it.
    pub group_id: String,
    /// Set it, differently on each node, for static membership: a restart within
    /// the session's time moves no partition; but a static member does not leave
    /// when it stops, so that a scale-down stalls its partitions for as long.
    pub group_instance_id: Option<String>,
    /// How partitions are shared: `cooperative-sticky`, `range` or `roundrobin`.
    pub assignment: String,
    /// Where to begin when nothing is committed.
    pub start: Start,
    /// A node not heard of for so long has lost its partitions. The broker bounds
    /// it (6,000 to 1,800,000 by default).
    pub session_timeout_ms: u64,
    /// How long a revoked partition may drain before it is let go uncommitted. In
    /// that time the node reads nothing at all: librdkafka pauses every partition
    /// during a rebalance.
    pub drain_timeout_ms: u64,
    /// The most that one fetch brings of one partition, in bytes as they are stored
    /// (a larger record still comes, alone). It bounds what librdkafka keeps ahead
    /// of each partition's reader: 4 times this in the bytes of the messages, or
    /// 20,000 messages (some 350 bytes of memory each), whichever comes first,
    /// overshot by one fetch as it is when decompressed. The limit is per partition:
    /// it cannot be divided by the number assigned, which changes while the client
    /// lives. Lower it for topics that compress well.
    pub fetch_bytes_max: usize,
    /// Skip what a transaction aborted, and wait for what one has not ended.
    pub read_committed: bool,
    /// How often topics are looked up again: new partitions, new topics that match
    /// a pattern.
    pub metadata_refresh_ms: u64,
    /// Any property of librdkafka, passed through last to every client (TLS, SASL,
    /// tuning). Those that would break a promise are refused.
    pub properties: Properties,
    /// Properties read from files, by name: for secrets. A newline at the end of
    /// the file is not part of the value.
    pub properties_from_files: BTreeMap<String, PathBuf>,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: vec!["127.0.0.1:9092".to_owned()],
            topics: Vec::new(),
            group_id: "weir".to_owned(),
            group_instance_id: None,
            assignment: "cooperative-sticky".to_owned(),
            start: Start::Committed,
            session_timeout_ms: 10_000,
            drain_timeout_ms: 10_000,
            fetch_bytes_max: 256 << 10,
            read_committed: true,
            metadata_refresh_ms: 30_000,
            properties: Properties::default(),
            properties_from_files: BTreeMap::new(),
        }
    }
}

impl KafkaConfig {
    /// Everything that is wrong with it, each with what to do; empty if nothing is.
    /// Reads the files that it names, and asks no broker.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        self.validate_brokers(&mut faults);
        self.validate_topics(&mut faults);
        self.validate_group(&mut faults);
        self.validate_limits(&mut faults);
        self.validate_properties(&mut faults);
        faults
    }

    fn validate_brokers(&self, faults: &mut Vec<String>) {
        if self.brokers.is_empty() {
            faults.push("kafka.brokers is empty; name at least one as \"host:port\"".to_owned());
        }
        for broker in &self.brokers {
            let port = broker.rsplit_once(':').and_then(|(host, port)| {
                port.parse::<u16>().ok().filter(|p| *p > 0 && !host.is_empty())
            });
            if port.is_none() || broker.contains([',', ' ']) {
                faults.push(format!("kafka.brokers: {broker:?} is not \"host:port\""));
            }
        }
    }

    fn validate_topics(&self, faults: &mut Vec<String>) {
        if self.topics.is_empty() {
            faults.push("kafka.topics is empty; name the topics to read".to_owned());
        }
        for topic in &self.topics {
            if topic.starts_with('^') {
                if let Err(e) = regex_lite::Regex::new(topic) {
                    faults.push(format!("kafka.topics: {topic:?} is not a pattern: {e}"));
                }
            } else if let Some(fault) = topic_fault(topic) {
                faults.push(format!("kafka.topics: {fault}"));
            }
        }
        if let Err(fault) = self.start.timestamp_ms() {
            faults.push(fault);
        }
    }

    fn validate_group(&self, faults: &mut Vec<String>) {
        if self.group_id.is_empty() {
            faults.push("kafka.group_id is empty; name the group, e.g. \"weir\"".to_owned());
        }
        if self.group_instance_id.as_deref() == Some("") {
            faults.push(
                "kafka.group_instance_id is empty; leave it out, or name this node".to_owned(),
            );
        }
        if !["cooperative-sticky", "range", "roundrobin"].contains(&self.assignment.as_str()) {
            faults.push(format!(
                "kafka.assignment is {:?}; it can be \"cooperative-sticky\", \"range\" or \
                 \"roundrobin\"",
                self.assignment
            ));
        }
    }

    fn validate_limits(&self, faults: &mut Vec<String>) {
        if !(1_000..=3_600_000).contains(&self.session_timeout_ms) {
            faults.push(format!(
                "kafka.session_timeout_ms is {}; it can be 1,000 to 3,600,000 (and what the \
                 broker allows)",
                self.session_timeout_ms
            ));
        }
        let max_poll_interval_ms = self.max_poll_interval_ms();
        if self.drain_timeout_ms >= max_poll_interval_ms {
            faults.push(format!(
                "kafka.drain_timeout_ms is {}; it must be below max.poll.interval.ms ({}), or the \
                 group gives the node up while it drains",
                self.drain_timeout_ms, max_poll_interval_ms
            ));
        }
        if max_poll_interval_ms < self.session_timeout_ms {
            faults.push(format!(
                "kafka.properties: max.poll.interval.ms ({max_poll_interval_ms}) must not be below \
                 kafka.session_timeout_ms ({})",
                self.session_timeout_ms
            ));
        }
        if !(1024..=FETCH_BYTES_MAX).contains(&self.fetch_bytes_max) {
            faults.push(format!(
                "kafka.fetch_bytes_max is {}; it can be 1,024 to {FETCH_BYTES_MAX}",
                self.fetch_bytes_max
            ));
        }
        if !(1_000..=3_600_000).contains(&self.metadata_refresh_ms) {
            faults.push(format!(
                "kafka.metadata_refresh_ms is {}; it can be 1,000 to 3,600,000",
                self.metadata_refresh_ms
            ));
        }
    }

    fn validate_properties(&self, faults: &mut Vec<String>) {
        let inline = self.properties.0.keys();
        let names: BTreeSet<&String> = inline.chain(self.properties_from_files.keys()).collect();
        for name in names {
            if let Some(why) = properties::refusal(name) {
                faults.push(format!("kafka.properties: {name} cannot be set: {why}"));
                continue;
            }
            if self.properties.0.contains_key(name) && self.properties_from_files.contains_key(name)
            {
                faults.push(format!(
                    "kafka.properties: {name} stands also in kafka.properties_from_files; leave \
                     one out"
                ));
            }
            match self.property(name) {
                Ok(value) => faults.extend(client::property_fault(name, &value)),
                Err(fault) => faults.push(fault),
            }
        }
    }

    /// `max.poll.interval.ms` as it will be.
    pub(super) fn max_poll_interval_ms(&self) -> u64 {
        let set = self.properties.0.get("max.poll.interval.ms");
        set.and_then(|v| v.parse().ok()).unwrap_or(MAX_POLL_INTERVAL_MS)
    }

    /// The value of a property, from its file if it stands in one.
    fn property(&self, name: &str) -> Result<String, String> {
        if let Some(path) = self.properties_from_files.get(name) {
            return match std::fs::read_to_string(path) {
                Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
                Err(e) => Err(format!(
                    "kafka.properties_from_files: {name}: {} cannot be read: {e}",
                    path.display()
                )),
            };
        }
        Ok(self.properties.0.get(name).cloned().unwrap_or_default())
    }

    /// All properties that are passed through, those in files read now.
    pub(super) fn passed_through(&self) -> Result<Vec<(String, String)>, String> {
        let names = self.properties.0.keys().chain(self.properties_from_files.keys());
        names.map(|name| Ok((name.clone(), self.property(name)?))).collect()
    }
}

/// A topic that Weir writes to: alerts, dead letters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SinkTopic {
    /// Its name.
    pub topic: String,
    /// Whether to make it if it is not there.
    pub create: bool,
    /// Its partitions, if it is made; -1 is the broker's default.
    pub partitions: i32,
    /// Its replicas, if it is made; -1 is the broker's default.
    pub replication_factor: i32,
}

impl Default for SinkTopic {
    fn default() -> Self {
        Self { topic: String::new(), create: false, partitions: -1, replication_factor: -1 }
    }
}

impl SinkTopic {
    /// A topic that must be there already.
    pub fn named(topic: &str) -> Self {
        Self { topic: topic.to_owned(), ..Self::default() }
    }

    /// Everything that is wrong with it; `name` is where it stands in the
    /// configuration, for the messages.
    pub fn validate(&self, name: &str) -> Vec<String> {
        let mut faults = Vec::new();
        faults.extend(topic_fault(&self.topic).map(|fault| format!("{name}.topic: {fault}")));
        let counts =
            [("partitions", self.partitions), ("replication_factor", self.replication_factor)];
        for (field, count) in counts {
            if count != -1 && count < 1 {
                faults.push(format!(
                    "{name}.{field} is {count}; it can be 1 or more, or -1 for the broker's default"
                ));
            }
        }
        faults
    }
}

/// Why a name cannot be a topic's, if it cannot.
fn topic_fault(name: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name == "." || name == ".." || name.len() > TOPIC_CHARS_MAX {
        return Some(format!("{name:?} is not a topic's name (1 to {TOPIC_CHARS_MAX} characters)"));
    }
    if !name.chars().all(allowed) {
        return Some(format!(
            "{name:?} is not a topic's name: letters, digits, '.', '_' and '-' are allowed; a \
             pattern begins with '^'"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> KafkaConfig {
        KafkaConfig { topics: vec!["readings".to_owned()], ..KafkaConfig::default() }
    }

    fn with(name: &str, value: &str) -> KafkaConfig {
        let mut config = valid();
        config.properties.0.insert(name.to_owned(), value.to_owned());
        config
    }

    #[test]
    fn the_default_lacks_only_its_topics() {
        assert_eq!(valid().validate(), Vec::<String>::new());
        assert_eq!(KafkaConfig::default().validate().len(), 1);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let config = KafkaConfig {
            brokers: vec!["no port".to_owned(), "host:0".to_owned()],
            topics: vec!["a/b".to_owned(), "^(".to_owned()],
            group_id: String::new(),
            group_instance_id: Some(String::new()),
            assignment: "sticky".to_owned(),
            start: Start::Timestamp("yesterday".to_owned()),
            session_timeout_ms: 1,
            drain_timeout_ms: 300_000,
            fetch_bytes_max: 1,
            metadata_refresh_ms: 0,
            ..valid()
        };
        let faults = config.validate();
        assert_eq!(faults.len(), 12, "{faults:#?}");
    }

    #[test]
    fn what_would_break_a_promise_is_refused_with_the_reason() {
        let names = [
            "enable.auto.commit",
            "enable.auto.offset.store",
            "auto.offset.reset",
            "isolation.level",
            "enable.partition.eof",
            "enable.idempotence",
            "acks",
            "group.id",
            "group.protocol",
            "plugin.library.paths",
        ];
        for name in names {
            let faults = with(name, "x").validate();
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].starts_with(&format!("kafka.properties: {name} cannot be set: ")));
            assert!(client::consumer(&with(name, "x")).is_err());
        }
    }

    #[test]
    fn a_property_that_librdkafka_does_not_know_is_a_fault() {
        let faults = with("fetch.wait.max.millis", "5").validate();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].contains("fetch.wait.max.millis"), "{faults:?}");
        assert_eq!(with("fetch.wait.max.ms", "5").validate(), Vec::<String>::new());
        assert_eq!(with("fetch.wait.max.ms", "much").validate().len(), 1);
    }

    #[test]
    fn secrets_are_never_shown() {
        let secret = "tr0ub4dor";
        for name in ["sasl.password", "ssl.key.password", "sasl.oauthbearer.client.secret"] {
            let config = with(name, secret);
            assert!(!format!("{config:?}").contains(secret));
            assert!(!serde_json::to_string(&config).unwrap().contains(secret));
            let passed = config.passed_through().unwrap();
            assert_eq!(passed, [(name.to_owned(), secret.to_owned())]);
        }
        // librdkafka quotes a value that it refuses.
        let faults = with("sasl.passwords", secret).validate();
        assert!(faults.len() == 1 && !faults[0].contains(secret), "{faults:?}");
        let shown = format!("{:?}", with("sasl.username", "weir"));
        assert!(shown.contains("weir") && shown.contains("sasl.username"), "{shown}");
    }

    #[test]
    fn properties_are_read_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "from a file\n").unwrap();
        let mut config = valid();
        config.properties_from_files.insert("sasl.password".to_owned(), path);
        assert_eq!(config.validate(), Vec::<String>::new());
        assert_eq!(client::consumer(&config).unwrap().get("sasl.password"), Some("from a file"));
        let missing = folder.path().join("missing");
        config.properties_from_files.insert("ssl.key.password".to_owned(), missing);
        let faults = config.validate();
        assert!(faults.len() == 1 && faults[0].contains("missing cannot be read"), "{faults:?}");
    }

    #[test]
    fn the_start_is_read_from_toml() {
        let start = |text: &str| toml::from_str::<KafkaConfig>(text).map(|c| c.start);
        assert_eq!(start("").unwrap(), Start::Committed);
        assert_eq!(start("start = \"latest\"").unwrap(), Start::Latest);
        let time = start("start = { timestamp = \"2026-01-01T00:00:00Z\" }").unwrap();
        assert_eq!(time.timestamp_ms(), Ok(Some(1_767_225_600_000)));
        assert!(start("begin = \"latest\"").is_err());
    }

    #[test]
    fn properties_of_one_kind_of_client_are_not_given_to_the_other() {
        let mut config = with("linger.ms", "50");
        let fetch = ("fetch.wait.max.ms".to_owned(), "20".to_owned());
        config.properties.0.extend([fetch]);
        config.properties.0.insert("security.protocol".to_owned(), "ssl".to_owned());
        let get = |client: &rdkafka::ClientConfig, name: &str| client.get(name).map(str::to_owned);
        let (consumer, producer) =
            (client::consumer(&config).unwrap(), client::producer(&config).unwrap());
        assert_eq!(get(&consumer, "linger.ms"), None);
        assert_eq!(get(&producer, "linger.ms").as_deref(), Some("50"));
        assert_eq!(get(&consumer, "fetch.wait.max.ms").as_deref(), Some("20"));
        assert_eq!(get(&producer, "fetch.wait.max.ms"), None);
        assert_eq!(get(&consumer, "security.protocol").as_deref(), Some("ssl"));
        assert_eq!(get(&producer, "security.protocol").as_deref(), Some("ssl"));
    }
}
