//! One line of comma-separated values (RFC 4180, any delimiter), walked once.

use super::slot::Slot;
use crate::source::Span;

/// Which columns go to which slots, by rising column.
#[derive(Debug)]
pub(super) struct Columns {
    delimiter: u8,
    wanted: Vec<(usize, usize)>,
}

impl Columns {
    /// The slot of each column is its index; one that is there twice has the slot
    /// of the first.
    pub(super) fn new(delimiter: u8, columns: &[usize]) -> (Self, Vec<usize>) {
        let first = |column: &usize| columns.iter().position(|c| c == column).unwrap_or(0);
        let slots: Vec<usize> = columns.iter().map(first).collect();
        let mut wanted: Vec<_> = columns.iter().copied().zip(slots.iter().copied()).collect();
        wanted.sort_unstable();
        wanted.dedup();
        (Self { delimiter, wanted }, slots)
    }

    /// Walks a line and fills the slots of the columns found in it. An empty
    /// column is absent.
    pub(super) fn walk(&self, line: &[u8], slots: &mut [Slot]) -> Result<(), &'static str> {
        slots.fill(Slot::Absent);
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut wanted = self.wanted.iter().peekable();
        let mut at = 0;
        for column in 0.. {
            let (slot, end) = self.field(line, at)?;
            if let Some(&&(_, n)) = wanted.peek().filter(|(c, _)| *c == column) {
                slots[n] = slot;
                wanted.next();
            }
            if end == line.len() {
                break;
            }
            at = end + 1;
        }
        Ok(())
    }

    /// The field that begins at `at`, and where its delimiter stands.
    fn field(&self, line: &[u8], at: usize) -> Result<(Slot, usize), &'static str> {
        if line.get(at) == Some(&b'"') {
            return self.quoted(line, at + 1);
        }
        let mut end = at;
        while let Some(&byte) = line.get(end).filter(|&&b| b != self.delimiter) {
            match byte {
                b'\n' | b'\r' => return Err("the message has more than one line"),
                b'"' => return Err("a quote stands within a column that is not quoted"),
                _ => end += 1,
            }
        }
        let text = line[at..end].trim_ascii();
        if text.is_empty() {
            return Ok((Slot::Absent, end));
        }
        let start = at + (line[at..end].len() - line[at..end].trim_ascii_start().len());
        Ok((Slot::Text(Span { start: start as u32, len: text.len() as u32 }), end))
    }

    fn quoted(&self, line: &[u8], start: usize) -> Result<(Slot, usize), &'static str> {
        let (mut at, mut doubled) = (start, false);
        loop {
            match (line.get(at), line.get(at + 1)) {
                (None, _) => return Err("a quote is not closed"),
                (Some(b'"'), Some(b'"')) => {
                    doubled = true;
                    at += 2;
                }
                (Some(b'"'), next) => {
                    if next.is_some_and(|&b| b != self.delimiter) {
                        return Err("something follows behind a closed quote");
                    }
                    let span = Span { start: start as u32, len: (at - start) as u32 };
                    let slot = match (span.len, doubled) {
                        (0, _) => Slot::Absent,
                        (_, true) => Slot::Doubled(span),
                        (_, false) => Slot::Text(span),
                    };
                    return Ok((slot, at + 1));
                }
                (Some(_), _) => at += 1,
            }
        }
    }
}
