//! Keys that sort as what they stand for, so that a range is one scan. Numbers
//! are big-endian, signed ones with their sign bit turned.

use weir_actors::position::{GroupId, PartitionId, Position};
use weir_actors::store::Bucket;

/// Bytes of a position.
pub(super) const POSITION_BYTES: usize = 10;

/// `n` as bytes that sort as it does.
pub(super) const fn ordered(n: i64) -> [u8; 8] {
    (n ^ i64::MIN).to_be_bytes()
}

/// The number that [`ordered`] made `bytes` of.
pub(super) const fn from_ordered(bytes: [u8; 8]) -> i64 {
    i64::from_be_bytes(bytes) ^ i64::MIN
}

/// A position as bytes that sort as it does.
pub(super) fn position(position: Position) -> [u8; POSITION_BYTES] {
    let mut bytes = [0; POSITION_BYTES];
    bytes[..8].copy_from_slice(&ordered(position.offset));
    bytes[8..].copy_from_slice(&position.index.to_be_bytes());
    bytes
}

/// The position that `bytes` begin with, and the rest.
pub(super) fn split_position(bytes: &[u8]) -> Option<(Position, &[u8])> {
    let (offset, rest) = bytes.split_first_chunk()?;
    let (index, rest) = rest.split_first_chunk()?;
    let position = Position { offset: from_ordered(*offset), index: u16::from_be_bytes(*index) };
    Some((position, rest))
}

/// Topic and partition.
pub(super) fn partition(partition: PartitionId) -> Vec<u8> {
    let mut key = Vec::with_capacity(64);
    key.extend_from_slice(&partition.topic.0.to_be_bytes());
    key.extend_from_slice(&partition.number.to_be_bytes());
    key
}

/// Topic, partition and group.
pub(super) fn group(group: GroupId) -> Vec<u8> {
    let mut key = partition(group.partition);
    key.extend_from_slice(&group.group.to_be_bytes());
    key
}

/// Topic, partition, group and bucket.
pub(super) fn bucket(group_id: GroupId, bucket: Bucket) -> Vec<u8> {
    let mut key = group(group_id);
    key.extend_from_slice(&ordered(bucket.0));
    key
}

/// `prefix` and what follows it.
pub(super) fn with(prefix: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut key = Vec::with_capacity(prefix.len() + parts.iter().map(|p| p.len()).sum::<usize>());
    key.extend_from_slice(prefix);
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_numbers_and_come_back() {
        let numbers = [i64::MIN, -1_000, -1, 0, 1, 255, 256, i64::MAX];
        assert!(numbers.map(ordered).is_sorted());
        assert_eq!(numbers.map(|n| from_ordered(ordered(n))), numbers);
        let at = Position { offset: 77, index: 65_535 };
        assert_eq!(split_position(&position(at)), Some((at, &[][..])));
    }
}
