//! A frame: a run of records as it lies in a partition's file, with a checksum
//! over all of it. All integers are little-endian.
//!
//! ```text
//! magic u32 | body length u32 | checksum u64 | base offset i64 | records u32 | 0 u32
//! then for each record: timestamp ms i64 | key i32 | value i32 | headers u32   (lengths; -1 is null)
//! then for each record: key, value, headers
//! ```
//!
//! The checksum is XXH3 of everything behind it.

use weir_actors::source::{RawRecord, Span};
use xxhash_rust::xxh3::xxh3_64;

use super::partition::NewRecord;

/// The bytes of a frame before its body.
pub(super) const HEADER_BYTES: usize = 32;

/// The longest body that is ever written; a longer one is damage.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

const MAGIC: u32 = u32::from_le_bytes(*b"WLF1");
const CHECKED_FROM: usize = 16;
const ENTRY_BYTES: usize = 20;
const NULL_LEN: i32 = -1;

/// What a frame's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub body_len: usize,
    pub checksum: u64,
    pub base_offset: i64,
    pub records: u32,
}

impl Header {
    /// The header that `bytes` begin with; `None` if they begin with none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let body_len = u32_at(header, 4) as usize;
        let found = Self {
            body_len,
            checksum: u64_at(header, 8),
            base_offset: u64_at(header, 16) as i64,
            records: u32_at(header, 24),
        };
        let fits = found.records as usize * ENTRY_BYTES <= body_len && body_len <= BODY_BYTES_MAX;
        (u32_at(header, 0) == MAGIC && fits && found.base_offset >= 0).then_some(found)
    }

    /// The bytes of the whole frame.
    pub const fn frame_len(&self) -> usize {
        HEADER_BYTES + self.body_len
    }

    /// The offset behind the last record.
    pub const fn next_offset(&self) -> i64 {
        self.base_offset + self.records as i64
    }

    /// Whether `frame`, whole and with its header, is as it was written.
    pub fn holds(&self, frame: &[u8]) -> bool {
        xxh3_64(&frame[CHECKED_FROM..]) == self.checksum
    }
}

/// How many bytes the record takes in a frame.
pub(super) fn record_bytes(record: &NewRecord<'_>) -> usize {
    let len = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    ENTRY_BYTES + len(record.key) + len(record.value) + record.headers.len()
}

/// Appends a frame of `records` to `out`.
pub(super) fn write(out: &mut Vec<u8>, base_offset: i64, records: &[NewRecord<'_>]) {
    let start = out.len();
    let body_len: usize = records.iter().map(record_bytes).sum();
    out.reserve(HEADER_BYTES + body_len);
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&(body_len as u32).to_le_bytes());
    out.extend_from_slice(&0u64.to_le_bytes());
    out.extend_from_slice(&base_offset.to_le_bytes());
    out.extend_from_slice(&(records.len() as u32).to_le_bytes());
    out.extend_from_slice(&0u32.to_le_bytes());
    for record in records {
        let len = |part: Option<&[u8]>| part.map_or(NULL_LEN, |bytes| bytes.len() as i32);
        let mut entry = [0; ENTRY_BYTES];
        entry[..8].copy_from_slice(&record.timestamp_ms.to_le_bytes());
        entry[8..12].copy_from_slice(&len(record.key).to_le_bytes());
        entry[12..16].copy_from_slice(&len(record.value).to_le_bytes());
        entry[16..].copy_from_slice(&(record.headers.len() as u32).to_le_bytes());
        out.extend_from_slice(&entry);
    }
    for record in records {
        out.extend_from_slice(record.key.unwrap_or_default());
        out.extend_from_slice(record.value.unwrap_or_default());
        out.extend_from_slice(record.headers);
    }
    let checksum = xxh3_64(&out[start + CHECKED_FROM..]);
    out[start + 8..start + 16].copy_from_slice(&checksum.to_le_bytes());
}

/// Appends where the records of a frame stand to `records`: those from
/// `from_offset` on. `frame` begins at `start` of the batch's bytes. `None` if
/// the lengths in it do not fit, which its checksum rules out.
pub(super) fn records(
    header: &Header,
    frame: &[u8],
    start: usize,
    from_offset: i64,
    records: &mut Vec<RawRecord>,
) -> Option<()> {
    let count = header.records as usize;
    let entries = &frame[HEADER_BYTES..HEADER_BYTES + count * ENTRY_BYTES];
    let mut at = start + HEADER_BYTES + count * ENTRY_BYTES;
    let end = start + frame.len();
    records.reserve(count);
    for (offset, entry) in (header.base_offset..).zip(entries.chunks_exact(ENTRY_BYTES)) {
        let entry: &[u8; ENTRY_BYTES] = entry.try_into().expect("chunks of that length");
        let key = span(&mut at, u32_at(entry, 8) as i32);
        let value = span(&mut at, u32_at(entry, 12) as i32);
        let headers = span(&mut at, u32_at(entry, 16) as i32);
        if at > end {
            return None;
        }
        if offset >= from_offset {
            let timestamp_ms = u64_at(entry, 0) as i64;
            records.push(RawRecord { offset, timestamp_ms, key, value, headers });
        }
    }
    (at == end).then_some(())
}

fn span(at: &mut usize, len: i32) -> Span {
    let Ok(len) = u32::try_from(len) else { return Span::NULL };
    let start = *at as u32;
    *at += len as usize;
    Span { start, len }
}

fn u32_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
