//! Randomness without a state: a number for each (seed, key, purpose, tick).

/// A well-mixed number of two others (the finaliser of SplitMix64, Steele et
/// al., OOPSLA 2014, applied after each).
#[inline]
pub(crate) fn hash(a: u64, b: u64) -> u64 {
    mix(mix(a).wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

#[inline]
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Evenly from 0 to below 1.
#[inline]
pub(crate) fn uniform(hash: u64) -> f64 {
    (hash >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// Evenly from `low` to below `high`.
#[inline]
pub(crate) fn between(hash: u64, low: f64, high: f64) -> f64 {
    low + uniform(hash) * (high - low)
}

/// Normally distributed, mean 0, standard deviation 1: the inverse of the normal
/// distribution (P. J. Acklam's rational approximation, relative error below
/// 1.2e-9). Only one value in twenty needs a logarithm.
#[inline]
pub(crate) fn normal(hash: u64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 5] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
    ];
    /// Where the tails begin.
    const TAIL: f64 = 0.02425;
    // In the middle of a step, so that it is never 0 and never 1.
    let p = ((hash >> 12) as f64 + 0.5) * (1.0 / (1u64 << 52) as f64);
    if p < TAIL {
        return tail(p);
    }
    if p > 1.0 - TAIL {
        return -tail(1.0 - p);
    }
    let q = p - 0.5;
    let r = q * q;
    let above = ((((A[0] * r + A[1]) * r + A[2]) * r + A[3]) * r + A[4]) * r + A[5];
    let below = ((((B[0] * r + B[1]) * r + B[2]) * r + B[3]) * r + B[4]) * r + 1.0;
    q * above / below
}

#[cold]
fn tail(p: f64) -> f64 {
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 4] =
        [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416];
    let q = libm::sqrt(-2.0 * libm::log(p));
    let above = ((((C[0] * q + C[1]) * q + C[2]) * q + C[3]) * q + C[4]) * q + C[5];
    let below = (((D[0] * q + D[1]) * q + D[2]) * q + D[3]) * q + 1.0;
    above / below
}

/// A value that wanders between random knots, a straight line from each to the
/// next, `2^shift` ticks apart; from -1 to 1.
#[inline]
pub(crate) fn wander(seed: u64, shift: u32, tick: u64) -> f64 {
    let knot = tick >> shift;
    let part = (tick & ((1 << shift) - 1)) as f64 / (1u64 << shift) as f64;
    let at = |knot: u64| between(hash(seed ^ u64::from(shift), knot), -1.0, 1.0);
    let (from, to) = (at(knot), at(knot + 1));
    from + (to - from) * part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_values_are_normally_distributed() {
        const N: u64 = 400_000;
        let (mut sum, mut squares, mut beyond_2, mut beyond_3) = (0.0, 0.0, 0, 0);
        for i in 0..N {
            let z = normal(hash(7, i));
            sum += z;
            squares += z * z;
            beyond_2 += u32::from(z.abs() > 2.0);
            beyond_3 += u32::from(z.abs() > 3.0);
        }
        let n = N as f64;
        assert!((sum / n).abs() < 0.006, "{}", sum / n);
        assert!((squares / n - 1.0).abs() < 0.01, "{}", squares / n);
        assert!((f64::from(beyond_2) / n - 0.0455).abs() < 0.001, "{beyond_2}");
        assert!((f64::from(beyond_3) / n - 0.0027).abs() < 0.0003, "{beyond_3}");
    }

    #[test]
    fn the_ends_of_the_range_are_finite() {
        assert!((-8.6..-7.9).contains(&normal(0)));
        assert!((7.9..8.6).contains(&normal(u64::MAX)));
    }

    #[test]
    fn what_wanders_makes_no_jumps() {
        let steps = (0..10_000).map(|t| (wander(3, 6, t + 1) - wander(3, 6, t)).abs());
        assert!(steps.fold(0.0, f64::max) <= 2.0 / 64.0 + 1e-9);
    }
}
