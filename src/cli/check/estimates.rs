//! What the configuration comes to: keys in memory, events in a segment.

use weir_actors::shard::bytes_of_series;
use weir_actors::store::HistoryLayout;

use super::Report;
use crate::cli::Failure;
use crate::cli::output::{bytes, grouped};
use crate::config::Config;
use crate::kafka::TopicInfo;

/// From here on a segment is as cheap as it gets.
const SEGMENT_EVENTS_FULL: u64 = 2_048;

pub(super) fn tell(
    config: &Config,
    topics: &[TopicInfo],
    report: &mut Report,
) -> Result<(), Failure> {
    for line in memory(config) {
        report.note(&line)?;
    }
    let partitions: u64 = topics.iter().map(|t| u64::from(t.partitions.unsigned_abs())).sum();
    if partitions > 0 && config.layout.history == HistoryLayout::Segments {
        report.note(&segments(config, partitions))?;
    }
    Ok(())
}

/// How many keys fit, for each detector.
fn memory(config: &Config) -> Vec<String> {
    let bound = config.shard.state_bytes_max as u64;
    config
        .detection
        .detectors
        .iter()
        .filter(|(_, spec)| spec.validate().is_empty())
        .map(|(name, spec)| {
            let each = bytes_of_series(spec) as u64;
            format!(
                "memory: {} of state (shard.state_bytes_max) holds {} keys judged by {name:?}, at \
                 {each} bytes each with names up to 16 bytes; on a node, keys beyond that are \
                 written out and read back",
                bytes(bound),
                grouped(bound / each)
            )
        })
        .collect()
}

fn segments(config: &Config, partitions: u64) -> String {
    let events = partitions * u64::from(config.layout.key_groups) * SEGMENT_EVENTS_FULL;
    let per_second = events * 1_000 / config.shard.flush_interval_ms.max(1);
    format!(
        "segments are full ({SEGMENT_EVENTS_FULL} events) from {} events/s on: {partitions} \
         partition(s) x {} key groups, written every {} ms; at a lower rate, fewer key groups or \
         a longer shard.flush_interval_ms make writes cheaper",
        grouped(per_second),
        config.layout.key_groups,
        config.shard.flush_interval_ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_detectors::{CusumWindowSpec, DetectorSpec};

    #[test]
    fn a_window_of_values_takes_more_memory_than_two_sums() {
        let window = DetectorSpec::CusumWindow(CusumWindowSpec::default());
        let (cusum, window) = (bytes_of_series(&DetectorSpec::default()), bytes_of_series(&window));
        assert!((100..300).contains(&cusum), "{cusum}");
        assert!((cusum + 400..cusum + 1_000).contains(&window), "{window}");
    }

    #[test]
    fn the_rate_of_full_segments_is_told() {
        let text = segments(&Config::default(), 4);
        assert!(text.contains("131,072 events/s"), "{text}");
    }
}
