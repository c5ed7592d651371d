//! Late and repeated timestamps, measured on the series' own clock.
//!
//! The clock of a series is the latest time among its events. An event whose
//! time runs too far ahead of its record's timestamp does not move it, so one
//! event from 2099 makes nothing late. Both facts are written into the history
//! as flags, so that a replay moves the clock the same way.

use serde::{Deserialize, Serialize};

use crate::history::flags;

/// What is done with an event that is behind its series' clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Nothing: it is an event like others.
    Accept,
    /// It is judged and kept, and flagged in the history.
    Flag,
    /// As `flag`; beyond the bound it becomes a dead letter.
    DeadLetter,
}

/// How late and repeated timestamps are treated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimingConfig {
    /// What is done with late events.
    pub late: Policy,
    /// With `dead-letter`: how many seconds an event may be late.
    pub late_seconds_max: u64,
    /// What is done with an event that has the time of the one before:
    /// `accept` or `flag`.
    pub repeated: Policy,
    /// How many seconds an event may be ahead of its record's timestamp and
    /// still move its series' clock.
    pub ahead_seconds_max: u64,
}

impl Default for TimingConfig {
    fn default() -> Self {
        Self {
            late: Policy::Flag,
            late_seconds_max: 24 * 3600,
            repeated: Policy::Flag,
            ahead_seconds_max: 3600,
        }
    }
}

impl TimingConfig {
    /// Every fault, each with what to do.
    pub fn validate(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.repeated == Policy::DeadLetter {
            faults.push(
                "detection.timing.repeated: \"dead-letter\" is not for repeated timestamps; \
                 use \"flag\" or \"accept\""
                    .to_owned(),
            );
        }
        faults
    }
}

/// The clock of a series that has no event yet.
pub(super) const NO_TIME: i64 = i64::MIN;

const US_PER_SECOND: i64 = 1_000_000;

/// How an event's time stands to its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    /// [`flags`] to be kept with the event.
    pub(super) flags: u8,
    /// It is so late that it becomes a dead letter.
    pub(super) too_late: bool,
}

/// Holds an event's time against its series' clock, and moves the clock.
pub(super) fn observe(
    clock_us: &mut i64,
    time_us: i64,
    record_time_us: Option<i64>,
    config: &TimingConfig,
) -> Timing {
    let mut timing = Timing { flags: 0, too_late: false };
    let ahead_max_us = (config.ahead_seconds_max as i64).saturating_mul(US_PER_SECOND);
    if record_time_us.is_some_and(|record| time_us.saturating_sub(record) > ahead_max_us) {
        timing.flags |= flags::AHEAD;
    }
    if *clock_us != NO_TIME {
        let behind_us = clock_us.saturating_sub(time_us);
        if behind_us > 0 && config.late != Policy::Accept {
            timing.flags |= flags::LATE;
            let late_max_us = (config.late_seconds_max as i64).saturating_mul(US_PER_SECOND);
            timing.too_late = config.late == Policy::DeadLetter && behind_us > late_max_us;
        }
        if behind_us == 0 && config.repeated != Policy::Accept {
            timing.flags |= flags::REPEATED;
        }
    }
    replay(clock_us, time_us, timing.flags);
    timing
}

/// Moves the clock as [`observe`] did when the event was first met.
pub(super) fn replay(clock_us: &mut i64, time_us: i64, event_flags: u8) {
    if event_flags & flags::AHEAD == 0 {
        *clock_us = (*clock_us).max(time_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = US_PER_SECOND;

    #[test]
    fn lateness_is_measured_on_the_series_own_clock() {
        let config =
            TimingConfig { late: Policy::DeadLetter, late_seconds_max: 10, ..Default::default() };
        let mut clock = NO_TIME;
        assert_eq!(
            observe(&mut clock, 100 * S, None, &config),
            Timing { flags: 0, too_late: false }
        );
        let late = observe(&mut clock, 95 * S, None, &config);
        assert_eq!(late, Timing { flags: flags::LATE, too_late: false });
        assert!(observe(&mut clock, 89 * S, None, &config).too_late);
        assert_eq!(clock, 100 * S);
        assert_eq!(observe(&mut clock, 100 * S, None, &config).flags, flags::REPEATED);
    }

    #[test]
    fn an_event_from_2099_poisons_nothing() {
        let config = TimingConfig::default();
        let (mut clock, now) = (NO_TIME, 1_700_000_000 * S);
        observe(&mut clock, now, Some(now), &config);
        let far = observe(&mut clock, now + 70 * 365 * 86_400 * S, Some(now), &config);
        assert_eq!(far.flags, flags::AHEAD);
        assert_eq!(observe(&mut clock, now + S, Some(now + S), &config).flags, 0);
        assert_eq!(clock, now + S);
    }

    #[test]
    fn a_replay_moves_the_clock_as_the_first_run_did() {
        let config = TimingConfig::default();
        let (mut live, mut replayed) = (NO_TIME, NO_TIME);
        for (time, record) in [(5, 5), (9_000, 5), (7, 7), (6, 8), (7, 9)] {
            let timing = observe(&mut live, time * S, Some(record * S), &config);
            replay(&mut replayed, time * S, timing.flags);
            assert_eq!(live, replayed);
        }
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let config = TimingConfig { ahead_seconds_max: u64::MAX, ..Default::default() };
        let mut clock = NO_TIME;
        for time in [i64::MAX, i64::MIN + 1, 0, i64::MAX] {
            observe(&mut clock, time, Some(-time), &config);
        }
    }
}
