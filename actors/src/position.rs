//! Where an event stands. Every id that Weir makes derives from a position, so
//! a replay makes the same ids again.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The id that Kafka gave a topic when it was made. A topic that is deleted and
/// made anew under the same name is another topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TopicId(pub u128);

impl fmt::Display for TopicId {
    /// 32 lower-case hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// One partition of one topic, by the topic's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartitionId {
    /// The topic's id.
    pub topic: TopicId,
    /// The partition's number.
    pub number: i32,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.number)
    }
}

/// A partition with the name people know its topic by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The topic's id and the partition's number.
    pub id: PartitionId,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.id.number)
    }
}

/// Where an event stands in its partition: the message's offset, and which of
/// the message's values it is. Ordered as the log is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Position {
    /// The offset of the message.
    pub offset: i64,
    /// The index of the value in the message, from 0.
    pub index: u16,
}

impl Position {
    /// The first value of the message at `offset`.
    pub const fn at(offset: i64) -> Self {
        Self { offset, index: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.offset, self.index)
    }
}

/// A key group inside a partition: the unit of ownership, of storage, of warm-up
/// and of recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupId {
    /// The partition that the group's events come from.
    pub partition: PartitionId,
    /// The group's number, below the job's `key_groups`.
    pub group: u32,
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.group)
    }
}
