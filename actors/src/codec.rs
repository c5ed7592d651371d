//! How records are stored: checkpoints, evicted states, open incidents.
//!
//! The one place that uses `bincode`, whose authors have stopped
//! (RUSTSEC-2025-0141; version 2 is sound and complete, nothing follows it).
//! Everything stored carries a version, so stored bytes outlive that choice:
//! another encoding is another version.
//!
//! ```text
//! record:  kind u8, version u8, checksum u32 LE (of all else), sections
//! section: number u8, length u32 LE, value (bincode 2, standard: little-endian,
//!          integers as varints); numbers rise
//! ```
//!
//! # What is stored can be read by the version before and the version after
//! A node may be rolled back, and during a roll-out both versions run. These
//! rules make it true:
//! 1. A section's number has one meaning and one type for ever.
//! 2. What is new goes into a new section, never into a type that is stored
//!    already; the record's `VERSION` counts up. A field that is new in each of
//!    many items is a new section too: a list as long as the items are.
//! 3. A reader skips sections that it does not know ([`Sections::get`] asks by
//!    number), and has a default for those that the version before did not write.
//! 4. A section that is no longer needed is written for one version more, because
//!    the version before still reads it. Only then it goes, and its number is not
//!    used again.
//! 5. A record from more than one version ahead is refused, not guessed at.
//!
//! ```
//! use weir_actors::codec::{CodecError, SectionWriter, Sections, Stored, decode, encode};
//!
//! struct Clock {
//!     newest_us: i64,
//!     /// New in version 2.
//!     late: u64,
//! }
//!
//! impl Stored for Clock {
//!     const KIND: u8 = 250;
//!     const VERSION: u8 = 2;
//!
//!     fn write(&self, out: &mut SectionWriter<'_>) -> Result<(), CodecError> {
//!         out.put(1, &self.newest_us)?;
//!         out.put(2, &self.late)
//!     }
//!
//!     fn read(sections: &Sections<'_>) -> Result<Self, CodecError> {
//!         Ok(Self { newest_us: sections.require(1)?, late: sections.or_default(2)? })
//!     }
//! }
//!
//! let bytes = encode(&Clock { newest_us: 7, late: 1 })?;
//! assert_eq!(decode::<Clock>(&bytes)?.newest_us, 7);
//! # Ok::<(), CodecError>(())
//! ```

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes that a record may have; larger ones are neither written nor read.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

const ENVELOPE_BYTES: usize = 6;
const SECTION_HEAD_BYTES: usize = 5;

type Config = Configuration<LittleEndian, Varint, Limit<RECORD_BYTES_MAX>>;
const CONFIG: Config = bincode::config::standard().with_limit::<RECORD_BYTES_MAX>();

/// Why a record cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end before the record does.
    #[error("the record is cut short at {found} bytes")]
    Truncated {
        /// Bytes that there are.
        found: usize,
    },
    /// Another kind of record stands there.
    #[error("a record of kind {found} stands where kind {expected} should")]
    Kind {
        /// The kind asked for.
        expected: u8,
        /// The kind found.
        found: u8,
    },
    /// The bytes are not those that were written.
    #[error("the record is damaged: checksum {found:08x}, written as {expected:08x}")]
    Checksum {
        /// The checksum that was written.
        expected: u32,
        /// The checksum of the bytes.
        found: u32,
    },
    /// Written by a node more than one version ahead.
    #[error(
        "the record is of version {found}, this node reads up to {}; upgrade the node, or go \
         back one version at a time", .known.saturating_add(1)
    )]
    Version {
        /// The version that this node writes.
        known: u8,
        /// The version found.
        found: u8,
    },
    /// A section that has no default is not there.
    #[error("section {0} of the record is missing")]
    Missing(u8),
    /// A section's bytes are not of its type.
    #[error("section {number} of the record: {why}")]
    Section {
        /// The section's number.
        number: u8,
        /// What is wrong with it.
        why: String,
    },
    /// Over [`RECORD_BYTES_MAX`].
    #[error("the record has {0} bytes, the limit is {RECORD_BYTES_MAX}; use more key groups")]
    TooLarge(usize),
}

/// A type that is stored. The rules are in the [module's](self) text.
pub trait Stored: Sized {
    /// Tells records apart; one number per type, for ever.
    const KIND: u8;
    /// The version that is written, from 1.
    const VERSION: u8;

    /// Puts every part into a section of its own, by rising number.
    fn write(&self, out: &mut SectionWriter<'_>) -> Result<(), CodecError>;

    /// Takes the parts from their sections.
    fn read(sections: &Sections<'_>) -> Result<Self, CodecError>;
}

/// The record as bytes.
pub fn encode<T: Stored>(record: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::new();
    encode_into(record, &mut out)?;
    Ok(out)
}

/// The same, appended to `out`. After an error `out` is as it was.
pub fn encode_into<T: Stored>(record: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    let start = out.len();
    out.extend_from_slice(&[T::KIND, T::VERSION, 0, 0, 0, 0]);
    let mut writer = SectionWriter { out, last: None };
    let written = record.write(&mut writer);
    let size = out.len() - start;
    if written.is_err() || size > RECORD_BYTES_MAX {
        out.truncate(start);
        return written.and(Err(CodecError::TooLarge(size)));
    }
    let sum = checksum(T::KIND, T::VERSION, &out[start + ENVELOPE_BYTES..]);
    out[start + 2..start + ENVELOPE_BYTES].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// Reads a record back. Damaged bytes are an error, whatever they are.
pub fn decode<T: Stored>(bytes: &[u8]) -> Result<T, CodecError> {
    let found = bytes.len();
    if found > RECORD_BYTES_MAX {
        return Err(CodecError::TooLarge(found));
    }
    let Some((&[kind, version, a, b, c, d], body)) = bytes.split_first_chunk::<ENVELOPE_BYTES>()
    else {
        return Err(CodecError::Truncated { found });
    };
    let expected = u32::from_le_bytes([a, b, c, d]);
    let sum = checksum(kind, version, body);
    if sum != expected {
        return Err(CodecError::Checksum { expected, found: sum });
    }
    if kind != T::KIND {
        return Err(CodecError::Kind { expected: T::KIND, found: kind });
    }
    if version > T::VERSION.saturating_add(1) {
        return Err(CodecError::Version { known: T::VERSION, found: version });
    }
    let sections = Sections { version, body };
    sections.check(found)?;
    T::read(&sections)
}

/// The lower half of XXH3-64. Kind and version are in the seed, so that damage
/// to them is found too.
fn checksum(kind: u8, version: u8, body: &[u8]) -> u32 {
    xxh3_64_with_seed(body, u64::from(kind) << 8 | u64::from(version)) as u32
}

/// Takes the sections of a record that is written.
pub struct SectionWriter<'a> {
    out: &'a mut Vec<u8>,
    last: Option<u8>,
}

impl SectionWriter<'_> {
    /// Appends a section. Items of a list must not be of zero size.
    ///
    /// # Panics
    /// If the number is not above the last one's: that is a mistake in the code.
    pub fn put<T: Serialize + ?Sized>(&mut self, number: u8, value: &T) -> Result<(), CodecError> {
        let start = self.begin(number);
        bincode::serde::encode_into_std_write(value, self.out, CONFIG)
            .map_err(|e| CodecError::Section { number, why: e.to_string() })?;
        self.end(start)
    }

    /// Appends a section of bytes as they are.
    ///
    /// # Panics
    /// As [`SectionWriter::put`].
    pub fn put_bytes(&mut self, number: u8, bytes: &[u8]) -> Result<(), CodecError> {
        let start = self.begin(number);
        self.out.extend_from_slice(bytes);
        self.end(start)
    }

    fn begin(&mut self, number: u8) -> usize {
        assert!(self.last.is_none_or(|last| last < number), "sections rise: {number} does not");
        self.last = Some(number);
        self.out.extend_from_slice(&[number, 0, 0, 0, 0]);
        self.out.len()
    }

    fn end(&mut self, start: usize) -> Result<(), CodecError> {
        let len = self.out.len() - start;
        let len = u32::try_from(len).map_err(|_| CodecError::TooLarge(len))?;
        self.out[start - 4..start].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }
}

/// The sections of a record that is read.
#[derive(Clone, Copy, Debug)]
pub struct Sections<'a> {
    version: u8,
    body: &'a [u8],
}

impl<'a> Sections<'a> {
    /// The version that wrote the record.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The value of a section; `None` if the writer did not know of it.
    pub fn get<T: DeserializeOwned>(&self, number: u8) -> Result<Option<T>, CodecError> {
        let Some(bytes) = self.bytes(number) else { return Ok(None) };
        let wrong = |why: String| CodecError::Section { number, why };
        let (value, used) =
            bincode::serde::decode_from_slice(bytes, CONFIG).map_err(|e| wrong(e.to_string()))?;
        if used != bytes.len() {
            return Err(wrong(format!("{} bytes follow behind the value", bytes.len() - used)));
        }
        Ok(Some(value))
    }

    /// The value of a section, or its type's default.
    pub fn or_default<T: DeserializeOwned + Default>(&self, number: u8) -> Result<T, CodecError> {
        Ok(self.get(number)?.unwrap_or_default())
    }

    /// The value of a section that every version wrote.
    pub fn require<T: DeserializeOwned>(&self, number: u8) -> Result<T, CodecError> {
        self.get(number)?.ok_or(CodecError::Missing(number))
    }

    /// The bytes of a section as they are.
    pub fn bytes(&self, number: u8) -> Option<&'a [u8]> {
        self.all().find_map(|(n, bytes)| (n == number).then_some(bytes))
    }

    fn all(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let mut rest = self.body;
        std::iter::from_fn(move || {
            let (number, bytes, tail) = split_section(rest)?;
            rest = tail;
            Some((number, bytes))
        })
    }

    /// That the sections fill the record and their numbers rise.
    fn check(&self, found: usize) -> Result<(), CodecError> {
        let mut size = 0;
        let mut last = None;
        for (number, bytes) in self.all() {
            if last.is_some_and(|last| last >= number) {
                let why = format!("it stands behind section {}", last.unwrap_or(0));
                return Err(CodecError::Section { number, why });
            }
            last = Some(number);
            size += SECTION_HEAD_BYTES + bytes.len();
        }
        if size == self.body.len() { Ok(()) } else { Err(CodecError::Truncated { found }) }
    }
}

fn split_section(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[number, a, b, c, d], rest) = bytes.split_first_chunk::<SECTION_HEAD_BYTES>()?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes([a, b, c, d]) as usize)?;
    Some((number, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A record as version 1 knew it.
    #[derive(Clone, Debug, PartialEq)]
    struct First {
        name: String,
        values: Vec<f64>,
    }

    impl Stored for First {
        const KIND: u8 = 200;
        const VERSION: u8 = 1;

        fn write(&self, out: &mut SectionWriter<'_>) -> Result<(), CodecError> {
            out.put(1, &self.name)?;
            out.put(2, &self.values)
        }

        fn read(sections: &Sections<'_>) -> Result<Self, CodecError> {
            Ok(Self { name: sections.require(1)?, values: sections.require(2)? })
        }
    }

    /// The same record in version 2: each value has a weight as well.
    #[derive(Clone, Debug, PartialEq)]
    struct Second {
        name: String,
        values: Vec<f64>,
        weights: Vec<u32>,
    }

    impl Stored for Second {
        const KIND: u8 = 200;
        const VERSION: u8 = 2;

        fn write(&self, out: &mut SectionWriter<'_>) -> Result<(), CodecError> {
            out.put(1, &self.name)?;
            out.put(2, &self.values)?;
            out.put(3, &self.weights)
        }

        fn read(sections: &Sections<'_>) -> Result<Self, CodecError> {
            let values: Vec<f64> = sections.require(2)?;
            let weights = sections.get(3)?.unwrap_or_else(|| vec![1; values.len()]);
            Ok(Self { name: sections.require(1)?, values, weights })
        }
    }

    /// Version 3 needs no name.
    #[derive(Debug)]
    struct Third;

    impl Stored for Third {
        const KIND: u8 = 200;
        const VERSION: u8 = 3;

        fn write(&self, out: &mut SectionWriter<'_>) -> Result<(), CodecError> {
            out.put(2, &[0.5f64; 3].as_slice())
        }

        fn read(_: &Sections<'_>) -> Result<Self, CodecError> {
            Ok(Self)
        }
    }

    fn first() -> First {
        First { name: "a".into(), values: vec![1.5, -0.0, 1e300] }
    }

    #[test]
    fn the_version_after_reads_what_the_version_before_wrote() {
        let read: Second = decode(&encode(&first()).unwrap()).unwrap();
        let First { name, values } = first();
        assert_eq!(read, Second { name, values, weights: vec![1, 1, 1] });
    }

    #[test]
    fn the_version_before_reads_what_the_version_after_wrote() {
        let First { name, values } = first();
        let second = Second { name, values, weights: vec![4, 5, 6] };
        assert_eq!(decode::<First>(&encode(&second).unwrap()).unwrap(), first());
    }

    #[test]
    fn two_versions_ahead_are_refused_and_one_that_breaks_the_rules_is_found() {
        let third = encode(&Third).unwrap();
        let refused = decode::<First>(&third).unwrap_err();
        assert_eq!(refused, CodecError::Version { known: 1, found: 3 });
        // It left out section 1 one version too early.
        assert_eq!(decode::<Second>(&third).unwrap_err(), CodecError::Missing(1));
    }

    #[test]
    fn the_bytes_of_the_first_day_are_still_written() {
        let bytes = encode(&first()).unwrap();
        let body = [
            1, 2, 0, 0, 0, 1, b'a', // name
            2, 25, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x9c, 0x75,
            0x00, 0x88, 0x3c, 0xe4, 0x37, 0x7e, // values
        ];
        assert_eq!(bytes[..2], [200, 1]);
        assert_eq!(bytes[6..], body);
        assert_eq!(bytes[2..6], checksum(200, 1, &body).to_le_bytes());
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_found() {
        let bytes = encode(&first()).unwrap();
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] ^= flip;
                assert!(decode::<First>(&damaged).is_err(), "byte {at} ^ {flip}");
            }
            assert!(decode::<First>(&bytes[..at]).is_err(), "cut at {at}");
        }
        assert!(decode::<First>(&[bytes, vec![0]].concat()).is_err());
    }

    #[derive(Debug)]
    struct Other;

    impl Stored for Other {
        const KIND: u8 = 201;
        const VERSION: u8 = 1;

        fn write(&self, _: &mut SectionWriter<'_>) -> Result<(), CodecError> {
            Ok(())
        }

        fn read(_: &Sections<'_>) -> Result<Self, CodecError> {
            Ok(Self)
        }
    }

    #[test]
    fn another_kind_of_record_is_refused() {
        let bytes = encode(&Other).unwrap();
        assert_eq!(bytes.len(), ENVELOPE_BYTES);
        decode::<Other>(&bytes).unwrap();
        let wrong = decode::<First>(&bytes).unwrap_err();
        assert_eq!(wrong, CodecError::Kind { expected: 200, found: 201 });
    }

    fn sealed(body: &[u8]) -> Vec<u8> {
        let sum = checksum(200, 1, body).to_le_bytes();
        [&[200, 1], sum.as_slice(), body].concat()
    }

    #[test]
    fn a_section_that_is_longer_than_its_value_is_an_error() {
        let body = [1, 3, 0, 0, 0, 1, b'a', b'b', 2, 1, 0, 0, 0, 0];
        let error = decode::<First>(&sealed(&body)).unwrap_err();
        assert!(matches!(error, CodecError::Section { number: 1, .. }), "{error}");
    }

    #[test]
    fn a_length_that_lies_allocates_nothing_and_is_an_error() {
        // A list of 2^63 floats, in ten bytes.
        let list = [253, 0, 0, 0, 0, 0, 0, 0, 0x80, 1];
        let body = [&[1, 1, 0, 0, 0, 0, 2, 10, 0, 0, 0], list.as_slice()].concat();
        let error = decode::<First>(&sealed(&body)).unwrap_err();
        assert!(matches!(error, CodecError::Section { number: 2, .. }), "{error}");
    }

    proptest! {
        #[test]
        fn any_record_comes_back(name: String, values in prop::collection::vec(-1e300..1e300f64, 0..50)) {
            let record = First { name, values };
            prop_assert_eq!(decode::<First>(&encode(&record).unwrap()).unwrap(), record);
        }

        #[test]
        fn any_bytes_are_refused_without_panic(bytes: Vec<u8>) {
            prop_assert!(decode::<First>(&bytes).is_err());
        }

        #[test]
        fn any_bytes_with_a_right_checksum_are_read_without_panic(
            sections in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4)
        ) {
            let mut body = Vec::new();
            for (n, section) in sections.iter().enumerate() {
                body.push(n as u8 + 1);
                body.extend_from_slice(&(section.len() as u32).to_le_bytes());
                body.extend_from_slice(section);
            }
            let _ = decode::<Second>(&sealed(&body));
            let _ = decode::<Second>(&sealed(&sections.concat()));
        }
    }
}
