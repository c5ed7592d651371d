//! What a node counts, as Prometheus reads it.
//!
//! The actors count in plain atomics; they become Prometheus' own types when
//! somebody asks, so a metric costs nothing on the path of an event.

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};
use weir_actors::event::RejectReason;
use weir_actors::stats::Durations;

use super::http::Observed;

/// All metrics as text.
pub(super) fn render(observed: &Observed) -> Result<String, prometheus::Error> {
    let registry = Registry::new();
    counters(&registry, observed)?;
    gauges(&registry, observed)?;
    partitions(&registry, observed)?;
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text)?;
    let mut text = String::from_utf8_lossy(&text).into_owned();
    let stats = &observed.stats;
    histogram(
        &mut text,
        "weir_verdict_latency_seconds",
        "From the arrival of a batch to the verdicts on its events.",
        &stats.verdict_latency,
    );
    histogram(
        &mut text,
        "weir_durable_latency_seconds",
        "From taking an event to its being durable in the store.",
        &stats.durable_latency,
    );
    Ok(text)
}

fn counters(registry: &Registry, observed: &Observed) -> Result<(), prometheus::Error> {
    let stats = &observed.stats;
    let counters = [
        ("weir_records_total", "Records read from the log.", &stats.records),
        ("weir_events_total", "Events decoded from them.", &stats.events),
        ("weir_checks_total", "Events judged by their detector.", &stats.checks),
        ("weir_replayed_total", "Events met again and skipped.", &stats.replayed),
        ("weir_warmed_total", "Events read back to rebuild state.", &stats.warmed),
        ("weir_anomalies_total", "Anomalous verdicts.", &stats.anomalies),
        ("weir_incidents_opened_total", "Incidents opened.", &stats.incidents_opened),
        ("weir_incidents_closed_total", "Incidents closed.", &stats.incidents_closed),
        ("weir_incidents_folded_total", "Incidents folded into storms.", &stats.incidents_folded),
        ("weir_late_total", "Events behind their series' clock.", &stats.late),
        ("weir_repeated_total", "Events with their series' latest time.", &stats.repeated),
        ("weir_alerts_total", "Alerts published.", &stats.alerts),
        ("weir_history_bytes_total", "Bytes of history written.", &stats.history_bytes),
        ("weir_history_events_total", "Events of history written.", &stats.history_events),
        ("weir_checkpoints_total", "Checkpoints written.", &stats.checkpoints),
        ("weir_series_evicted_total", "Series dropped from memory.", &stats.evicted),
        ("weir_series_returned_total", "Series read back.", &stats.returned),
        ("weir_rewinds_total", "Rewinds of a partition.", &stats.rewinds),
        ("weir_store_requests_total", "Requests to the store that ended.", &stats.pool_requests),
        ("weir_store_retries_total", "Requests tried again.", &stats.pool_retries),
    ];
    for (name, help, counter) in counters {
        let metric = IntCounter::new(name, help)?;
        metric.inc_by(counter.get());
        registry.register(Box::new(metric))?;
    }
    let letters =
        IntCounterVec::new(Opts::new("weir_dead_letters_total", "Dead letters."), &["reason"])?;
    for reason in RejectReason::ALL {
        letters.with_label_values(&[reason.name()]).inc_by(stats.dead_letters_by(reason).get());
    }
    registry.register(Box::new(letters))
}

fn gauges(registry: &Registry, observed: &Observed) -> Result<(), prometheus::Error> {
    let (stats, budget) = (&observed.stats, &observed.budget);
    let gauges = [
        ("weir_store_in_flight", "Requests to the store now.", stats.pool_in_flight.get() as f64),
        ("weir_store_in_flight_limit", "How many it bears.", stats.pool_limit.get() as f64),
        ("weir_in_flight_bytes", "Bytes of events on their way.", budget.held_bytes() as f64),
        ("weir_in_flight_bytes_max", "How many there may be.", budget.bytes_max() as f64),
    ];
    for (name, help, value) in gauges {
        let metric = Gauge::new(name, help)?;
        metric.set(value);
        registry.register(Box::new(metric))?;
    }
    Ok(())
}

fn partitions(registry: &Registry, observed: &Observed) -> Result<(), prometheus::Error> {
    let of = |name: &str, help: &str| GaugeVec::new(Opts::new(name, help), &["topic", "partition"]);
    let lag = of("weir_lag_events", "Events that have not been read.")?;
    let read = of("weir_read_offset", "Everything before it was read.")?;
    let durable = of("weir_durable_offset", "Everything before it is durable.")?;
    let stopped = of("weir_partition_stopped", "1 if the log has lost events and it is not read.")?;
    for progress in observed.registry.partitions() {
        let number = progress.partition.id.number.to_string();
        let labels = [&*progress.partition.topic, number.as_str()];
        lag.with_label_values(&labels).set((progress.log_end() - progress.read()).max(0) as f64);
        read.with_label_values(&labels).set(progress.read() as f64);
        durable.with_label_values(&labels).set(progress.durable() as f64);
        let is_stopped = progress.stopped().is_some();
        stopped.with_label_values(&labels).set(f64::from(u8::from(is_stopped)));
    }
    for metric in [lag, read, durable, stopped] {
        // A family without members would be an error when it is encoded.
        if metric.collect().iter().any(|family| !family.get_metric().is_empty()) {
            registry.register(Box::new(metric))?;
        }
    }
    Ok(())
}

/// Every fourth of the actors' buckets: they are four to an octave.
fn histogram(text: &mut String, name: &str, help: &str, durations: &Durations) {
    use std::fmt::Write;
    let mut cumulative = 0;
    let mut lines = String::new();
    for (i, (bound, count)) in durations.cumulative_bounds().enumerate() {
        cumulative += count;
        if i % 4 == 3 {
            let _ = writeln!(lines, "{name}_bucket{{le=\"{}\"}} {cumulative}", bound.as_secs_f64());
        }
    }
    let sum = durations.sum().as_secs_f64();
    let _ = write!(
        text,
        "# HELP {name} {help}\n# TYPE {name} histogram\n{lines}\
         {name}_bucket{{le=\"+Inf\"}} {cumulative}\n{name}_sum {sum}\n{name}_count {cumulative}\n"
    );
}
