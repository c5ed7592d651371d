//! Lines on standard output, for people and for pipes.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use super::Failure;

/// Columns of a terminal that everything fits.
pub(super) const COLUMNS: usize = 80;

/// Writes lines; a reader that has gone away ends the command, without a fault.
pub(super) struct Output<W = io::BufWriter<io::StdoutLock<'static>>>(W);

impl Output {
    /// Standard output.
    pub(super) fn stdout() -> Self {
        Self(io::BufWriter::new(io::stdout().lock()))
    }
}

impl<W: Write> Output<W> {
    #[cfg(test)]
    pub(super) fn to(writer: W) -> Self {
        Self(writer)
    }

    /// One line.
    pub(super) fn line(&mut self, text: impl Display) -> Result<(), Failure> {
        writeln!(self.0, "{text}").map_err(failure)
    }

    /// Text that ends its own lines.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        self.0.write_all(text.as_bytes()).map_err(failure)
    }

    /// Shows what was written so far.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.0.flush().map_err(failure)
    }
}

fn failure(error: io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Failed(anyhow::anyhow!("cannot write to standard output: {error}")),
    }
}

/// The text in lines of at most `width` characters, words kept whole where they
/// can be; the second and later ones begin with `indent`.
pub(super) fn wrapped(text: &str, width: usize, indent: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split_whitespace() {
        let chars = word.chars().count();
        if column > 0 && column + 1 + chars > width {
            out.push('\n');
            out.push_str(indent);
            column = indent.chars().count();
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += chars;
    }
    out
}

/// A whole number as people read it: 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size as people read it: 1.5 GiB.
pub(super) fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = size as f64;
    let mut unit = 0;
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{size} bytes"),
        _ => format!("{scaled:.1} {}", UNITS[unit]),
    }
}

/// At most `width` characters of the text, cut with an ellipsis; what would move
/// the cursor is replaced.
pub(super) fn cut(text: &str, width: usize) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() { '.' } else { c }).collect();
    if shown.chars().count() <= width {
        return shown;
    }
    let mut short: String = shown.chars().take(width.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_to_their_width() {
        let text = wrapped("a word and another one, and more of them", 12, "  ");
        assert_eq!(text, "a word and\n  another\n  one, and\n  more of\n  them");
    }

    #[test]
    fn numbers_and_sizes_are_for_people() {
        assert_eq!((grouped(7), grouped(1_234_567)), ("7".into(), "1,234,567".into()));
        assert_eq!((bytes(12), bytes(3 << 29)), ("12 bytes".into(), "1.5 GiB".into()));
        assert_eq!(cut("a\nlong line", 6), "a.l...");
    }

    #[test]
    fn a_closed_pipe_is_no_fault() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(matches!(Output::to(Closed).line("x"), Err(Failure::OutputClosed)));
    }
}
