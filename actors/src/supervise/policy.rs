//! The decisions of a supervisor, as pure code: who is restarted, when, and when
//! it gives up.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::Exit;

/// Which children are restarted when one ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// That child alone.
    OneForOne,
    /// All children.
    OneForAll,
    /// That child and those started after it.
    RestForOne,
}

impl Strategy {
    /// Which of `children` children are restarted when child `ended` ends.
    pub fn affected(self, ended: usize, children: usize) -> std::ops::Range<usize> {
        match self {
            Self::OneForOne => ended..ended + 1,
            Self::OneForAll => 0..children,
            Self::RestForOne => ended..children,
        }
    }
}

/// Which ends of a child lead to a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Every one.
    Permanent,
    /// Only failures.
    Transient,
    /// None.
    Temporary,
}

impl Restart {
    /// Whether a child that ended like this is to be restarted.
    pub fn wanted(self, exit: &Exit) -> bool {
        match (self, exit) {
            (_, Exit::Shutdown | Exit::GaveUp(_)) | (Self::Temporary, _) => false,
            (Self::Permanent, _) => true,
            (Self::Transient, exit) => matches!(exit, Exit::Failed(_)),
        }
    }
}

/// How many restarts are borne within a period.
#[derive(Clone, Copy, Debug)]
pub struct Intensity {
    /// One more than this many restarts within the period, and the supervisor
    /// gives up.
    pub restarts_max: usize,
    /// The period.
    pub within: Duration,
}

/// The restarts of the recent past, held against an [`Intensity`].
#[derive(Debug)]
pub(super) struct RestartLog {
    intensity: Intensity,
    recent: VecDeque<Instant>,
}

impl RestartLog {
    pub(super) fn new(intensity: Intensity) -> Self {
        Self { intensity, recent: VecDeque::new() }
    }

    /// Notes a restart; false if that is one too many.
    pub(super) fn bear(&mut self, now: Instant) -> bool {
        while self.recent.front().is_some_and(|t| now.duration_since(*t) > self.intensity.within) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        self.recent.len() <= self.intensity.restarts_max
    }

    /// How many restarts there were within the period.
    pub(super) fn count(&self) -> usize {
        self.recent.len()
    }

    pub(super) fn clear(&mut self) {
        self.recent.clear();
    }
}

/// How long to wait before a restart: doubled each time from `initial` up to
/// `max`, with up to a quarter of jitter so that siblings do not restart in step.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Before the first restart.
    pub initial: Duration,
    /// At most.
    pub max: Duration,
    /// Seeds the jitter, so that a run can be repeated.
    pub seed: u64,
}

impl Backoff {
    /// The wait before the `nth` restart in a row, from 1.
    pub fn delay(&self, nth: usize) -> Duration {
        let doublings = u32::try_from(nth.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
        let delay = self.initial.saturating_mul(1 << doublings).min(self.max);
        delay + delay.mul_f64(0.25 * unit_interval(self.seed ^ nth as u64))
    }
}

/// A number in [0, 1) from a seed (SplitMix64).
fn unit_interval(seed: u64) -> f64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_strategy_names_whom_it_restarts() {
        assert_eq!(Strategy::OneForOne.affected(1, 4), 1..2);
        assert_eq!(Strategy::OneForAll.affected(1, 4), 0..4);
        assert_eq!(Strategy::RestForOne.affected(1, 4), 1..4);
    }

    #[test]
    fn restarts_follow_the_kind_of_child_and_of_exit() {
        let failed = Exit::Failed("x".into());
        assert!(Restart::Permanent.wanted(&Exit::Normal));
        assert!(!Restart::Transient.wanted(&Exit::Normal));
        assert!(Restart::Transient.wanted(&failed));
        assert!(!Restart::Temporary.wanted(&failed));
        assert!(!Restart::Permanent.wanted(&Exit::Shutdown));
    }

    #[test]
    fn too_many_restarts_within_the_period_are_not_borne_and_old_ones_are_forgotten() {
        let mut log =
            RestartLog::new(Intensity { restarts_max: 2, within: Duration::from_secs(10) });
        let start = Instant::now();
        assert!(log.bear(start));
        assert!(log.bear(start + Duration::from_secs(1)));
        assert!(!log.bear(start + Duration::from_secs(2)));
        assert!(log.bear(start + Duration::from_secs(60)));
    }

    #[test]
    fn the_backoff_doubles_up_to_its_limit_with_bounded_jitter() {
        let b =
            Backoff { initial: Duration::from_millis(100), max: Duration::from_secs(2), seed: 7 };
        for (nth, base_ms) in [(1, 100.0), (2, 200.0), (3, 400.0), (9, 2000.0), (10_000, 2000.0)] {
            let ms = b.delay(nth).as_secs_f64() * 1e3;
            assert!((base_ms..=base_ms * 1.25).contains(&ms), "{nth}: {ms}");
        }
    }
}
