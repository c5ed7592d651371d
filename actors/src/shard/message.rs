//! What is said to and by a shard. All of it is per batch, or rarer.

use std::sync::Arc;

use actix::prelude::*;
use tokio::time::Instant;

use crate::event::SharedBatch;
use crate::position::{PartitionId, TopicPartition};

/// A shard's part of a batch.
#[derive(Message)]
#[rtype(result = "Result<Taken, Refused>")]
pub struct Take {
    /// The batch, shared by the shards.
    pub batch: SharedBatch,
    /// Which of its events are this shard's, ascending.
    pub picks: Vec<u32>,
    /// When the batch came from the log.
    pub arrived: Instant,
    /// The reader's epoch: it rises with every assignment and every rewind.
    pub epoch: u64,
    /// The offset at which the epoch began to read.
    pub epoch_start: i64,
    /// Where the shard says later what has become durable.
    pub reader: Recipient<Progress>,
}

/// The shard has taken its part of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Everything sent to it before this offset is durable.
    pub durable: i64,
}

/// The shard has not taken the batch, or not all of it: the reader rewinds.
#[derive(Clone, Debug)]
pub struct Refused(
    /// Why.
    pub String,
);

/// Said by a shard to a reader, between batches.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Progress {
    /// Which shard says so.
    pub shard: usize,
    /// Everything sent to it before this offset is durable.
    pub durable: i64,
    /// The shard has lost events that it had taken: rewind.
    pub lost: bool,
}

/// Write out at once what has gathered: the budget is full.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Flush;

/// Make everything of a partition durable, write its groups' checkpoints, and
/// let it go.
#[derive(Message, Clone, Debug)]
#[rtype(result = "Option<Handed>")]
pub struct HandOver(
    /// Which.
    pub Arc<TopicPartition>,
);

/// A partition has been handed over by a shard.
#[derive(Clone, Copy, Debug)]
pub struct Handed {
    /// Everything that the shard was sent before this offset is durable.
    pub durable: i64,
}

/// Drop a partition at once: it is another's already.
#[derive(Message, Clone, Copy, Debug)]
#[rtype(result = "()")]
pub struct Forget(
    /// Which.
    pub PartitionId,
);
