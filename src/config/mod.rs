//! The node's configuration: one value, read once from a TOML file and from the
//! environment, each component's own struct, checked as a whole before anything
//! starts.
//!
//! `WEIR__KAFKA__BROKERS=a:9092,b:9092` overrides `kafka.brokers`: two
//! underscores stand for a dot. What is written there is read as TOML where it
//! can be (`WEIR__RUN__SHARDS=2`), else as text; lists may be separated by
//! commas.

mod environment;
mod layers;
pub mod reference;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_actors::decode::{FormatConfig, JsonFormat, LimitsConfig};
use weir_actors::detection::DetectionConfig;
use weir_actors::node::RunConfig;
use weir_actors::pool::PoolConfig;
use weir_actors::reader::ReaderConfig;
use weir_actors::shard::ShardConfig;
use weir_actors::store::{HistoryLayout, Layout};

use crate::cassandra::CassandraConfig;
use crate::kafka::{KafkaConfig, SinkTopic};

/// The commented default that `weir init` prints; `docs/configuration.md` is made
/// from it.
pub const DEFAULT_TOML: &str = include_str!("default.toml");

/// Where `weir` looks unless told otherwise.
pub const DEFAULT_PATH: &str = "weir.toml";

/// Everything that a node is configured with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The job's name: part of every key in the store. To check a topic anew,
    /// give another name.
    pub job: String,
    /// Where events come from.
    pub kafka: KafkaConfig,
    /// Where they are kept.
    pub cassandra: CassandraConfig,
    /// How messages are written.
    pub format: FormatConfig,
    /// What is refused whatever the format.
    pub limits: LimitsConfig,
    /// How history is laid out; fixed when a job first meets a topic.
    pub layout: LayoutConfig,
    /// Which detector judges which series.
    pub detection: DetectionConfig,
    /// Where alerts go.
    pub alerts: AlertsConfig,
    /// Where what is refused goes.
    pub dead_letters: DeadLettersConfig,
    /// The partition readers.
    pub reader: ReaderConfig,
    /// The detector shards.
    pub shard: ShardConfig,
    /// The connection pool.
    pub pool: PoolConfig,
    /// Threads and times.
    pub run: RunConfig,
    /// Probes and metrics.
    pub http: HttpConfig,
    /// Logs.
    pub log: LogConfig,
}

/// How history is laid out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LayoutConfig {
    /// Key groups in each partition.
    pub key_groups: u32,
    /// A bucket has 2 to this power offsets.
    pub bucket_shift: u8,
    /// `segments` or `rows`.
    pub history: HistoryLayout,
}

/// Where alerts go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AlertsConfig {
    /// The Kafka topic; an empty name for none.
    pub kafka: SinkTopic,
    /// Whether each alert is also a line on standard output.
    pub stdout: bool,
}

/// Where what is refused goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeadLettersConfig {
    /// The Kafka topic.
    pub kafka: SinkTopic,
}

/// Probes and metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The address; loopback unless told otherwise.
    pub listen: SocketAddr,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is logged, as `tracing` filters are written: `info`, `warn,weir=debug`.
    pub filter: String,
    /// JSON lines instead of text.
    pub json: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            job: "weir".into(),
            kafka: KafkaConfig { topics: vec!["events".into()], ..KafkaConfig::default() },
            cassandra: CassandraConfig::default(),
            format: FormatConfig::Json(JsonFormat {
                value: Some("$.value".into()),
                time: Some("$.time".into()),
                ..JsonFormat::default()
            }),
            limits: LimitsConfig::default(),
            layout: LayoutConfig::default(),
            detection: DetectionConfig::default(),
            alerts: AlertsConfig::default(),
            dead_letters: DeadLettersConfig::default(),
            reader: ReaderConfig::default(),
            shard: ShardConfig::default(),
            pool: PoolConfig::default(),
            run: RunConfig::default(),
            http: HttpConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Default for LayoutConfig {
    fn default() -> Self {
        Self { key_groups: 16, bucket_shift: 22, history: HistoryLayout::Segments }
    }
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self { kafka: SinkTopic::named("weir-alerts"), stdout: false }
    }
}

impl Default for DeadLettersConfig {
    fn default() -> Self {
        Self { kafka: SinkTopic::named("weir-dead-letters") }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".into(), json: false }
    }
}

/// The most key groups of a partition.
const KEY_GROUPS_MAX: u32 = 4_096;
/// The bounds of a bucket's size.
const BUCKET_SHIFTS: std::ops::RangeInclusive<u8> = 8..=40;
/// The longest name of a job.
const JOB_BYTES_MAX: usize = 128;

impl LayoutConfig {
    /// Every fault, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if !(1..=KEY_GROUPS_MAX).contains(&self.key_groups) {
            faults.push(format!(
                "layout.key_groups must be 1 to {KEY_GROUPS_MAX}, got {}; 16 is the default",
                self.key_groups
            ));
        }
        if !BUCKET_SHIFTS.contains(&self.bucket_shift) {
            faults.push(format!(
                "layout.bucket_shift must be {} to {}, got {}; 22 is the default",
                BUCKET_SHIFTS.start(),
                BUCKET_SHIFTS.end(),
                self.bucket_shift
            ));
        }
        faults
    }
}

impl From<&LayoutConfig> for Layout {
    fn from(config: &LayoutConfig) -> Self {
        let LayoutConfig { key_groups, bucket_shift, history } = *config;
        Self { key_groups, bucket_shift, history }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there.
    #[error("there is no configuration at {0}; `weir init > weir.toml` writes one to start from")]
    Missing(PathBuf),
    /// It cannot be read as a configuration.
    #[error("the configuration cannot be read:\n- {}", .0.join("\n- "))]
    Unreadable(Vec<String>),
    /// It can be read, and is wrong.
    #[error("the configuration has {} fault(s):\n- {}", .0.len(), .0.join("\n- "))]
    Faults(Vec<String>),
}

impl Config {
    /// Reads the file, if one is named or the default one is there, and the
    /// environment over it.
    ///
    /// # Errors
    /// If it cannot be read, with every setting that cannot; not if it is wrong,
    /// see [`Config::validate`].
    pub fn read(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (config, faults) = layers::read(path, environment)?;
        if faults.is_empty() { Ok(config) } else { Err(ConfigError::Unreadable(faults)) }
    }

    /// Every fault of every component, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let fits = self.job.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if self.job.is_empty() || self.job.len() > JOB_BYTES_MAX || !fits {
            faults.push(format!(
                "job {:?} must be 1 to {JOB_BYTES_MAX} letters, digits, '-', '_' or '.'",
                self.job
            ));
        }
        let within = |section: &str, found: Vec<String>| {
            found
                .into_iter()
                .map(|fault| match fault.starts_with(section) {
                    true => fault,
                    false => format!("{section}: {fault}"),
                })
                .collect::<Vec<_>>()
        };
        faults.extend(within("kafka", self.kafka.validate()));
        faults.extend(within("cassandra", self.cassandra.validate()));
        faults.extend(within("format", self.format.validate()));
        faults.extend(within("limits", self.limits.validate()));
        faults.extend(within("layout", self.layout.validate()));
        faults.extend(within("detection", self.detection.validate()));
        faults.extend(within("reader", self.reader.validate()));
        faults.extend(within("shard", self.shard.validate()));
        faults.extend(within("pool", self.pool.validate()));
        faults.extend(within("run", self.run.validate()));
        if !self.alerts.kafka.topic.is_empty() {
            faults.extend(self.alerts.kafka.validate("alerts.kafka"));
        }
        // Nothing is dropped in silence, so there must be one.
        faults.extend(self.dead_letters.kafka.validate("dead_letters.kafka"));
        for topic in [&self.alerts.kafka.topic, &self.dead_letters.kafka.topic] {
            if self.kafka.topics.contains(topic) {
                faults.push(format!("topic {topic:?} is both read and written; use another"));
            }
        }
        faults
    }

    /// Reads and validates.
    ///
    /// # Errors
    /// With every fault at once: of what could not be read, and of the rest.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_with(path, std::env::vars())
    }

    /// Reads and validates, and goes on with what could be read: for a check.
    ///
    /// # Errors
    /// If there is nothing to go on with.
    pub fn load_with_faults(path: Option<&Path>) -> Result<(Self, Vec<String>), ConfigError> {
        let (config, mut faults) = layers::read(path, std::env::vars())?;
        faults.extend(config.validate());
        Ok((config, faults))
    }

    fn load_with(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let (config, mut faults) = layers::read(path, environment)?;
        faults.extend(config.validate());
        if faults.is_empty() { Ok(config) } else { Err(ConfigError::Faults(faults)) }
    }
}

#[cfg(test)]
mod tests;
