//! A partitioned, append-only log on the local disk, in place of Kafka.
//!
//! What readers were given outlives a crash of the process. A crash of the
//! machine may take what was appended since the last [`EmbeddedLog::sync`] or
//! commit, unless [`LogOptions::sync_appends`] is set. What is committed is on
//! the disk always: a commit syncs the log first.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use weir_actors::position::{PartitionId, TopicId, TopicPartition};

use super::partition::{NewRecord, Partition};
use super::source::EmbeddedSource;

/// The most partitions of one log.
pub const PARTITIONS_MAX: i32 = 1_024;

const TOPIC_FILE: &str = "topic.json";
const LOCK_FILE: &str = "lock";
const FORMAT: u32 = 1;

/// What a log is made with. Of a log that is there already, only
/// `sync_appends` counts: its topic and partitions are as they were made.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The topic's name.
    pub topic: String,
    /// How many partitions it has.
    pub partitions: i32,
    /// Whether readers see only what is on the disk: an fsync for each append.
    pub sync_appends: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { topic: "events".into(), partitions: 4, sync_appends: false }
    }
}

/// Why the log cannot be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("{0}: another process has this log open; stop it, or use another directory")]
    Busy(PathBuf),
    /// What is there cannot be used.
    #[error("{path}: {why}")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
}

impl LogError {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// The log: one topic of some partitions, in one directory.
pub struct EmbeddedLog {
    dir: PathBuf,
    names: Vec<Arc<TopicPartition>>,
    partitions: Vec<Arc<Partition>>,
    sync_appends: bool,
    cut_bytes: u64,
    /// One writer of offsets at a time.
    commits: Mutex<()>,
    /// Held as long as the log is open.
    _lock: File,
}

/// What is recorded of the topic when it is made.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TopicFile {
    format: u32,
    topic: String,
    id: TopicId,
    partitions: i32,
}

/// What a group has committed, by partition.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OffsetsFile {
    offsets: BTreeMap<i32, i64>,
}

impl EmbeddedLog {
    /// Opens the log in `dir`, or makes it. Reads every byte that is there, to
    /// find an end that a crash has torn.
    pub fn open(dir: &Path, options: &LogOptions) -> Result<Arc<Self>, LogError> {
        fs::create_dir_all(dir).map_err(LogError::io(dir))?;
        let lock = lock(dir)?;
        let topic = topic(dir, options)?;
        let name: Arc<str> = topic.topic.into();
        let mut names = Vec::new();
        let mut partitions = Vec::new();
        let mut cut_bytes = 0;
        for number in 0..topic.partitions {
            let path = dir.join(format!("{number:04}.log"));
            let (partition, cut) = Partition::open(&path).map_err(LogError::io(&path))?;
            cut_bytes += cut;
            partitions.push(Arc::new(partition));
            let id = PartitionId { topic: topic.id, number };
            names.push(Arc::new(TopicPartition { topic: name.clone(), id }));
        }
        // A new file is durable once its directory is.
        sync_dir(dir).map_err(LogError::io(dir))?;
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            names,
            partitions,
            sync_appends: options.sync_appends,
            cut_bytes,
            commits: Mutex::new(()),
            _lock: lock,
        }))
    }

    /// Appends records to a partition, in order; returns the first one's offset.
    /// Blocks for the write, and for the disk if appends are synced.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn append(&self, partition: i32, records: &[NewRecord<'_>]) -> Result<i64, LogError> {
        let partition = &self.partitions[partition as usize];
        partition.append(records, self.sync_appends).map_err(LogError::io(partition.path()))
    }

    /// Returns when everything appended before is on the disk.
    pub fn sync(&self) -> Result<(), LogError> {
        for partition in &self.partitions {
            partition.sync().map_err(LogError::io(partition.path()))?;
        }
        Ok(())
    }

    /// The partitions, by number.
    pub fn partitions(&self) -> &[Arc<TopicPartition>] {
        &self.names
    }

    /// The offset of the next record of a partition.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn end_offset(&self, partition: i32) -> i64 {
        self.partitions[partition as usize].end().offset
    }

    /// How many bytes of torn ends were cut off when it was opened.
    pub const fn cut_bytes(&self) -> u64 {
        self.cut_bytes
    }

    /// A consumer group of one member, which reads all partitions. `group` names
    /// the file of its offsets.
    ///
    /// # Errors
    /// If the name has other characters than letters, digits, `-` and `_`.
    pub fn source(self: &Arc<Self>, group: &str) -> Result<EmbeddedSource, LogError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if group.is_empty() || !group.chars().all(fits) {
            let why = format!("{group:?} cannot name a group: use letters, digits, - and _");
            return Err(LogError::Unusable { path: self.dir.clone(), why });
        }
        Ok(EmbeddedSource::new(self.clone(), self.dir.join(format!("offsets-{group}.json"))))
    }

    pub(super) fn partition(&self, number: i32) -> &Arc<Partition> {
        &self.partitions[number as usize]
    }

    /// What was committed to the file, by partition.
    pub(super) fn committed(&self, path: &Path) -> Result<BTreeMap<i32, i64>, LogError> {
        let Some(bytes) = read_if_there(path)? else { return Ok(BTreeMap::new()) };
        Ok(parse::<OffsetsFile>(path, &bytes)?.offsets)
    }

    /// Puts `offsets` into the file; both the log and the file are on the disk
    /// when this returns.
    pub(super) fn commit(&self, path: &Path, offsets: &[(i32, i64)]) -> Result<(), LogError> {
        let _one_at_a_time = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        // The log first: an offset must never be ahead of it.
        self.sync()?;
        let mut file = OffsetsFile { offsets: self.committed(path)? };
        file.offsets.extend(offsets.iter().copied());
        replace(path, &to_json(&file))
    }
}

fn lock(dir: &Path) -> Result<File, LogError> {
    let path = dir.join(LOCK_FILE);
    let options = || File::options().create(true).truncate(false).write(true).open(&path);
    let file = options().map_err(LogError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(LogError::Busy(dir.to_owned())),
        Err(fs::TryLockError::Error(error)) => Err(LogError::io(&path)(error)),
    }
}

fn topic(dir: &Path, options: &LogOptions) -> Result<TopicFile, LogError> {
    let path = dir.join(TOPIC_FILE);
    let unusable = |why: String| LogError::Unusable { path: path.clone(), why };
    if let Some(bytes) = read_if_there(&path)? {
        let topic: TopicFile = parse(&path, &bytes)?;
        if topic.format != FORMAT {
            return Err(unusable(format!(
                "format {} of the log is not known, {FORMAT} is; use the weir that wrote it",
                topic.format
            )));
        }
        return Ok(topic);
    }
    if !(1..=PARTITIONS_MAX).contains(&options.partitions) {
        let n = options.partitions;
        return Err(unusable(format!("{n} partitions: it must be from 1 to {PARTITIONS_MAX}")));
    }
    let topic = TopicFile {
        format: FORMAT,
        topic: options.topic.clone(),
        id: random_topic_id(),
        partitions: options.partitions,
    };
    replace(&path, &to_json(&topic))?;
    Ok(topic)
}

/// Random enough to tell two logs apart: the standard library keys its hashers
/// by the operating system's randomness.
fn random_topic_id() -> TopicId {
    let half = || RandomState::new().build_hasher().finish();
    TopicId(u128::from(half()) << 64 | u128::from(half()))
}

fn to_json(value: &impl Serialize) -> Vec<u8> {
    let mut json = serde_json::to_vec_pretty(value).expect("plain structs always serialise");
    json.push(b'\n');
    json
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, bytes: &[u8]) -> Result<T, LogError> {
    serde_json::from_slice(bytes)
        .map_err(|e| LogError::Unusable { path: path.to_owned(), why: e.to_string() })
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, LogError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(LogError::io(path)(e)),
    }
}

/// Replaces a file whole or not at all, and returns when that is on the disk.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let write = || {
        let new = path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        // The rename is durable once the directory is.
        sync_dir(path.parent().unwrap_or(Path::new(".")))
    };
    write().map_err(LogError::io(path))
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
