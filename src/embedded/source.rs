//! The embedded log as a [`Source`]: a group of one member that is given all
//! partitions at once.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;
use weir_actors::position::TopicPartition;
use weir_actors::source::{
    Assigned, Assignment, PartitionSource, RawBatch, RawRecord, Source, SourceError,
};

use super::frame::{self, HEADER_BYTES, Header};
use super::log::{EmbeddedLog, LogError};
use super::partition::{End, Partition};

/// Records are often this long with all that belongs to them: how many a batch
/// is given room for at first.
const RECORD_BYTES_GUESS: usize = 64;

/// The consumer group's only member.
pub struct EmbeddedSource {
    log: Arc<EmbeddedLog>,
    offsets_path: PathBuf,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Assigned,
    Closed,
}

impl EmbeddedSource {
    pub(super) fn new(log: Arc<EmbeddedLog>, offsets_path: PathBuf) -> Self {
        Self { log, offsets_path, state: watch::Sender::new(State::New) }
    }

    fn assign_all(&self) -> Result<Vec<Assigned>, SourceError> {
        let committed = self.log.committed(&self.offsets_path).map_err(|e| fatal(&e))?;
        let mut all = Vec::new();
        for name in self.log.partitions() {
            let partition = self.log.partition(name.id.number);
            let start_offset = committed.get(&name.id.number).copied().unwrap_or(0);
            let reader = Reader::open(name.clone(), partition.clone(), start_offset)?;
            all.push(Assigned { partition: name.clone(), start_offset, reader: Box::new(reader) });
        }
        Ok(all)
    }
}

#[async_trait(?Send)]
impl Source for EmbeddedSource {
    async fn assignment(&self) -> Result<Option<Assignment>, SourceError> {
        let state = *self.state.borrow();
        if state == State::New {
            let all = self.assign_all()?;
            self.state.send_replace(State::Assigned);
            return Ok(Some(Assignment::Assigned(all)));
        }
        // Nobody else could take them, so nothing comes until it is closed.
        let closed = self.state.subscribe().wait_for(|state| *state == State::Closed).await.is_ok();
        debug_assert!(closed, "the sender is here");
        Ok(None)
    }

    async fn commit(&self, offsets: &[(Arc<TopicPartition>, i64)]) -> Result<(), SourceError> {
        let offsets: Vec<_> = offsets.iter().map(|(p, offset)| (p.id.number, *offset)).collect();
        let (log, path) = (self.log.clone(), self.offsets_path.clone());
        let write = tokio::task::spawn_blocking(move || log.commit(&path, &offsets));
        match write.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(LogError::Io { path, source })) => {
                Err(SourceError::Transient(format!("commit: {}: {source}", path.display())))
            }
            Ok(Err(error)) => Err(fatal(&error)),
            Err(error) => Err(SourceError::Transient(format!("commit: {error}"))),
        }
    }

    async fn close(&self) {
        self.state.send_replace(State::Closed);
    }
}

fn fatal(error: &LogError) -> SourceError {
    SourceError::Fatal(error.to_string())
}

/// Reads one partition from front to back. Reads block, for about as long as it
/// takes to copy `bytes_max` bytes out of the page cache.
struct Reader {
    name: Arc<TopicPartition>,
    partition: Arc<Partition>,
    file: File,
    end: watch::Receiver<End>,
    next_offset: i64,
    /// Where the frame with `next_offset` begins.
    file_bytes: u64,
}

impl Reader {
    fn open(
        name: Arc<TopicPartition>,
        partition: Arc<Partition>,
        start_offset: i64,
    ) -> Result<Self, SourceError> {
        let file = partition.open_reader().map_err(|e| {
            SourceError::Transient(format!("{name}: {}: {e}", partition.path().display()))
        })?;
        let end = partition.watch_end();
        let mut reader = Self { name, partition, file, end, next_offset: 0, file_bytes: 0 };
        reader.go_to(start_offset)?;
        Ok(reader)
    }

    fn go_to(&mut self, offset: i64) -> Result<(), SourceError> {
        let end = self.partition.end().offset;
        if !(0..=end).contains(&offset) {
            return Err(SourceError::Loss(format!(
                "{}: offset {offset} is not in the log, which ends at {end}; events were lost (or \
                 the directory is another's): set the group's offset by hand, or start a new job",
                self.name
            )));
        }
        self.next_offset = offset;
        self.file_bytes = self.partition.frame_of(offset);
        Ok(())
    }

    /// The whole frames that begin at `file_bytes`: at least one, and no more
    /// than fit into `bytes_max`.
    fn read_frames(&mut self, bytes_max: usize, end: End) -> io::Result<Vec<u8>> {
        let there = (end.file_bytes - self.file_bytes) as usize;
        // Never past the end: what lies there may be half written.
        let wanted = there.min(bytes_max.max(HEADER_BYTES));
        let mut bytes = Vec::with_capacity(wanted);
        self.file.seek(SeekFrom::Start(self.file_bytes))?;
        self.file.by_ref().take(wanted as u64).read_to_end(&mut bytes)?;
        let first = Header::read(&bytes).ok_or_else(|| damaged(self.file_bytes))?;
        if first.frame_len() > bytes.len() {
            let missing = (first.frame_len() - bytes.len()) as u64;
            bytes.reserve_exact(missing as usize);
            self.file.by_ref().take(missing).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    fn read_batch(&mut self, bytes_max: usize, end: End) -> io::Result<RawBatch> {
        let mut bytes = self.read_frames(bytes_max, end)?;
        let mut records: Vec<RawRecord> = Vec::with_capacity(bytes.len() / RECORD_BYTES_GUESS);
        let mut next_offset = self.next_offset;
        let mut at = 0;
        while let Some(header) = Header::read(&bytes[at..]) {
            let Some(frame) = bytes.get(at..at + header.frame_len()) else { break };
            let place = self.file_bytes + at as u64;
            if !header.holds(frame) {
                return Err(damaged(place));
            }
            frame::records(&header, frame, at, self.next_offset, &mut records)
                .ok_or_else(|| damaged(place))?;
            next_offset = header.next_offset();
            at += frame.len();
        }
        if at == 0 {
            return Err(damaged(self.file_bytes));
        }
        bytes.truncate(at);
        self.file_bytes += at as u64;
        self.next_offset = next_offset;
        Ok(RawBatch {
            partition: self.name.clone(),
            bytes,
            records,
            next_offset,
            log_end_offset: end.offset,
        })
    }
}

fn damaged(at: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the frame at byte {at} is damaged"))
}

#[async_trait(?Send)]
impl PartitionSource for Reader {
    async fn next(&mut self, bytes_max: usize) -> Result<RawBatch, SourceError> {
        let from = self.next_offset;
        let end = match self.end.wait_for(|end| end.offset > from).await {
            Ok(end) => *end,
            Err(_) => return Err(SourceError::Revoked),
        };
        // From here on nothing is awaited: a cancelled call has not moved.
        self.read_batch(bytes_max, end).map_err(|e| {
            let text = format!("{}: {}: {e}", self.name, self.partition.path().display());
            match e.kind() {
                io::ErrorKind::InvalidData => SourceError::Loss(text),
                _ => SourceError::Transient(text),
            }
        })
    }

    async fn seek(&mut self, offset: i64) -> Result<(), SourceError> {
        self.go_to(offset)
    }
}
