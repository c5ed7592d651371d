//! The port for what is refused: nothing is dropped in silence.

use std::sync::Arc;

use async_trait::async_trait;

use crate::event::RejectReason;
use crate::position::{Position, TopicPartition};

/// A message that is not an event, kept as it came.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Where it came from.
    pub partition: Arc<TopicPartition>,
    /// Where it stood. The index tells values of one message apart.
    pub position: Position,
    /// The record's timestamp, in milliseconds since 1970; -1 if it has none.
    pub timestamp_ms: i64,
    /// The key as it came.
    pub key: Option<Vec<u8>>,
    /// The value as it came.
    pub value: Option<Vec<u8>>,
    /// The headers as they came, for [`crate::source::Headers`].
    pub headers: Vec<u8>,
    /// Why, by kind.
    pub reason: RejectReason,
    /// Why, in words.
    pub detail: String,
}

/// Why letters or alerts could not be delivered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SinkError {
    /// It may work when tried again.
    #[error("{0}")]
    Transient(String),
    /// It will not.
    #[error("{0}")]
    Fatal(String),
}

/// Where dead letters are kept: a topic, or the embedded log.
#[async_trait]
pub trait DeadLetterSink: Send + Sync {
    /// Returns when all letters are durable. May be called again with the same
    /// letters: a letter is known by its partition and position.
    async fn deliver(&self, letters: &[DeadLetter]) -> Result<(), SinkError>;
}
