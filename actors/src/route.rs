//! Route: from a series to its key group, a pure function that never changes.
//! History and checkpoints are stored by it, so another function would orphan
//! everything stored.

use xxhash_rust::xxh3::xxh3_64;

/// The hash of a series' name: XXH3, 64 bits, seed 0 (<https://xxhash.com>).
/// Fixed for ever.
pub fn series_hash(series: &[u8]) -> u64 {
    xxh3_64(series)
}

/// The key group of a hash: `floor(hash * key_groups / 2^64)`, a multiplication
/// and a shift (Lemire's multiply-shift, <https://arxiv.org/abs/1805.10941>).
/// Groups are contiguous ranges of hashes of even size. Fixed for ever.
pub fn key_group(hash: u64, key_groups: u32) -> u32 {
    ((u128::from(hash) * u128::from(key_groups)) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of the reference implementation and of this crate's first day.
    #[test]
    fn hashes_are_those_of_the_first_day() {
        assert_eq!(series_hash(b""), 0x2d06_8005_38d3_94c2);
        assert_eq!(series_hash(b"a"), 0xe6c6_32b6_1e96_4e1f);
        assert_eq!(series_hash(b"abc"), 0x78af_5f94_892f_3950);
    }

    #[test]
    fn groups_are_even_ranges_of_the_hash() {
        assert_eq!(key_group(0, 64), 0);
        assert_eq!(key_group(u64::MAX, 64), 63);
        assert_eq!(key_group(1 << 63, 64), 32);
        assert_eq!(key_group((1 << 63) - 1, 64), 31);
        assert_eq!(key_group(u64::MAX, 1), 0);
        assert_eq!(key_group(u64::MAX, u32::MAX), u32::MAX - 1);
        assert_eq!(key_group(0x5555_5555_5555_5556, 3), 1);
    }

    #[test]
    fn ten_thousand_names_spread_evenly_over_64_groups() {
        let mut counts = [0u32; 64];
        for n in 0..10_000 {
            counts[key_group(series_hash(format!("sensor-{n}").as_bytes()), 64) as usize] += 1;
        }
        assert!(counts.iter().all(|&c| (100..220).contains(&c)), "{counts:?}");
    }
}
