//! The port to the log: Kafka, the embedded log, or the simulated one.
//!
//! A source hands over *batches*: the bytes as they were fetched and where the
//! records stand in them. It never makes an object per message.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;

use crate::position::TopicPartition;

/// A range of bytes in a batch, or nothing (a null key, a null value).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins; [`Span::NULL`] has `u32::MAX`.
    pub start: u32,
    /// How many bytes it has.
    pub len: u32,
}

impl Span {
    /// Absent, which is not the same as empty.
    pub const NULL: Span = Span { start: u32::MAX, len: 0 };

    /// Whether it is absent.
    pub const fn is_null(self) -> bool {
        self.start == u32::MAX
    }

    /// The bytes in `bytes`; `None` if it is absent.
    pub fn of(self, bytes: &[u8]) -> Option<&[u8]> {
        if self.is_null() {
            return None;
        }
        let start = self.start as usize;
        Some(&bytes[start..start + self.len as usize])
    }
}

/// Where one record's parts stand in [`RawBatch::bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// The record's offset in its partition.
    pub offset: i64,
    /// The record's own timestamp, in milliseconds since 1970 (whether the
    /// producer or the broker set it); -1 if it has none.
    pub timestamp_ms: i64,
    /// The message's key.
    pub key: Span,
    /// The message's value.
    pub value: Span,
    /// The message's headers, as [`crate::source::Headers`] reads them.
    pub headers: Span,
}

/// What one fetch brought of one partition. Offsets rise, and need not be dense.
#[derive(Debug)]
pub struct RawBatch {
    /// The partition that it comes from.
    pub partition: Arc<TopicPartition>,
    /// The bytes that the records' spans point into.
    pub bytes: Vec<u8>,
    /// The records, in the order of the log. May be empty: then the batch only
    /// tells that the log goes on at `next_offset` (markers, compaction).
    pub records: Vec<RawRecord>,
    /// Where the next batch begins; what is committed once all before it is
    /// durable.
    pub next_offset: i64,
    /// The end of the log as the source knows it, for the lag.
    pub log_end_offset: i64,
}

impl RawBatch {
    /// The memory that it holds, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.bytes.capacity() + self.records.capacity() * size_of::<RawRecord>()
    }
}

/// A reader and writer of the headers of a record, laid out one after the other
/// as: length of the name (u16), name, length of the value (i32, -1 is null),
/// value; all integers little-endian.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a>(pub &'a [u8]);

impl<'a> Headers<'a> {
    /// Appends one header to `bytes`.
    pub fn push(bytes: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
        let name = &name.as_bytes()[..name.len().min(u16::MAX as usize)];
        bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
        bytes.extend_from_slice(name);
        match value {
            Some(v) => {
                bytes.extend_from_slice(&(v.len() as i32).to_le_bytes());
                bytes.extend_from_slice(v);
            }
            None => bytes.extend_from_slice(&(-1i32).to_le_bytes()),
        }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let (len, rest) = self.0.split_first_chunk::<2>()?;
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*len) as usize)?;
        let (len, rest) = rest.split_first_chunk::<4>()?;
        let len = i32::from_le_bytes(*len);
        let (value, rest) = match usize::try_from(len) {
            Ok(len) => {
                let (value, rest) = rest.split_at_checked(len)?;
                (Some(value), rest)
            }
            Err(_) => (None, rest),
        };
        self.0 = rest;
        Some((std::str::from_utf8(name).unwrap_or("?"), value))
    }
}

/// Why a source cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// It may work when tried again; the reader backs off.
    #[error("{0}")]
    Transient(String),
    /// Events are gone: the offset is no longer, or not yet, in the log. Never
    /// reset in silence; the partition stops and the node says so.
    #[error("{0}")]
    Loss(String),
    /// The partition is no longer ours.
    #[error("the partition was revoked")]
    Revoked,
    /// Configuration or permission: trying again does not help.
    #[error("{0}")]
    Fatal(String),
}

/// One assigned partition of a source, read from front to back by one reader.
#[async_trait(?Send)]
pub trait PartitionSource {
    /// Waits for the next batch: at most about `bytes_max` bytes (always at
    /// least one record). Nothing is fetched ahead without bound while nobody
    /// asks. Cancelling the future loses nothing.
    async fn next(&mut self, bytes_max: usize) -> Result<RawBatch, SourceError>;

    /// Goes on reading at `offset`: a rewind after a failure.
    async fn seek(&mut self, offset: i64) -> Result<(), SourceError>;
}

/// A partition given to this node, and where it begins to read.
pub struct Assigned {
    /// The partition.
    pub partition: Arc<TopicPartition>,
    /// The first offset to read: the committed one, or what the configuration
    /// says where nothing is committed.
    pub start_offset: i64,
    /// The reader's end of it.
    pub reader: Box<dyn PartitionSource + Send>,
}

/// What the group's coordinator decided.
pub enum Assignment {
    /// These partitions are ours from now on.
    Assigned(Vec<Assigned>),
    /// These are to be handed over: drain, commit, then say `done`. The source
    /// waits for it, with a deadline of its own.
    Revoked {
        /// Which partitions.
        partitions: Vec<Arc<TopicPartition>>,
        /// Told when they are let go.
        done: oneshot::Sender<()>,
    },
    /// These are already another's (the session timed out): drop everything, no
    /// commit.
    Lost(Vec<Arc<TopicPartition>>),
}

/// The log and the consumer group.
#[async_trait(?Send)]
pub trait Source: Send {
    /// The next decision of the group; `None` once the source is closed. Asked
    /// for by one caller at a time.
    async fn assignment(&self) -> Result<Option<Assignment>, SourceError>;

    /// Commits that everything before these offsets is durable. Returns when
    /// the log has it.
    async fn commit(&self, offsets: &[(Arc<TopicPartition>, i64)]) -> Result<(), SourceError>;

    /// Leaves the group. Called once, after the last commit.
    async fn close(&self);
}
