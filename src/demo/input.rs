//! What the demo plays: a few real series of the Numenta benchmark beside a
//! generated fleet, both with labels, into the embedded log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use weir_actors::decode::compact;
use weir_actors::registry::Registry;
use weir_actors::route::series_hash;
use weir_generator::{Fleet, FleetConfig, Label, Mix};

use super::{Options, PARTITIONS};
use crate::embedded::{EmbeddedLog, NewRecord};

/// A real series and its labelled windows.
pub(super) struct RealSeries {
    pub(super) name: &'static str,
    /// Time in microseconds since 1970, and value.
    pub(super) readings: Vec<(i64, f64)>,
    /// From and to, in microseconds since 1970.
    pub(super) windows: Vec<(i64, i64)>,
}

const REAL: [(&str, &str); 5] = [
    ("nyc_taxi", include_str!("../../load/data/nab/nyc_taxi.csv")),
    (
        "machine_temperature_system_failure",
        include_str!("../../load/data/nab/machine_temperature_system_failure.csv"),
    ),
    (
        "ec2_cpu_utilization_5f5533",
        include_str!("../../load/data/nab/ec2_cpu_utilization_5f5533.csv"),
    ),
    ("speed_7578", include_str!("../../load/data/nab/speed_7578.csv")),
    ("art_daily_jumpsup", include_str!("../../load/data/nab/art_daily_jumpsup.csv")),
];
const WINDOWS: &str = include_str!("../../load/data/nab/windows.json");

/// The anomalies of the fleet begin when detectors have learned.
const QUIET_TICKS: u64 = 60;
const ANOMALIES_PER_MILLION: f64 = 20.0;
/// Sensors at a level, most of them regular. A detector of levels is no judge
/// of counters, of walks, nor of a day's first hours.
const MIX: Mix = Mix { level: 80, walk: 0, daily: 0, counter: 0, sparse: 20 };
/// How far the log may run ahead of the node, in events.
const AHEAD_MAX: u64 = 2_000_000;
const WAIT: Duration = Duration::from_millis(2);
/// With `--keep`: one tick of the fleet in this time.
const SLOW_TICK: Duration = Duration::from_secs(10);

/// The player, on a thread of its own.
pub(super) struct Feed {
    pub(super) real: Arc<Vec<RealSeries>>,
    pub(super) labels: Vec<Label>,
    pub(super) fleet: FleetConfig,
    pub(super) events: u64,
    done: Arc<AtomicBool>,
    go_on: Arc<AtomicBool>,
    thread: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Feed {
    /// Begins to play.
    pub(super) fn start(
        options: &Options,
        log: Arc<EmbeddedLog>,
        registry: Arc<Registry>,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let real = Arc::new(real_series()?);
        let fleet = FleetConfig {
            keys: options.keys,
            quiet_ticks: QUIET_TICKS,
            anomalies_per_million: ANOMALIES_PER_MILLION,
            mix: MIX,
            ..FleetConfig::default()
        };
        let ticks = u64::from(options.events_each);
        let labels = Fleet::part(fleet.clone(), 0..options.keys).labels(0..ticks);
        let done = Arc::new(AtomicBool::new(false));
        let go_on = Arc::new(AtomicBool::new(false));
        let readings: usize = real.iter().map(|s| s.readings.len()).sum();
        let player = Player {
            log,
            registry,
            stop,
            go_on: Arc::clone(&go_on),
            done: Arc::clone(&done),
            names: (0..options.keys).map(key_name).collect(),
            buffers: (0..PARTITIONS).map(|_| Buffer::default()).collect(),
        };
        let (played, config) = (Arc::clone(&real), fleet.clone());
        let thread = std::thread::Builder::new()
            .name("demo-input".into())
            .spawn(move || player.play(&played, config, ticks))
            .context("no thread for the input")?;
        Ok(Self {
            real,
            labels,
            fleet,
            events: u64::from(options.keys) * ticks + readings as u64,
            done,
            go_on,
            thread: Some(thread),
        })
    }

    /// Everything has been sent.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Plays on, slowly, after the end.
    pub(super) fn go_on(&self) {
        self.go_on.store(true, Ordering::Release);
    }

    /// That the player has not failed.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            return thread.join().map_err(|_| anyhow!("the input failed"))?;
        }
        Ok(())
    }
}

/// The name of a generated key.
pub(super) fn key_name(key: u32) -> String {
    format!("sensor-{key:06}")
}

/// The partition that the demo sends a series to.
pub(super) fn partition_of(series: &[u8]) -> i32 {
    (series_hash(series) % PARTITIONS as u64) as i32
}

struct Player {
    log: Arc<EmbeddedLog>,
    registry: Arc<Registry>,
    stop: Arc<AtomicBool>,
    go_on: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
    names: Vec<String>,
    buffers: Vec<Buffer>,
}

/// Messages for one partition, one behind the other.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Where each ends, and its time in milliseconds.
    ends: Vec<(usize, i64)>,
}

/// A batch of messages for one partition.
const BATCH_MESSAGES: usize = 4_096;

impl Player {
    fn play(mut self, real: &[RealSeries], config: FleetConfig, ticks: u64) -> anyhow::Result<()> {
        let keys = config.keys;
        let mut fleet = Fleet::part(config, 0..keys);
        for tick in 0..ticks {
            for series in real {
                let n = series.readings.len() as u64;
                let (from, to) = (n * tick / ticks, n * (tick + 1) / ticks);
                for (time_us, value) in &series.readings[from as usize..to as usize] {
                    self.put(series.name.as_bytes(), *time_us, *value)?;
                }
            }
            if !self.tick(&mut fleet, tick)? {
                break;
            }
        }
        self.flush_all()?;
        self.done.store(true, Ordering::Release);
        let mut tick = ticks;
        while !self.stop.load(Ordering::Relaxed) {
            if self.go_on.load(Ordering::Acquire) {
                self.tick(&mut fleet, tick)?;
                self.flush_all()?;
                tick += 1;
                std::thread::sleep(SLOW_TICK);
            } else {
                std::thread::sleep(WAIT);
            }
        }
        Ok(())
    }

    /// One tick of all keys; false if it is to stop.
    fn tick(&mut self, fleet: &mut Fleet, tick: u64) -> anyhow::Result<bool> {
        while self.registry.lag() > AHEAD_MAX && !self.stop.load(Ordering::Relaxed) {
            std::thread::sleep(WAIT);
        }
        for event in fleet.events(tick) {
            let name = std::mem::take(&mut self.names[event.key as usize]);
            let put = self.put(name.as_bytes(), event.time_us, event.value);
            self.names[event.key as usize] = name;
            put?;
        }
        Ok(!self.stop.load(Ordering::Relaxed))
    }

    fn put(&mut self, series: &[u8], time_us: i64, value: f64) -> anyhow::Result<()> {
        let partition = partition_of(series);
        let buffer = &mut self.buffers[partition as usize];
        compact::encode(time_us, value, Some(series), &mut buffer.bytes)
            .context("a name is too long")?;
        buffer.ends.push((buffer.bytes.len(), time_us.div_euclid(1_000)));
        if buffer.ends.len() == BATCH_MESSAGES { self.flush(partition) } else { Ok(()) }
    }

    fn flush_all(&mut self) -> anyhow::Result<()> {
        (0..PARTITIONS).try_for_each(|partition| self.flush(partition))
    }

    fn flush(&mut self, partition: i32) -> anyhow::Result<()> {
        let buffer = &mut self.buffers[partition as usize];
        let mut start = 0;
        let records: Vec<NewRecord<'_>> = buffer
            .ends
            .iter()
            .map(|(end, timestamp_ms)| {
                let value = &buffer.bytes[start..*end];
                start = *end;
                NewRecord { timestamp_ms: *timestamp_ms, value: Some(value), ..Default::default() }
            })
            .collect();
        if !records.is_empty() {
            self.log.append(partition, &records)?;
        }
        buffer.bytes.clear();
        buffer.ends.clear();
        Ok(())
    }
}

fn real_series() -> anyhow::Result<Vec<RealSeries>> {
    let windows: std::collections::BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(WINDOWS).context("windows.json")?;
    REAL.iter()
        .map(|(name, csv)| {
            let readings = csv.lines().skip(1).map(|line| {
                let (time, value) = line.split_once(',').context("two columns")?;
                Ok((time_us(time)?, value.parse::<f64>()?))
            });
            let readings: anyhow::Result<Vec<_>> = readings.collect();
            let labelled = windows.get(&format!("{name}.csv")).cloned().unwrap_or_default();
            let labelled = labelled.iter().map(|(from, to)| Ok((time_us(from)?, time_us(to)?)));
            let windows: anyhow::Result<Vec<_>> = labelled.collect();
            Ok(RealSeries {
                name,
                readings: readings.with_context(|| (*name).to_owned())?,
                windows: windows?,
            })
        })
        .collect()
}

fn time_us(text: &str) -> anyhow::Result<i64> {
    let time: Timestamp = format!("{}Z", text.replace(' ', "T")).parse()?;
    Ok(time.as_microsecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_series_are_whole_and_their_windows_lie_within_them() {
        let real = real_series().expect("they are in the program");
        assert_eq!(real.len(), REAL.len());
        for series in real {
            assert!(series.readings.len() > 1_000, "{}", series.name);
            assert!(!series.windows.is_empty(), "{}", series.name);
            let (first, last) =
                (series.readings[0].0, series.readings[series.readings.len() - 1].0);
            assert!(series.windows.iter().all(|(from, to)| first <= *from && *to <= last));
        }
    }
}
