//! `weir suggest TOPIC`: a configuration for a topic, from a sample of it.

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, anyhow};
use clap::Args;
use weir_detectors::DetectorSpec;

use super::Failure;
use super::output::Output;
use crate::config::Config;
use crate::kafka::{Bounds, KafkaAdmin, KafkaConfig, Peek};
use crate::suggest::{self, Sample};

/// Messages that are looked at unless told otherwise.
const SAMPLE_DEFAULT: u64 = 5_000;

#[derive(Args)]
pub(super) struct Arguments {
    /// The topic to look at
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// How many of its last messages, over all partitions
    #[arg(long, value_name = "N", default_value_t = SAMPLE_DEFAULT, value_parser = clap::value_parser!(u64).range(1..))]
    sample: u64,
}

pub(super) fn run(arguments: &Arguments, path: Option<&Path>) -> Result<(), Failure> {
    // Only how to reach Kafka counts: the rest is what is looked for.
    let kafka = Config::read(path, std::env::vars())?.kafka;
    let topic = &arguments.topic;
    let samples = sample(&kafka, topic, arguments.sample)?;
    if samples.is_empty() {
        return Err(anyhow!("topic {topic:?} has no messages; send some first").into());
    }
    let guess = suggest::guess(&samples).map_err(|why| anyhow!("topic {topic:?}: {why}"))?;
    let found = suggest::measure(&samples, &guess.format, &DetectorSpec::default())
        .map_err(|faults| anyhow!("topic {topic:?}: {}", faults.join("; ")))?;
    let brokers = (kafka.brokers != KafkaConfig::default().brokers).then_some(&*kafka.brokers);
    let mut output = Output::stdout();
    output.text(&suggest::configuration(topic, brokers, &guess, &found))?;
    output.flush()
}

/// The last messages, about as many of each partition.
fn sample(kafka: &KafkaConfig, topic: &str, count: u64) -> anyhow::Result<Vec<Sample>> {
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    let kafka_at = || format!("Kafka at {} (kafka.brokers)", kafka.brokers.join(", "));
    let admin = KafkaAdmin::new(kafka).with_context(kafka_at)?;
    let info = runtime.block_on(admin.topic(topic)).with_context(kafka_at)?;
    let info = info.ok_or_else(|| {
        anyhow!("topic {topic:?} is not there; look at its name, and at kafka.brokers")
    })?;
    let peek = Peek::new(kafka).with_context(kafka_at)?;
    let bounds = last(&peek.bounds(topic, info.partitions).with_context(kafka_at)?, count);
    let mut samples = Vec::new();
    peek.read(topic, &bounds, |record| {
        samples.push(Sample {
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key,
            value: record.value,
        });
        ControlFlow::Continue(())
    })
    .with_context(kafka_at)?;
    Ok(samples)
}

/// The ends of the partitions, of `count` offsets together; what a short one lacks
/// the others give.
fn last(bounds: &[Bounds], count: u64) -> Vec<Bounds> {
    let mut by_length: Vec<&Bounds> = bounds.iter().collect();
    by_length.sort_by_key(|b| b.high - b.low);
    let mut left = i64::try_from(count).unwrap_or(i64::MAX);
    let mut partitions = by_length.len() as i64;
    let mut taken = Vec::new();
    for Bounds { partition, low, high } in by_length {
        let share = (left + partitions - 1) / partitions;
        let take = share.min(high - low).max(0);
        taken.push(Bounds { partition: *partition, low: high - take, high: *high });
        left -= take;
        partitions -= 1;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_spread_over_the_partitions() {
        let bounds = [(0, 0, 1_000), (1, 50, 60), (2, 7, 7)].map(|(partition, low, high)| Bounds {
            partition,
            low,
            high,
        });
        let mut taken: Vec<_> =
            last(&bounds, 100).iter().map(|b| (b.partition, b.low, b.high)).collect();
        taken.sort_unstable();
        assert_eq!(taken, [(0, 910, 1_000), (1, 50, 60), (2, 7, 7)]);
    }
}
