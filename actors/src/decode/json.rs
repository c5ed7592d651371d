//! JSON (RFC 8259), walked once: checked in full, kept only where a path leads.
//! Nothing is allocated for a message.

use super::path::{NOWHERE, PathTree};
use super::slot::{Slot, unescape};
use crate::source::Span;

/// Objects and arrays within each other.
const DEPTH_MAX: u32 = 128;

/// Why a message is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where, in bytes from the beginning of the message's value.
    pub(super) at: usize,
    /// What is wrong there.
    pub(super) what: &'static str,
}

/// Walks a message and fills the slots of the paths found in it.
pub(super) fn walk(
    value: &[u8],
    tree: &PathTree,
    slots: &mut [Slot],
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    slots.fill(Slot::Absent);
    if let Err(e) = std::str::from_utf8(value) {
        return Err(Fault { at: e.valid_up_to(), what: "the text is not UTF-8" });
    }
    let nothing = Fault { at: 0, what: "" };
    let mut walker = Walker { bytes: value, at: 0, tree, slots, scratch, fault: nothing };
    walker.message().map_err(|Stop| walker.fault)
}

/// The walk ends: [`Walker::fault`] says why. It has no size, so that a result is
/// a register.
struct Stop;

struct Walker<'a> {
    /// Valid UTF-8.
    bytes: &'a [u8],
    at: usize,
    tree: &'a PathTree,
    slots: &'a mut [Slot],
    scratch: &'a mut Vec<u8>,
    fault: Fault,
}

/// A string's place, without its quotes.
struct Text {
    start: usize,
    end: usize,
    escaped: bool,
}

/// The first of eight bytes that ends the plain part of a string: a quote, a
/// backslash or a control character.
fn first_special(word: u64) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x80 * ONES;
    // The high bit of each byte that is zero. What is borrowed from a higher byte
    // can only mark bytes above the first one that is marked rightly.
    let zero = |w: u64| w.wrapping_sub(ONES) & !w & HIGHS;
    let quote = zero(word ^ (ONES * b'"' as u64));
    let backslash = zero(word ^ (ONES * b'\\' as u64));
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
    let special = quote | backslash | control;
    (special != 0).then(|| special.trailing_zeros() as usize / 8)
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

impl Walker<'_> {
    /// The byte at hand; 0, which is nowhere allowed, at the end.
    #[inline]
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[cold]
    fn stop<T>(&mut self, what: &'static str) -> Result<T, Stop> {
        let what = if self.at >= self.bytes.len() { "it ends too early" } else { what };
        self.fault = Fault { at: self.at, what };
        Err(Stop)
    }

    fn message(&mut self) -> Result<(), Stop> {
        self.blank();
        self.value(0, 0)?;
        self.blank();
        if self.at < self.bytes.len() {
            return self.stop("something follows behind the end");
        }
        Ok(())
    }

    #[inline]
    fn blank(&mut self) {
        // Most often there is none: one comparison.
        while self.peek() <= b' ' && matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn value(&mut self, node: u32, depth: u32) -> Result<(), Stop> {
        let start = self.at;
        let slot = match self.peek() {
            b'{' => {
                self.object(node, depth)?;
                Slot::Other("an object")
            }
            b'[' => {
                self.array(node, depth)?;
                Slot::Other("a list")
            }
            b'"' => {
                let text = self.string()?;
                let span = span(text.start, text.end);
                if text.escaped { Slot::Escaped(span) } else { Slot::Text(span) }
            }
            b'0'..=b'9' => self.number()?,
            b'-' if self.bytes.get(start + 1) == Some(&b'I') => {
                self.not_finite(node, "-Infinity")?
            }
            b'-' => self.number()?,
            b't' => self.word("true", Slot::Other("true"))?,
            b'f' => self.word("false", Slot::Other("false"))?,
            b'n' => self.word("null", Slot::Null)?,
            b'N' => self.not_finite(node, "NaN")?,
            b'I' => self.not_finite(node, "Infinity")?,
            _ => return self.stop("a value should begin here"),
        };
        if let Some(n) = self.tree.slot(node) {
            self.slots[n] = slot;
        }
        Ok(())
    }

    fn object(&mut self, node: u32, depth: u32) -> Result<(), Stop> {
        self.enter(depth)?;
        self.blank();
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != b'"' {
                return self.stop("a name in quotes should begin here");
            }
            let name = self.string()?;
            let child = self.member(node, &name);
            self.blank();
            if self.peek() != b':' {
                return self.stop("a colon should stand here");
            }
            self.at += 1;
            self.blank();
            self.value(child, depth + 1)?;
            if self.ends(b'}', "a comma or } should stand here")? {
                return Ok(());
            }
        }
    }

    fn member(&mut self, node: u32, name: &Text) -> u32 {
        if node == NOWHERE {
            return NOWHERE;
        }
        let text = &self.bytes[name.start..name.end];
        let child = if name.escaped {
            self.scratch.clear();
            match unescape(text, self.scratch) {
                Some(()) => self.tree.member(node, self.scratch),
                None => NOWHERE,
            }
        } else {
            self.tree.member(node, text)
        };
        // The last one of a name counts: what an earlier one left goes.
        for &slot in self.tree.slots_below(child) {
            self.slots[slot] = Slot::Absent;
        }
        child
    }

    fn array(&mut self, node: u32, depth: u32) -> Result<(), Stop> {
        self.enter(depth)?;
        self.blank();
        if self.peek() == b']' {
            self.at += 1;
            return Ok(());
        }
        for item in 0.. {
            self.value(self.tree.item(node, item), depth + 1)?;
            if self.ends(b']', "a comma or ] should stand here")? {
                break;
            }
        }
        Ok(())
    }

    fn enter(&mut self, depth: u32) -> Result<(), Stop> {
        if depth == DEPTH_MAX {
            return self.stop("it is nested more than 128 deep");
        }
        self.at += 1;
        Ok(())
    }

    /// Steps over what stands behind a member or an item; whether it was the last.
    fn ends(&mut self, close: u8, what: &'static str) -> Result<bool, Stop> {
        self.blank();
        let byte = self.peek();
        if byte != b',' && byte != close {
            return self.stop(what);
        }
        self.at += 1;
        if byte == b',' {
            self.blank();
        }
        Ok(byte == close)
    }

    fn string(&mut self) -> Result<Text, Stop> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.plain();
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(Text { start, end: self.at - 1, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.at += 1;
                    self.escape()?;
                }
                _ => return self.stop("a control character stands in a string"),
            }
        }
    }

    /// Steps over the plain part of a string.
    fn plain(&mut self) {
        while let Some(word) = self.bytes[self.at..].first_chunk::<8>() {
            if let Some(n) = first_special(u64::from_le_bytes(*word)) {
                self.at += n;
                return;
            }
            self.at += 8;
        }
        while self.bytes.get(self.at).is_some_and(|&b| !is_special(b)) {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), Stop> {
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' => {
                self.at += 1;
                for _ in 0..4 {
                    if !self.peek().is_ascii_hexdigit() {
                        return self.stop("four hexadecimal digits should stand here");
                    }
                    self.at += 1;
                }
            }
            _ => return self.stop("an unknown escape"),
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Slot, Stop> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        match self.peek() {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Slot::Number(span(start, self.at)))
    }

    fn digits(&mut self) -> Result<(), Stop> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { self.stop("a digit should stand here") } else { Ok(()) }
    }

    fn word(&mut self, word: &str, slot: Slot) -> Result<Slot, Stop> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.stop("a value should begin here");
        }
        self.at += word.len();
        Ok(slot)
    }

    /// No JSON, but common: let through where a field is read, so that it is
    /// refused as what it is.
    fn not_finite(&mut self, node: u32, word: &str) -> Result<Slot, Stop> {
        let start = self.at;
        let slot = Slot::NotFinite(span(start, start + word.len()));
        let found = self.word(word, slot)?;
        if self.tree.slot(node).is_none() {
            self.at = start;
            return self.stop("NaN and Infinity are not JSON");
        }
        Ok(found)
    }
}

/// Messages are shorter than 4 GiB: they stand in a batch that spans point into.
fn span(start: usize, end: usize) -> Span {
    Span { start: start as u32, len: (end - start) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn eight_bytes_are_searched_as_one_by_one(
            word in prop::array::uniform8(prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(0x1f), Just(0x20), Just(b'!'), Just(0x80)])
        ) {
            let expected = word.iter().position(|&b| is_special(b));
            prop_assert_eq!(first_special(u64::from_le_bytes(word)), expected);
        }
    }
}
