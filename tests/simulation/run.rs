//! One run: a world from a seed, node after node in it until all is done, and
//! what it came to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::System;
use weir_actors::decode::{CompactFormat, Decoder, FormatConfig, LimitsConfig};
use weir_actors::detection::{Detection, DetectionConfig};
use weir_actors::history::{flags, rows_in_order};
use weir_actors::node::{Node, NodeConfig, Ports, RunConfig, Threads};
use weir_actors::pool::PoolConfig;
use weir_actors::position::{PartitionId, Position};
use weir_actors::reader::ReaderConfig;
use weir_actors::registry::Registry;
use weir_actors::shard::ShardConfig;
use weir_actors::shard::incident::IncidentConfig;
use weir_actors::store::{History, HistoryLayout, HistoryRange, Layout, Row};
use weir_detectors::{CusumWindowSpec, DetectorSpec};

use super::log::{Partition, SimulatedSource};
use super::store::SimulatedStore;
use super::world::{Faults, Sinks, World};
use crate::reference::{self, Settings};

const SETTINGS: Settings = Settings {
    window: 20,
    observations_min: 10,
    k: 0.5,
    h: 3.5,
    close_after_observations: 8,
    storm_burst: 4,
    storm_refill_events: 50,
    key_groups: 4,
};

/// A run that has not come to its end by then hangs.
const VIRTUAL_HOURS_MAX: u64 = 4;

#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub faults: Faults,
    pub kills: u64,
    pub state_bytes_max: usize,
    pub rows: bool,
}

impl Scenario {
    pub fn calm() -> Self {
        Self { faults: Faults::default(), kills: 0, state_bytes_max: 1 << 30, rows: false }
    }

    pub fn failing_ports() -> Self {
        Self { faults: Faults { failure: 0.2, half_done: 0.5 }, ..Self::calm() }
    }

    pub fn kills() -> Self {
        Self { kills: 6, faults: Faults { failure: 0.05, half_done: 0.5 }, ..Self::calm() }
    }

    pub fn tight_memory() -> Self {
        Self { state_bytes_max: 8 * 1024, kills: 3, ..Self::failing_ports() }
    }
}

pub struct Run {
    world: Arc<World>,
    lives: u64,
    evictions: u64,
}

impl Run {
    pub fn of(seed: u64, scenario: Scenario) -> Self {
        Self::within(new_world(seed, scenario), scenario)
    }

    /// Goes on in a world that nodes have lived in.
    pub fn within(world: Arc<World>, scenario: Scenario) -> Self {
        let mut run = Self { world, lives: 0, evictions: 0 };
        loop {
            run.lives += 1;
            let killed_after =
                (run.lives <= scenario.kills).then(|| run.world.roll(|rng| rng.millis(1_000)));
            if run.life(scenario, killed_after) {
                return run;
            }
        }
    }

    /// One node's life; true if it ended by itself with everything done.
    fn life(&mut self, scenario: Scenario, killed_after: Option<Duration>) -> bool {
        let world = Arc::clone(&self.world);
        let evictions = under_virtual_time(async move {
            let mut node = start(&world, scenario);
            let (stats, registry) = (Arc::clone(&node.stats), Arc::clone(&node.registry));
            let killed = async {
                match killed_after {
                    Some(after) => tokio::time::sleep(after).await,
                    None => std::future::pending().await,
                }
            };
            let finished = tokio::select! {
                biased;
                exit = node.failed() => panic!("the node {exit}"),
                () = killed => false,
                () = all_durable(&world, &registry) => true,
            };
            world.note(if finished { "stopping" } else { "killed" });
            if finished {
                assert!(node.stop().await, "there was time for everything");
            }
            finished.then(|| stats.evicted.get())
        });
        self.evictions += evictions.unwrap_or(0);
        evictions.is_some()
    }

    pub fn lives(&self) -> u64 {
        self.lives
    }

    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    pub fn trace(&self) -> (u64, u64) {
        self.world.trace()
    }

    pub fn alerts(&self) -> usize {
        self.world.alerts.lock().expect("no test thread panicked").len()
    }

    /// Whether the run came to what the reference says, and to what else.
    pub fn verdict(&self) -> Result<(), String> {
        let partitions = self.world.partitions.lock().expect("no test thread panicked");
        for partition in partitions.iter() {
            let id = partition.name.id;
            same(
                &format!("the commit of {id}"),
                &Some(partition.end_offset),
                &partition.committed,
            )?;
            self.verdict_of_history(partition)?;
            self.verdict_of_alerts(partition)?;
            let letters = self.world.letters.lock().expect("no test thread panicked");
            let letters: Vec<i64> =
                letters.keys().filter(|(of, _)| *of == id).map(|(_, at)| at.offset).collect();
            same(&format!("the dead letters of {id}"), &partition.bad, &letters)?;
        }
        Ok(())
    }

    fn verdict_of_history(&self, partition: &Partition) -> Result<(), String> {
        let id = partition.name.id;
        let rows = self.stored(id)?;
        let expected: Vec<_> = partition
            .events
            .iter()
            .map(|e| (e.position, e.series.clone(), e.time_us, e.value))
            .collect();
        let found: Vec<_> =
            rows.iter().map(|r| (r.position, r.series.clone(), r.time_us, r.value)).collect();
        let lost: Vec<_> = expected.iter().filter(|e| !found.contains(e)).map(|e| e.0).collect();
        if !lost.is_empty() {
            return Err(format!("the history of {id} lacks {lost:?}"));
        }
        same(&format!("the history of {id}"), &expected, &found)
    }

    fn stored(&self, partition: PartitionId) -> Result<Vec<Row>, String> {
        let tables = self.world.tables.lock().expect("no test thread panicked");
        let mut all = Vec::new();
        let segments = tables.segments.iter().map(|((group, bucket), segments)| {
            (*group, *bucket, History::Segments(segments.values().cloned().collect()))
        });
        let rows = tables.rows.iter().map(|((group, bucket), rows)| {
            (*group, *bucket, History::Rows(rows.values().cloned().collect()))
        });
        for (group, bucket, history) in segments.chain(rows) {
            if group.partition == partition {
                let range = HistoryRange { bucket, after: None, before: None };
                all.extend(rows_in_order(&history, range).map_err(|e| e.to_string())?);
            }
        }
        all.sort_by_key(|row: &Row| row.position);
        Ok(all)
    }

    fn verdict_of_alerts(&self, partition: &Partition) -> Result<(), String> {
        let id = partition.name.id;
        let expected = reference::alerts(id, &partition.events, &SETTINGS);
        let published = self.world.alerts.lock().expect("no test thread panicked");
        let mut found = BTreeMap::new();
        let mut directions = BTreeMap::new();
        for alert in published.iter().filter(|a| a.partition == id.number) {
            if alert.kind != weir_actors::alert::AlertKind::Storm {
                let first = *directions.entry(&alert.incident).or_insert(alert.direction);
                same(&format!("the direction of alert {}", alert.id), &first, &alert.direction)?;
                // No level is near 0: that would be one that was not known.
                let known = alert.expected != 0.0;
                same(&format!("what {} expected is known", alert.id), &true, &known)?;
            }
            let seen = reference::ExpectedAlert {
                kind: match alert.kind {
                    weir_actors::alert::AlertKind::Opened => "opened",
                    weir_actors::alert::AlertKind::Updated => "updated",
                    weir_actors::alert::AlertKind::Closed => "closed",
                    weir_actors::alert::AlertKind::Storm => "storm",
                },
                offset: alert.offset,
                series: alert.series.clone().into_bytes(),
                count: alert.count,
                score_millionths: (alert.score * 1e6).round() as i64,
            };
            if let Some(before) = found.insert(alert.id.clone(), seen.clone()) {
                same(&format!("a repeat of alert {}", alert.id), &before, &seen)?;
            }
        }
        let tables = self.world.tables.lock().expect("no test thread panicked");
        let stored: Vec<&String> = tables
            .alerts
            .iter()
            .filter(|(_, a)| a.partition == id.number)
            .map(|(id, _)| id)
            .collect();
        same(&format!("the stored alerts of {id}"), &found.keys().collect::<Vec<_>>(), &stored)?;
        let expected: Vec<_> = expected.into_iter().collect();
        let found: Vec<_> = found.into_iter().collect();
        same(&format!("the alerts of {id}"), &expected, &found)
    }
}

/// Where two lists part, in words.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, found: &T) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let (expected, found) = (format!("{expected:#?}"), format!("{found:#?}"));
    let (e, f): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let at = e.iter().zip(&f).take_while(|(a, b)| a == b).count();
    let near = |lines: &[&str]| lines[at.saturating_sub(6)..(at + 10).min(lines.len())].join("\n");
    Err(format!("{what}: expected\n{}\nfound\n{}", near(&e), near(&f)))
}

pub fn new_world(seed: u64, scenario: Scenario) -> Arc<World> {
    let mut rng = super::rng::Rng::new(seed.wrapping_mul(3) + 1);
    let partitions = (0..3).map(|n| Partition::generate(n, 40, 2_000, &mut rng)).collect();
    World::new(seed, scenario.faults, partitions)
}

pub fn under_virtual_time<T>(life: impl Future<Output = T>) -> T {
    let system = System::with_tokio_rt(|| {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime needs nothing")
    });
    system.block_on(life)
}

pub fn start(world: &Arc<World>, scenario: Scenario) -> Node {
    let layout = if scenario.rows { HistoryLayout::Rows } else { HistoryLayout::Segments };
    let spec = CusumWindowSpec {
        window: SETTINGS.window as u32,
        observations_min: SETTINGS.observations_min as u32,
        k: SETTINGS.k,
        h: SETTINGS.h,
    };
    let detection = DetectionConfig {
        detectors: [("window".to_owned(), DetectorSpec::CusumWindow(spec))].into(),
        default: "window".into(),
        incidents: IncidentConfig {
            close_after_observations: SETTINGS.close_after_observations,
            close_after_seconds: 0,
            storm_burst: SETTINGS.storm_burst,
            storm_refill_events: SETTINGS.storm_refill_events,
        },
        ..DetectionConfig::default()
    };
    let decoder = Decoder::new(&FormatConfig::Compact(CompactFormat {}), &LimitsConfig::default())
        .expect("the format is valid");
    let detection =
        Detection::new(&detection, decoder.key_encoding()).expect("the rules are valid");
    let config = NodeConfig {
        job: "simulation".into(),
        layout: Layout { key_groups: SETTINGS.key_groups, bucket_shift: 9, history: layout },
        decoder: Arc::new(decoder),
        detection: Arc::new(detection),
        reader: ReaderConfig {
            batch_bytes: 8 * 1024,
            in_flight_bytes_max: 256 * 1024,
            partition_bytes_max: 64 * 1024,
        },
        shard: ShardConfig {
            flush_interval_ms: 200,
            segment_events: 100,
            checkpoint_interval_s: 1,
            state_bytes_max: scenario.state_bytes_max,
            poison_attempts: 3,
        },
        pool: PoolConfig::default(),
        run: RunConfig { shards: 2, reader_threads: 1, commit_interval_ms: 300, drain_ms: 600_000 },
    };
    let ports = Ports {
        source: Box::new(SimulatedSource::new(Arc::clone(world))),
        store: Arc::new(SimulatedStore { world: Arc::clone(world), layout }),
        alerts: Arc::new(Sinks(Arc::clone(world))),
        dead_letters: Arc::new(Sinks(Arc::clone(world))),
    };
    Node::start(config, ports, Threads::Shared)
}

/// Waits, in virtual time, until everything in the log is durable.
async fn all_durable(world: &World, registry: &Registry) {
    let ends: BTreeMap<PartitionId, i64> = {
        let partitions = world.partitions.lock().expect("no test thread panicked");
        partitions.iter().map(|p| (p.name.id, p.end_offset)).collect()
    };
    for _ in 0..VIRTUAL_HOURS_MAX * 3_600 * 10 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let assigned = registry.partitions();
        let done = assigned.iter().filter(|p| p.durable() >= ends[&p.partition.id]).count();
        if done == ends.len() {
            return;
        }
    }
    let held: Vec<_> =
        registry.partitions().iter().map(|p| (p.durable(), p.read(), p.log_end())).collect();
    panic!("after {VIRTUAL_HOURS_MAX} virtual hours: (durable, read, end) {held:?}");
}

#[test]
fn anomalies_are_marked_in_the_history() {
    let run = Run::of(1, Scenario::calm());
    let partitions = run.world.partitions.lock().expect("no test thread panicked");
    let opened: Vec<Position> = {
        let alerts = run.world.alerts.lock().expect("no test thread panicked");
        let of_first = alerts.iter().filter(|a| a.partition == 0 && a.n == 0);
        of_first.map(|a| Position { offset: a.offset, index: a.index }).collect()
    };
    let rows = run.stored(partitions[0].name.id).expect("it is whole");
    for position in opened {
        let row = rows.iter().find(|r| r.position == position).expect("it is there");
        assert_ne!(row.flags & flags::ANOMALOUS, 0, "{position}");
    }
}
