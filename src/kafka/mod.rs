//! Kafka behind the ports of [`weir_actors`]: the log and its consumer group,
//! the topic of alerts and the topic of dead letters, on librdkafka.
//!
//! ```text
//! KafkaSource --- one thread "kafka-poll": group, rebalances, errors
//!     |-- Partition reader --- librdkafka's queue of that partition, read on the
//!     |                        reader's own thread, and only when it asks
//!     `-- commit
//! KafkaAlertSink, KafkaDeadLetterSink --- idempotent producers
//! KafkaAdmin --- what a check, a start and the tests ask about topics
//! Peek --- reads without the group, for the commands that only look
//! ```
//!
//! What librdkafka's C interface offers and its Rust crate does not is confined
//! to `queue` and `topic_id`, the only files here with `unsafe` in them.

mod admin;
mod alerts;
mod assign;
mod client;
mod collect;
mod config;
mod dead_letters;
mod group;
mod partition;
mod peek;
mod producer;
mod properties;
mod queue;
mod replay;
mod revoke;
mod source;
mod start;
mod topic_id;

#[cfg(test)]
mod tests;

pub use admin::{AdminError, KafkaAdmin};
pub use alerts::{ALERT_ID_HEADER, KafkaAlertSink};
pub use config::{KafkaConfig, SinkTopic, Start};
pub use dead_letters::{KafkaDeadLetterSink, header};
pub use peek::{Bounds, Peek, PeekedRecord};
pub use properties::Properties;
pub use replay::Replay;
pub use source::KafkaSource;
pub use topic_id::TopicInfo;
