//! One partition of the embedded log: a file of frames, and where it ends.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tracing::warn;

use super::frame::{self, HEADER_BYTES, Header};

/// Records of one append are cut into frames of about this many bytes, so that
/// a reader need not take more at once.
const FRAME_BYTES: usize = 256 * 1024;

/// The longest record.
pub const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

const SCAN_BUFFER_BYTES: usize = 1024 * 1024;

/// A record to be appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewRecord<'a> {
    /// Milliseconds since 1970; -1 for none.
    pub timestamp_ms: i64,
    /// The key; `None` is null.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null.
    pub value: Option<&'a [u8]>,
    /// The headers, as [`weir_actors::source::Headers`] writes them.
    pub headers: &'a [u8],
}

/// The end of what readers may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The next record's offset.
    pub offset: i64,
    /// The next frame's place in the file.
    pub file_bytes: u64,
}

/// A partition, shared by its writer and its reader.
pub(super) struct Partition {
    path: PathBuf,
    writer: Mutex<Writer>,
    end: watch::Sender<End>,
}

struct Writer {
    file: File,
    end: End,
    /// Where each frame begins, by its base offset.
    frames: Vec<(i64, u64)>,
    /// Something was written that is not synced.
    dirty: bool,
    /// A write failed: what lies behind `end` is unknown.
    broken: bool,
    buffer: Vec<u8>,
}

impl Partition {
    /// Opens the file, or makes it. Every checksum is looked at; what follows the
    /// first frame that does not hold is a write that a crash cut short, and is
    /// cut off. Returns how many bytes that was.
    pub fn open(path: &Path) -> io::Result<(Self, u64)> {
        let file =
            File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        let (frames, end) = scan(&file)?;
        let len = file.metadata()?.len();
        let cut = len - end.file_bytes;
        if cut > 0 {
            warn!(
                path = %path.display(), bytes = cut, offset = end.offset,
                "the log's end was torn by a crash and is cut off; it goes on at this offset"
            );
            file.set_len(end.file_bytes)?;
            file.sync_all()?;
        }
        let writer = Writer { file, end, frames, dirty: false, broken: false, buffer: Vec::new() };
        let partition = Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            end: watch::Sender::new(end),
        };
        Ok((partition, cut))
    }

    /// Appends records; returns the first one's offset. Readers see them at
    /// once, or with `sync` once they are on the disk.
    pub fn append(&self, records: &[NewRecord<'_>], sync: bool) -> io::Result<i64> {
        if let Some(record) = records.iter().find(|r| frame::record_bytes(r) > RECORD_BYTES_MAX) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a record of {} bytes: at most {RECORD_BYTES_MAX} are taken",
                    frame::record_bytes(record)
                ),
            ));
        }
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let base_offset = writer.end.offset;
        writer.append(records, sync)?;
        self.end.send_replace(writer.end);
        Ok(base_offset)
    }

    /// Returns when all that was appended before is on the disk.
    pub fn sync(&self) -> io::Result<()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).sync()
    }

    /// A view of the end, that can be waited on.
    pub fn watch_end(&self) -> watch::Receiver<End> {
        self.end.subscribe()
    }

    /// The end as it is now.
    pub fn end(&self) -> End {
        *self.end.borrow()
    }

    /// Where the frame that holds `offset` begins; of an offset at or past the
    /// end, the end.
    pub fn frame_of(&self, offset: i64) -> u64 {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if offset >= writer.end.offset {
            return writer.end.file_bytes;
        }
        let after = writer.frames.partition_point(|(base, _)| *base <= offset);
        after.checked_sub(1).map_or(0, |n| writer.frames[n].1)
    }

    /// A handle of its own for a reader.
    pub fn open_reader(&self) -> io::Result<File> {
        File::open(&self.path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Writer {
    fn append(&mut self, mut records: &[NewRecord<'_>], sync: bool) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier write failed; open the log anew"));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut end = self.end;
        let frames_before = self.frames.len();
        while !records.is_empty() {
            let mut bytes = 0;
            let fits = records.iter().take_while(|record| {
                bytes += frame::record_bytes(record);
                bytes <= FRAME_BYTES
            });
            let (run, rest) = records.split_at(fits.count().max(1));
            let start = buffer.len();
            frame::write(&mut buffer, end.offset, run);
            self.frames.push((end.offset, end.file_bytes));
            end.offset += run.len() as i64;
            end.file_bytes += (buffer.len() - start) as u64;
            records = rest;
        }
        self.dirty = true;
        let mut written = self.file.write_all(&buffer);
        if written.is_ok() && sync {
            written = self.sync();
        }
        self.buffer = buffer;
        if let Err(error) = written {
            self.frames.truncate(frames_before);
            self.broken = true;
            return Err(error);
        }
        self.end = end;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.dirty {
            // After a failed sync the kernel may have dropped the pages: a
            // second one that succeeds would prove nothing.
            self.file.sync_data().inspect_err(|_| self.broken = true)?;
            self.dirty = false;
        }
        Ok(())
    }
}

/// Walks over all whole frames; leaves the file's cursor behind the last.
fn scan(file: &File) -> io::Result<(Vec<(i64, u64)>, End)> {
    let mut reader = BufReader::with_capacity(SCAN_BUFFER_BYTES, file);
    let mut frames = Vec::new();
    let mut end = End { offset: 0, file_bytes: 0 };
    let mut frame = Vec::new();
    loop {
        frame.clear();
        reader.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut frame)?;
        let Some(header) = Header::read(&frame) else { break };
        reader.by_ref().take(header.body_len as u64).read_to_end(&mut frame)?;
        let whole = frame.len() == header.frame_len() && header.holds(&frame);
        if !whole || header.base_offset != end.offset {
            break;
        }
        frames.push((end.offset, end.file_bytes));
        end.offset = header.next_offset();
        end.file_bytes += header.frame_len() as u64;
    }
    let mut file = file;
    file.seek(SeekFrom::Start(end.file_bytes))?;
    Ok((frames, end))
}
