//! A file as the batches that a decoder takes: each line is a record, its number
//! the offset. Holds one batch in memory, and the line that goes on behind it.

use std::io::{self, Read};
use std::sync::Arc;

use weir_actors::position::{PartitionId, TopicId, TopicPartition};
use weir_actors::source::{RawBatch, RawRecord, Span};

/// How much is read at once.
const READ_BYTES: usize = 256 << 10;
/// A line that is longer is none; the decoder is told the same limit.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
/// How many lines are looked at to guess how they are written.
pub(super) const SAMPLE_LINES: usize = 50;
const SAMPLE_BYTES: usize = 64 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of one file.
pub(super) struct Lines<R> {
    reader: R,
    partition: Arc<TopicPartition>,
    /// The key of lines that have none of their own.
    key: Vec<u8>,
    buffer: Vec<u8>,
    ended: bool,
    /// What comes up to the next line end belongs to a line that is too long.
    skipping: bool,
    lines: u64,
    rows: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R, name: &str, key: &str) -> Self {
        let id = PartitionId { topic: TopicId(0), number: 0 };
        Self {
            reader,
            partition: Arc::new(TopicPartition { topic: name.into(), id }),
            key: key.as_bytes().to_vec(),
            buffer: Vec::new(),
            ended: false,
            skipping: false,
            lines: 0,
            rows: 0,
        }
    }

    /// The first lines that are not blank, without taking them.
    pub(super) fn sample(&mut self) -> io::Result<Vec<Vec<u8>>> {
        while !self.ended && self.buffer.len() < SAMPLE_BYTES && self.complete() <= SAMPLE_LINES {
            self.fill()?;
        }
        if self.buffer.starts_with(BYTE_ORDER_MARK) {
            self.buffer.drain(..BYTE_ORDER_MARK.len());
        }
        let whole = match self.last_line_end() {
            Some(end) if !self.ended => &self.buffer[..end],
            _ => &self.buffer[..],
        };
        let lines = whole.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end);
        Ok(lines.filter(|l| !l.is_empty()).take(SAMPLE_LINES).map(<[u8]>::to_vec).collect())
    }

    /// Passes over the header. After [`Lines::sample`].
    pub(super) fn skip_header(&mut self) {
        loop {
            let end = self.buffer.iter().position(|b| *b == b'\n');
            let end = end.map_or(self.buffer.len(), |end| end + 1);
            let was_blank = self.buffer[..end].trim_ascii().is_empty();
            self.buffer.drain(..end);
            self.lines += 1;
            if !was_blank || self.buffer.is_empty() {
                return;
            }
        }
    }

    /// The next lines; `None` at the end.
    pub(super) fn next_batch(&mut self) -> io::Result<Option<RawBatch>> {
        loop {
            if let Some(end) = self.last_line_end() {
                let rest = self.buffer.split_off(end);
                let bytes = std::mem::replace(&mut self.buffer, rest);
                return Ok(Some(self.batch(bytes)));
            }
            if self.ended {
                let bytes = std::mem::take(&mut self.buffer);
                return Ok((!bytes.is_empty()).then(|| self.batch(bytes)));
            }
            self.fill()?;
        }
    }

    fn complete(&self) -> usize {
        self.buffer.iter().filter(|b| **b == b'\n').count()
    }

    /// Where the line behind the last complete one begins.
    fn last_line_end(&self) -> Option<usize> {
        self.buffer.iter().rposition(|b| *b == b'\n').map(|at| at + 1)
    }

    fn fill(&mut self) -> io::Result<()> {
        let from = self.buffer.len();
        self.buffer.resize(from + READ_BYTES, 0);
        let read = loop {
            match self.reader.read(&mut self.buffer[from..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(from + *read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        if self.skipping {
            let end = self.buffer[from..].iter().position(|b| *b == b'\n');
            // The line end itself stays: it ends what is left of the line.
            self.buffer.drain(from..end.map_or(self.buffer.len(), |end| from + end));
            self.skipping = end.is_none();
        } else if self.buffer.len() > LINE_BYTES_MAX && self.last_line_end().is_none() {
            // One byte too many is what the decoder refuses it for.
            self.buffer.truncate(LINE_BYTES_MAX + 1);
            self.skipping = true;
        }
        Ok(())
    }

    fn batch(&mut self, mut bytes: Vec<u8>) -> RawBatch {
        let key = Span { start: bytes.len() as u32, len: self.key.len() as u32 };
        let mut records = Vec::new();
        let mut start = 0;
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            self.lines += 1;
            let text = line.trim_ascii_end();
            if !text.trim_ascii_start().is_empty() {
                records.push(RawRecord {
                    offset: self.lines as i64,
                    // Rows without a time are a second apart.
                    timestamp_ms: self.rows as i64 * 1_000,
                    key,
                    value: Span { start, len: text.len() as u32 },
                    headers: Span::NULL,
                });
                self.rows += 1;
            }
            start += line.len() as u32;
        }
        bytes.extend_from_slice(&self.key);
        let next_offset = self.lines as i64 + 1;
        let partition = Arc::clone(&self.partition);
        RawBatch { partition, bytes, records, next_offset, log_end_offset: next_offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives as many bytes at once as it is told.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn all(text: &[u8], at_once: usize) -> Vec<(i64, Vec<u8>)> {
        let mut lines = Lines::new(Dripping(text, at_once), "f", "k");
        let mut out = Vec::new();
        while let Some(batch) = lines.next_batch().unwrap() {
            for record in &batch.records {
                assert_eq!(record.key.of(&batch.bytes), Some(&b"k"[..]));
                out.push((record.offset, record.value.of(&batch.bytes).unwrap().to_vec()));
            }
        }
        out
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"a,1\r\n\n  \nb,2\nc,3";
        let expected = [(1, b"a,1".to_vec()), (4, b"b,2".to_vec()), (5, b"c,3".to_vec())];
        for at_once in [1, 2, 3, 7, 100] {
            assert_eq!(all(text, at_once), expected);
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        let long = vec![b'x'; 3 * LINE_BYTES_MAX];
        let text = [b"a\n".as_slice(), &long, b"\nb\n"].concat();
        let lines = all(&text, 100_000);
        assert_eq!(lines.len(), 3);
        assert_eq!((lines[1].0, lines[1].1.len()), (2, LINE_BYTES_MAX + 1));
        assert_eq!(lines[2], (3, b"b".to_vec()));
    }

    #[test]
    fn a_sample_takes_nothing_and_a_header_is_passed_over() {
        let mut lines = Lines::new(&b"\xef\xbb\xbf\nt,v\n1,2\n3,4"[..], "f", "k");
        assert_eq!(lines.sample().unwrap(), [b"t,v".to_vec(), b"1,2".to_vec(), b"3,4".to_vec()]);
        lines.skip_header();
        let batch = lines.next_batch().unwrap().unwrap();
        assert_eq!(batch.records[0].offset, 3);
        assert_eq!(batch.records[0].value.of(&batch.bytes), Some(&b"1,2"[..]));
    }
}
