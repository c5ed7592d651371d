//! Which shard an event goes to: a pure function of its series and partition.
//!
//! ```text
//! series -> hash -> key group (inside its partition) -> shard
//! ```
//!
//! The hash and the key group are part of what is stored, so they never change;
//! the shard is this process's affair.

use xxhash_rust::xxh3::xxh3_64;

/// The hash of a series' name: XXH3, 64 bits, seed 0. Fixed for ever: it decides
/// where a series is stored.
pub fn series_hash(series: &[u8]) -> u64 {
    xxh3_64(series)
}

/// The key group of a series in its partition: the hash scaled down to
/// `0..key_groups` by its upper bits.
pub fn key_group(hash: u64, key_groups: u32) -> u32 {
    ((u128::from(hash) * u128::from(key_groups)) >> 64) as u32
}

/// The shard that owns a key group. Neighbouring groups go to different shards,
/// and partitions begin at different ones, so few groups still spread.
pub fn shard(partition: i32, group: u32, shards: usize) -> usize {
    (partition as u32 as usize + group as usize) % shards
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_series_never_changes() {
        assert_eq!(series_hash(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(series_hash(b"sensor-1"), series_hash(b"sensor-1"));
    }

    #[test]
    fn groups_are_of_even_size() {
        let mut counts = [0u32; 12];
        for i in 0..120_000u32 {
            counts[key_group(series_hash(format!("key-{i}").as_bytes()), 12) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (9_500..10_500).contains(c)), "{counts:?}");
    }

    #[test]
    fn the_groups_of_a_partition_spread_over_the_shards() {
        let owners: Vec<usize> = (0..8).map(|g| shard(3, g, 4)).collect();
        assert_eq!(owners, [3, 0, 1, 2, 3, 0, 1, 2]);
    }
}
