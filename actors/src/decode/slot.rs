//! What stood where a configured field was looked for.

use crate::source::Span;

/// A field of one message. Spans point into the message's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Slot {
    /// Nothing.
    Absent,
    /// JSON's null.
    Null,
    /// A JSON number, as it is written.
    Number(Span),
    /// Text as it is: a string without escapes, or a column.
    Text(Span),
    /// A JSON string with escapes, without its quotes.
    Escaped(Span),
    /// A quoted column with doubled quotes, without the outer ones.
    Doubled(Span),
    /// `NaN` or `Infinity`, which some writers put into JSON.
    NotFinite(Span),
    /// Something else, by its name.
    Other(&'static str),
}

impl Slot {
    /// The text, or the number as it is written. `scratch` holds it if it had to
    /// be rewritten. `None` if it is neither, or cannot be UTF-8.
    pub(super) fn text<'a>(self, value: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        match self {
            Self::Number(span) | Self::Text(span) => span.of(value),
            Self::Escaped(span) => {
                scratch.clear();
                unescape(span.of(value)?, scratch)?;
                Some(scratch)
            }
            Self::Doubled(span) => {
                scratch.clear();
                let mut quoted = false;
                for &byte in span.of(value)? {
                    // Of each pair of quotes the first is taken.
                    quoted = byte == b'"' && !quoted;
                    if byte != b'"' || quoted {
                        scratch.push(byte);
                    }
                }
                Some(scratch)
            }
            Self::Absent | Self::Null | Self::NotFinite(_) | Self::Other(_) => None,
        }
    }

    /// What it is, for a person.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Self::Absent => "nothing",
            Self::Null => "null",
            Self::Number(_) => "a number",
            Self::Text(_) | Self::Escaped(_) | Self::Doubled(_) => "text",
            Self::NotFinite(_) => "not finite",
            Self::Other(kind) => kind,
        }
    }
}

/// Appends a JSON string's text. Its escapes were found well-formed. `None` if
/// half of a surrogate pair stands alone.
pub(super) fn unescape(escaped: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = escaped;
    while let Some(at) = rest.iter().position(|&b| b == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let (&kind, tail) = rest[at + 1..].split_first()?;
        rest = tail;
        match kind {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (character, tail) = unicode(rest)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = tail;
            }
            other => out.push(other),
        }
    }
    out.extend_from_slice(rest);
    Some(())
}

fn unicode(text: &[u8]) -> Option<(char, &[u8])> {
    let (high, rest) = hex4(text)?;
    if !(0xd800..0xdc00).contains(&high) {
        return Some((char::from_u32(high)?, rest));
    }
    let (low, rest) = hex4(rest.strip_prefix(b"\\u")?)?;
    let low = low.checked_sub(0xdc00).filter(|&low| low < 0x400)?;
    Some((char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + low)?, rest))
}

fn hex4(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let mut value = 0;
    for &digit in digits {
        value = value << 4 | char::from(digit).to_digit(16)?;
    }
    Some((value, rest))
}
