//! The database under the embedded store: tables on fjall, and one thread that
//! writes.
//!
//! Writes that wait together are committed together, with one sync of the disk
//! for all of them. Since only that thread writes, a write may look at what is
//! there and decide.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use fjall::config::CompressionPolicy;
use fjall::{
    CompressionType, KeyspaceCreateOptions, KvSeparationOptions, PersistMode, Readable as _,
    SingleWriterTxDatabase, SingleWriterTxKeyspace, SingleWriterWriteTx, Snapshot,
};
use tokio::sync::{mpsc, oneshot};
use weir_actors::store::StoreError;

/// Writes that may wait before a caller has to.
const QUEUE_WRITES: usize = 256;

/// The most that is committed at once.
const COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;

const JOURNAL_BYTES_MAX: u64 = 256 * 1024 * 1024;
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

const FORMAT: &[u8] = b"1";

/// The tables.
pub(super) struct Tables {
    db: SingleWriterTxDatabase,
    pub meta: SingleWriterTxKeyspace,
    pub segments: SingleWriterTxKeyspace,
    pub rows: SingleWriterTxKeyspace,
    pub buckets: SingleWriterTxKeyspace,
    pub checkpoints: SingleWriterTxKeyspace,
    pub evicted: SingleWriterTxKeyspace,
    pub alerts: SingleWriterTxKeyspace,
    pub alerts_by_series: SingleWriterTxKeyspace,
}

impl Tables {
    /// The state as of now.
    pub fn snapshot(&self) -> Snapshot {
        self.db.read_tx()
    }
}

/// What a write does, and what is then to be told to its caller.
type Write = Box<dyn FnOnce(&Tables, &mut SingleWriterWriteTx<'_>) -> Finish + Send>;
type Finish = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Queued {
    write: Write,
    bytes: usize,
}

/// The open database.
pub(super) struct Embedded {
    tables: Arc<Tables>,
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Queued>>,
    writer: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Opens the database in `dir`, or makes it.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let at = |error: fjall::Error| {
            let text = format!("{}: {}", dir.display(), store_error(&error));
            match error {
                fjall::Error::Io(_) => StoreError::Unavailable(text),
                _ => StoreError::Invalid(text),
            }
        };
        let tables = Arc::new(open_tables(dir).map_err(at)?);
        check_format(&tables, dir)?;
        let (queue, queued) = mpsc::channel(QUEUE_WRITES);
        let shared = tables.clone();
        let writer = std::thread::Builder::new()
            .name("weir-store".into())
            .spawn(move || write_all(&shared, queued))
            .map_err(|e| StoreError::Unavailable(format!("no thread for the store: {e}")))?;
        Ok(Self { tables, queue: Some(queue), writer: Some(writer) })
    }

    /// Runs `write` on the writer's thread; returns once it is on the disk.
    /// `bytes` is about how much it writes. A `write` that fails must not have
    /// written.
    pub async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        write: impl FnOnce(&Tables, &mut SingleWriterWriteTx<'_>) -> Result<T, StoreError>
        + Send
        + 'static,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Invalid("the store's writer has ended; restart".into());
        let (reply, answer) = oneshot::channel();
        let write: Write = Box::new(move |tables, tx| {
            let written = write(tables, tx);
            // Nobody listens if the caller was cancelled; it is written all the same.
            Box::new(move |committed| drop(reply.send(committed.and(written))))
        });
        let queue = self.queue.as_ref().expect("it is only taken by drop");
        queue.send(Queued { write, bytes }).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Runs `read` on a thread that may block.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let tables = self.tables.clone();
        let task = tokio::task::spawn_blocking(move || read(&tables));
        task.await.map_err(|e| StoreError::Unavailable(format!("the read ended early: {e}")))?
    }
}

impl Drop for Embedded {
    /// Waits for the writes under way, so that the directory is free.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// The writer's thread: ends when the queue is closed and empty.
fn write_all(tables: &Tables, mut queued: mpsc::Receiver<Queued>) {
    let mut finishes = Vec::new();
    while let Some(first) = queued.blocking_recv() {
        let mut tx = tables.db.write_tx().durability(Some(PersistMode::SyncData));
        let mut bytes = first.bytes;
        finishes.push((first.write)(tables, &mut tx));
        while bytes < COMMIT_BYTES_MAX
            && let Ok(next) = queued.try_recv()
        {
            bytes += next.bytes;
            finishes.push((next.write)(tables, &mut tx));
        }
        let committed = tx.commit().map_err(|e| store_error(&e));
        for finish in finishes.drain(..) {
            finish(committed.clone());
        }
    }
}

fn open_tables(dir: &Path) -> fjall::Result<Tables> {
    // What is large is compressed already.
    let db = SingleWriterTxDatabase::builder(dir)
        .journal_compression(CompressionType::None)
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .cache_size(CACHE_BYTES)
        .open()?;
    let small = KeyspaceCreateOptions::default;
    // Blobs stay where they were first written: compaction moves keys only.
    let large = || {
        let blobs = KvSeparationOptions::default().compression(CompressionType::None);
        small()
            .data_block_compression_policy(CompressionPolicy::disabled())
            .with_kv_separation(Some(blobs))
    };
    Ok(Tables {
        meta: db.keyspace("meta", small)?,
        segments: db.keyspace("segments", large)?,
        rows: db.keyspace("rows", small)?,
        buckets: db.keyspace("buckets", small)?,
        checkpoints: db.keyspace("checkpoints", large)?,
        evicted: db.keyspace("evicted", small)?,
        alerts: db.keyspace("alerts", small)?,
        alerts_by_series: db.keyspace("alerts_by_series", small)?,
        db,
    })
}

fn check_format(tables: &Tables, dir: &Path) -> Result<(), StoreError> {
    let found = tables.snapshot().get(&tables.meta, "format").map_err(|e| store_error(&e))?;
    match found.as_deref() {
        Some(FORMAT) => Ok(()),
        Some(other) => Err(StoreError::Invalid(format!(
            "{}: format {:?} of the store is not known; use the weir that wrote it",
            dir.display(),
            String::from_utf8_lossy(other)
        ))),
        None => tables.meta.insert("format", FORMAT).map_err(|e| store_error(&e)),
    }
}

/// What an error of the database means.
pub(super) fn store_error(error: &fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(e) => StoreError::Unavailable(e.to_string()),
        fjall::Error::Locked => StoreError::Invalid(
            "another process has this store open; stop it, or use another directory".into(),
        ),
        fjall::Error::Poisoned => StoreError::Invalid(
            "an earlier write failed, what is on the disk is unknown; see to the disk, and restart"
                .into(),
        ),
        fjall::Error::InvalidVersion(_) => StoreError::Invalid(
            "the store is of another version; use the weir that wrote it".into(),
        ),
        other => StoreError::Damaged(other.to_string()),
    }
}
