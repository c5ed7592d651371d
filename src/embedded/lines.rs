//! Alerts and dead letters as files of JSON lines. A batch is on the disk when
//! the call returns; a repeated batch is written again, and readers drop repeats
//! by id, or by partition and position.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use tracing::warn;
use weir_actors::alert::{Alert, AlertSink};
use weir_actors::dead_letter::{DeadLetter, DeadLetterSink, SinkError};
use weir_actors::source::Headers;

/// Alerts, one a line, as `docs/alert.schema.json` has them.
pub struct AlertLines(Arc<Lines>);

/// Dead letters, one a line. Bytes that are UTF-8 are text; others are
/// hexadecimal under `key_hex`, `value_hex` and `headers_hex`.
pub struct DeadLetterLines(Arc<Lines>);

impl AlertLines {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Lines::open(path).map(Self)
    }
}

impl DeadLetterLines {
    /// Opens the file, or makes it.
    pub fn open(path: &Path) -> io::Result<Self> {
        Lines::open(path).map(Self)
    }
}

#[async_trait]
impl AlertSink for AlertLines {
    async fn publish(&self, alerts: &[Alert]) -> Result<(), SinkError> {
        let mut lines = Vec::new();
        for alert in alerts {
            push_line(&mut lines, alert)?;
        }
        self.0.clone().append(lines).await
    }
}

#[async_trait]
impl DeadLetterSink for DeadLetterLines {
    async fn deliver(&self, letters: &[DeadLetter]) -> Result<(), SinkError> {
        let mut lines = Vec::new();
        for letter in letters {
            push_line(&mut lines, &letter_json(letter))?;
        }
        self.0.clone().append(lines).await
    }
}

fn push_line(lines: &mut Vec<u8>, value: &impl serde::Serialize) -> Result<(), SinkError> {
    serde_json::to_writer(&mut *lines, value).map_err(|e| SinkError::Fatal(e.to_string()))?;
    lines.push(b'\n');
    Ok(())
}

fn letter_json(letter: &DeadLetter) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("topic", json!(&*letter.partition.topic));
    put("topic_id", json!(letter.partition.id.topic.to_string()));
    put("partition", json!(letter.partition.id.number));
    put("offset", json!(letter.position.offset));
    put("index", json!(letter.position.index));
    put("timestamp_ms", json!(letter.timestamp_ms));
    put("reason", json!(letter.reason.name()));
    put("detail", json!(letter.detail));
    for (name, bytes) in [("key", &letter.key), ("value", &letter.value)] {
        match bytes.as_deref().map(std::str::from_utf8) {
            None => put(name, Value::Null),
            Some(Ok(text)) => put(name, json!(text)),
            Some(Err(_)) => {
                put(&format!("{name}_hex"), json!(hex(bytes.as_deref().unwrap_or_default())))
            }
        };
    }
    if !letter.headers.is_empty() {
        let names: Vec<_> = Headers(&letter.headers).map(|(name, _)| name.to_owned()).collect();
        put("headers", json!(names));
        put("headers_hex", json!(hex(&letter.headers)));
    }
    Value::Object(fields)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

struct Lines {
    path: PathBuf,
    file: Mutex<File>,
}

impl Lines {
    fn open(path: &Path) -> io::Result<Arc<Self>> {
        let mut file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        cut_torn_line(&mut file, path)?;
        file.sync_all()?;
        Ok(Arc::new(Self { path: path.to_owned(), file: Mutex::new(file) }))
    }

    async fn append(self: Arc<Self>, lines: Vec<u8>) -> Result<(), SinkError> {
        if lines.is_empty() {
            return Ok(());
        }
        let path = self.path.clone();
        let write = tokio::task::spawn_blocking(move || self.write(&lines));
        let failed = |e: String| SinkError::Transient(format!("{}: {e}", path.display()));
        match write.await {
            Ok(written) => written.map_err(|e| failed(e.to_string())),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    fn write(&self, lines: &[u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let start = file.stream_position()?;
        let written = file.write_all(lines).and_then(|()| file.sync_data());
        if written.is_err() {
            // Half a line would spoil the next one.
            file.set_len(start)?;
            file.seek(SeekFrom::Start(start))?;
        }
        written
    }
}

/// Cuts off a last line without its end, which a crash has left; leaves the
/// cursor at the file's end.
fn cut_torn_line(file: &mut File, path: &Path) -> io::Result<()> {
    const CHUNK_BYTES: u64 = 64 * 1024;
    let len = file.seek(SeekFrom::End(0))?;
    let mut end = len;
    let mut chunk = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(CHUNK_BYTES);
        file.seek(SeekFrom::Start(start))?;
        chunk.clear();
        Read::by_ref(file).take(end - start).read_to_end(&mut chunk)?;
        if let Some(at) = chunk.iter().rposition(|byte| *byte == b'\n') {
            end = start + at as u64 + 1;
            break;
        }
        end = start;
    }
    if end < len {
        warn!(path = %path.display(), bytes = len - end, "the last line was torn and is cut off");
        file.set_len(end)?;
    }
    file.seek(SeekFrom::Start(end))?;
    Ok(())
}
