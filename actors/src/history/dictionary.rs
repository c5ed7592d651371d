//! The names of a block's series, in the order in which they first appear, so
//! that a fleet that reports in turns has indexes that count up.
//!
//! ```text
//! dictionary: names varint; column of the bytes shared with the name before;
//!             column of the bytes that follow; then these bytes of all names:
//!   symbols u8 (0 is 256), the symbols ascending unless they are 256, and the
//!   bytes as indexes into them, packed at the fewest bits
//! ```
//!
//! Names differ in digits mostly: ten symbols take four bits each.

use super::input::{Input, put_varint};
use super::integers::{self, Scratch};
use super::packing;
use super::segment::{DICTIONARY_BYTES_MAX, EVENTS_MAX, NAME_BYTES_MAX, SegmentError};

/// Names, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dictionary {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Dictionary {
    /// How many names.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes all names have together.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The name with that index.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn name(&self, index: u32) -> &[u8] {
        let index = index as usize;
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.bytes[start..self.ends[index] as usize]
    }

    /// All names, in order.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len() as u32).map(|n| self.name(n))
    }

    /// The memory that it holds, in bytes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<u32>()
    }

    pub(super) fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len() as u32);
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Memory used again from block to block.
#[derive(Default)]
pub(super) struct DictionaryScratch {
    shared: Vec<i64>,
    following: Vec<i64>,
    bytes: Vec<u8>,
    packed: Vec<u64>,
}

/// Appends the names.
pub(super) fn encode(
    names: &Dictionary,
    scratch: &mut DictionaryScratch,
    integers: &mut Scratch,
    out: &mut Vec<u8>,
) {
    let DictionaryScratch { shared, following, bytes, packed } = scratch;
    shared.clear();
    following.clear();
    bytes.clear();
    let mut before: &[u8] = &[];
    for name in names.names() {
        let same = name.iter().zip(before).take_while(|(a, b)| a == b).count();
        shared.push(same as i64);
        following.push((name.len() - same) as i64);
        bytes.extend_from_slice(&name[same..]);
        before = name;
    }
    put_varint(out, names.len() as u64);
    integers::encode(shared, None, integers, out);
    integers::encode(following, None, integers, out);

    let mut present = [false; 256];
    bytes.iter().for_each(|&b| present[b as usize] = true);
    let mut symbol_of = [0u64; 256];
    let mut symbols = 0u64;
    for (symbol, _) in symbol_of.iter_mut().zip(present).filter(|(_, present)| *present) {
        *symbol = symbols;
        symbols += 1;
    }
    if symbols == 0 {
        return;
    }
    out.push(symbols as u8);
    if symbols < 256 {
        out.extend((0..=255u8).filter(|&b| present[b as usize]));
    }
    packed.clear();
    packed.extend(bytes.iter().map(|&b| symbol_of[b as usize]));
    packing::pack(packed, symbol_bits(symbols as usize), out);
}

fn symbol_bits(symbols: usize) -> u32 {
    usize::BITS - (symbols - 1).leading_zeros()
}

/// Reads names into `names`, which is emptied first.
pub(super) fn decode(
    input: &mut Input<'_>,
    names: &mut Dictionary,
    scratch: &mut DictionaryScratch,
    integers: &mut Scratch,
) -> Result<(), SegmentError> {
    let DictionaryScratch { shared, following, bytes, .. } = scratch;
    names.clear();
    let count = input.varint()? as usize;
    if count > EVENTS_MAX {
        return Err(SegmentError::Corrupt("more names than a block may have events"));
    }
    integers::decode(input, count, None, integers, shared)?;
    integers::decode(input, count, None, integers, following)?;
    check_sizes(shared, following)?;
    decode_symbols(input, following.iter().sum::<i64>() as usize, bytes)?;
    let mut rest = bytes.as_slice();
    let mut start = 0;
    for (&same, &new) in shared.iter().zip(following.iter()) {
        let (head, tail) = rest.split_at(new as usize);
        rest = tail;
        let end = names.bytes.len();
        names.bytes.extend_from_within(start..start + same as usize);
        names.bytes.extend_from_slice(head);
        names.ends.push(names.bytes.len() as u32);
        start = end;
    }
    Ok(())
}

/// Before anything is allocated for names.
fn check_sizes(shared: &[i64], following: &[i64]) -> Result<(), SegmentError> {
    let limits = 0..=NAME_BYTES_MAX as i64;
    let (mut before, mut all) = (0, 0);
    for (&same, &new) in shared.iter().zip(following) {
        if !limits.contains(&same) || !limits.contains(&new) || same > before {
            return Err(SegmentError::Corrupt("a name's length cannot be"));
        }
        before = same + new;
        all += before;
        if !limits.contains(&before) || all > DICTIONARY_BYTES_MAX as i64 {
            return Err(SegmentError::Corrupt("the names are too long"));
        }
    }
    Ok(())
}

fn decode_symbols(
    input: &mut Input<'_>,
    count: usize,
    out: &mut Vec<u8>,
) -> Result<(), SegmentError> {
    out.clear();
    if count == 0 {
        return Ok(());
    }
    let symbols = match input.byte()? {
        0 => {
            out.extend_from_slice(input.take(count)?);
            return Ok(());
        }
        symbols => input.take(symbols as usize)?,
    };
    let mut unknown = false;
    packing::unpack_all(input, symbol_bits(symbols.len()), count, |index| {
        let symbol = symbols.get(index as usize);
        unknown |= symbol.is_none();
        out.push(symbol.copied().unwrap_or(0));
    })?;
    if unknown {
        return Err(SegmentError::Corrupt("a name has a symbol that is not listed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn coded(names: &[Vec<u8>]) -> Vec<u8> {
        let mut dictionary = Dictionary::default();
        names.iter().for_each(|n| dictionary.push(n));
        let (mut scratch, mut integers) = (DictionaryScratch::default(), Scratch::default());
        let mut out = Vec::new();
        encode(&dictionary, &mut scratch, &mut integers, &mut out);
        let mut back = Dictionary::default();
        let mut input = Input(&out);
        decode(&mut input, &mut back, &mut scratch, &mut integers).unwrap();
        assert_eq!(back, dictionary);
        assert!(input.0.is_empty());
        out
    }

    #[test]
    fn numbered_names_take_three_bytes_or_less() {
        let names: Vec<Vec<u8>> = (0..1_000u32)
            .map(|n| format!("pump-{:05}", n * 7_919 % 100_000).into_bytes())
            .collect();
        assert!(coded(&names).len() < 3_000);
    }

    #[test]
    fn no_name_and_the_empty_name_come_back() {
        coded(&[]);
        coded(&[vec![]]);
        coded(&[vec![7; 5]]);
        coded(&[(0..=255).collect()]);
    }

    #[test]
    fn names_that_would_fill_the_memory_are_refused_before_they_do() {
        // Each name repeats the one before: few bytes stand for many.
        let mut dictionary = Dictionary::default();
        let name = vec![b'a'; NAME_BYTES_MAX];
        (0..200).for_each(|_| dictionary.push(&name));
        let (mut scratch, mut integers) = (DictionaryScratch::default(), Scratch::default());
        let mut out = Vec::new();
        encode(&dictionary, &mut scratch, &mut integers, &mut out);
        assert!(out.len() < 1_000);
        let mut back = Dictionary::default();
        decode(&mut Input(&out), &mut back, &mut scratch, &mut integers).unwrap_err();
        assert_eq!(back.memory_bytes(), 0);
    }

    proptest! {
        #[test]
        fn any_names_come_back(
            names in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..200)
        ) {
            coded(&names);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = decode(
                &mut Input(&bytes), &mut Dictionary::default(),
                &mut DictionaryScratch::default(), &mut Scratch::default());
        }
    }
}
