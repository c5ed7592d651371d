//! `weir demo`: the main job on an embedded log and an embedded store. The same
//! actors and the same supervision run as against Kafka and Cassandra.

mod input;
mod pictures;
mod score;
mod screen;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use weir_actors::decode::{CompactFormat, Decoder, FormatConfig, LimitsConfig};
use weir_actors::detection::{Detection, DetectionConfig};
use weir_actors::node::{Node, NodeConfig, Ports, RunConfig, Threads};
use weir_actors::pool::PoolConfig;
use weir_actors::reader::ReaderConfig;
use weir_actors::shard::ShardConfig;
use weir_actors::store::{HistoryLayout, Layout, Store};

use crate::cli::Failure;
use crate::embedded::{AlertLines, DeadLetterLines, EmbeddedLog, EmbeddedStore, LogOptions};
use crate::run::{Observed, Signals, serve};
use input::Feed;
use score::Score;
use screen::{Collected, Screen};

/// What the demo is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where log, store and pictures go.
    pub dir: PathBuf,
    /// How many generated keys.
    pub keys: u32,
    /// How many events each of them has.
    pub events_each: u32,
    /// Go on until Ctrl-C.
    pub keep: bool,
}

/// Marks a folder as the demo's, so that the next run may clear it.
const MARKER: &str = ".weir-demo";
const TOPIC: &str = "readings";
const PARTITIONS: i32 = 4;
/// Keys are spread over so many groups in each partition.
const KEY_GROUPS: u32 = 16;
/// How often the screen and the end are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Runs it.
///
/// # Errors
/// If the folder cannot be used, or the node gives up.
pub fn run(options: &Options) -> Result<(), Failure> {
    prepare(&options.dir)?;
    actix::System::new().block_on(async {
        let mut signals = Signals::new().context("cannot listen to signals")?;
        let mut demo = Demo::start(options)?;
        let ended = demo.watch(&mut signals).await?;
        demo.finish(options, ended, &mut signals).await
    })
}

/// Clears what an earlier demo left, and nothing else.
fn prepare(dir: &Path) -> anyhow::Result<()> {
    let shown = dir.display();
    if dir.exists() {
        let empty = std::fs::read_dir(dir).with_context(|| format!("{shown}"))?.next().is_none();
        if !empty && !dir.join(MARKER).exists() {
            bail!("{shown} holds something that is not the demo's; name another folder by --dir");
        }
        std::fs::remove_dir_all(dir).with_context(|| format!("cannot clear {shown}"))?;
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {shown}"))?;
    std::fs::write(dir.join(MARKER), "Made by `weir demo`, which clears it.\n")
        .with_context(|| format!("cannot write into {shown}"))
}

/// The detection that the demo shows: the defaults.
fn detection() -> DetectionConfig {
    DetectionConfig::default()
}

fn layout() -> Layout {
    Layout { key_groups: KEY_GROUPS, bucket_shift: 22, history: HistoryLayout::Segments }
}

struct Demo {
    node: Node,
    log: Arc<EmbeddedLog>,
    store: Arc<EmbeddedStore>,
    feed: Feed,
    alerts: Arc<Collected>,
    screen: Screen,
    begun: Instant,
    stop: Arc<AtomicBool>,
}

/// How the watching ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Done,
    Interrupted,
}

impl Demo {
    fn start(options: &Options) -> anyhow::Result<Self> {
        let dir = &options.dir;
        let log_options =
            LogOptions { topic: TOPIC.into(), partitions: PARTITIONS, sync_appends: false };
        let log = EmbeddedLog::open(&dir.join("log"), &log_options)?;
        let store = EmbeddedStore::open(&dir.join("store")).map_err(|e| anyhow!("{e}"))?;
        let store = Arc::new(store);
        let lines = AlertLines::open(&dir.join("alerts.jsonl")).context("alerts.jsonl")?;
        let letters =
            DeadLetterLines::open(&dir.join("dead-letters.jsonl")).context("dead-letters.jsonl")?;
        let alerts = Arc::new(Collected::new(lines));
        let ports = Ports {
            source: Box::new(log.source("demo")?),
            store: Arc::clone(&store) as Arc<dyn Store>,
            alerts: Arc::clone(&alerts) as _,
            dead_letters: Arc::new(letters),
        };
        let node = Node::start(node_config()?, ports, Threads::Own);
        let stop = Arc::new(AtomicBool::new(false));
        let feed =
            Feed::start(options, Arc::clone(&log), Arc::clone(&node.registry), Arc::clone(&stop))?;
        let screen = Screen::new();
        screen.welcome(options, &feed);
        Ok(Self { node, log, store, feed, alerts, screen, begun: Instant::now(), stop })
    }

    /// Shows what happens until everything sent is durable, or a signal comes.
    async fn watch(&mut self, signals: &mut Signals) -> Result<Ended, Failure> {
        loop {
            tokio::select! {
                biased;
                exit = self.node.failed() => return Err(Failure::GaveUp(exit.to_string())),
                _ = signals.next() => {
                    self.stop.store(true, Ordering::Relaxed);
                    return Ok(Ended::Interrupted);
                }
                () = tokio::time::sleep(TICK) => {}
            }
            self.screen.show(&self.node, &self.alerts, self.begun.elapsed());
            self.feed.check()?;
            if self.feed.is_done() && self.all_durable() {
                return Ok(Ended::Done);
            }
        }
    }

    fn all_durable(&self) -> bool {
        let assigned = self.node.registry.partitions();
        assigned.len() == PARTITIONS as usize
            && assigned.iter().all(|p| p.durable() >= self.log.end_offset(p.partition.id.number))
    }

    async fn finish(
        mut self,
        options: &Options,
        ended: Ended,
        signals: &mut Signals,
    ) -> Result<(), Failure> {
        let took = self.begun.elapsed();
        self.screen.clear();
        let score = Score::of(&self.feed, &self.alerts.all());
        let drawn = pictures::draw(options, &self.feed, &self.log, &self.store, &score).await?;
        self.screen.summary(options, &self.node.stats, &score, &drawn, took, ended == Ended::Done);
        if options.keep && ended == Ended::Done {
            self.keep(signals).await?;
        }
        self.stop.store(true, Ordering::Relaxed);
        tokio::select! {
            biased;
            _ = signals.next() => return Err(Failure::StoppedAtOnce),
            whole = self.node.stop() => {
                if !whole {
                    return Err(Failure::StoppedShort);
                }
            }
        }
        drop(self.log);
        // It has been read, and is by far the largest part.
        let log = options.dir.join("log");
        std::fs::remove_dir_all(&log).with_context(|| format!("cannot clear {}", log.display()))?;
        Ok(())
    }

    /// Goes on, slowly, until Ctrl-C.
    async fn keep(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        let observed = Observed {
            stats: Arc::clone(&self.node.stats),
            registry: Arc::clone(&self.node.registry),
            budget: self.node.budget.clone(),
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            stopping: Arc::new(AtomicBool::new(false)),
        };
        let address = serve(([127, 0, 0, 1], 0).into(), observed)?;
        self.screen.keeping(address);
        self.feed.go_on();
        self.watch_kept(signals).await
    }

    async fn watch_kept(&mut self, signals: &mut Signals) -> Result<(), Failure> {
        loop {
            tokio::select! {
                biased;
                exit = self.node.failed() => return Err(Failure::GaveUp(exit.to_string())),
                _ = signals.next() => return Ok(()),
                () = tokio::time::sleep(TICK) => {}
            }
            self.screen.show(&self.node, &self.alerts, self.begun.elapsed());
            self.feed.check()?;
        }
    }
}

fn node_config() -> anyhow::Result<NodeConfig> {
    let faults = |faults: Vec<String>| anyhow!(faults.join("; "));
    let format = FormatConfig::Compact(CompactFormat {});
    let decoder = Decoder::new(&format, &LimitsConfig::default()).map_err(faults)?;
    let detection = Detection::new(&detection(), decoder.key_encoding()).map_err(faults)?;
    Ok(NodeConfig {
        job: "demo".into(),
        layout: layout(),
        decoder: Arc::new(decoder),
        detection: Arc::new(detection),
        reader: ReaderConfig::default(),
        shard: ShardConfig { flush_interval_ms: 500, ..ShardConfig::default() },
        pool: PoolConfig::default(),
        run: RunConfig::default(),
    })
}
