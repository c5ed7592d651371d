//! `weir run` as a process of its own, with a configuration of its own.

use std::cell::Cell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use tempfile::TempDir;
use weir_actors::store::HistoryLayout;

use super::topic::{DEADLINE, Topic};
use crate::reference::Settings;

pub const SETTINGS: Settings = Settings {
    window: 50,
    observations_min: 20,
    k: 0.5,
    h: 5.0,
    close_after_observations: 30,
    storm_burst: 20,
    storm_refill_events: 200,
    key_groups: 4,
};

/// What a test's nodes share.
pub struct Plan {
    pub brokers: String,
    pub cassandra: String,
    pub name: String,
    pub layout: HistoryLayout,
    pub several_values: bool,
    dir: TempDir,
    nodes: Cell<u32>,
}

impl Plan {
    /// None without servers.
    pub fn new(layout: HistoryLayout) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        let (brokers, cassandra) = (set("WEIR_TEST_KAFKA")?, set("WEIR_TEST_CASSANDRA")?);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let plan = Self {
            brokers,
            cassandra,
            name: format!("e2e_{}_{count}", std::process::id()),
            layout,
            several_values: false,
            dir: tempfile::tempdir().expect("a folder for temporary files"),
            nodes: Cell::new(0),
        };
        Some(plan)
    }

    pub fn with_several_values(self) -> Self {
        Self { several_values: true, ..self }
    }

    pub fn topic(&self) -> Topic {
        Topic { brokers: self.brokers.clone(), name: format!("{}-events", self.name) }
    }

    pub fn alerts(&self) -> Topic {
        Topic { brokers: self.brokers.clone(), name: format!("{}-alerts", self.name) }
    }

    pub fn dead_letters(&self) -> Topic {
        Topic { brokers: self.brokers.clone(), name: format!("{}-dead", self.name) }
    }

    /// Makes the topics and the tables.
    pub fn create_topic(&self, partitions: i32) -> Topic {
        let topic = Topic::create(&self.brokers, &self.topic().name, partitions);
        Topic::create(&self.brokers, &self.alerts().name, 1);
        Topic::create(&self.brokers, &self.dead_letters().name, 1);
        let applied = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["schema", "apply", "--config"])
            .arg(self.config())
            .output()
            .expect("weir is there");
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
        topic
    }

    fn config(&self) -> PathBuf {
        let path = self.dir.path().join("weir.toml");
        let Settings { window, observations_min, k, h, .. } = SETTINGS;
        let Settings { close_after_observations, storm_burst, storm_refill_events, .. } = SETTINGS;
        let format = match self.several_values {
            false => "value = \"$.value\"",
            true => "key = \"$.sensor\"\nvalues = [\"$.t\", \"$.h\"]",
        };
        let layout = match self.layout {
            HistoryLayout::Segments => "segments",
            HistoryLayout::Rows => "rows",
        };
        let text = format!(
            r#"
job = "{name}"
[kafka]
brokers = ["{brokers}"]
topics = ["{name}-events"]
group_id = "{name}"
[cassandra]
contact_points = ["{cassandra}"]
keyspace = "{name}"
[format]
type = "json"
{format}
time = "$.time"
time_format = "rfc3339_or_utc"
[layout]
key_groups = {key_groups}
bucket_shift = 14
history = "{layout}"
[detection]
default = "window"
[detection.detectors.window]
kind = "cusum-window"
window = {window}
observations_min = {observations_min}
k = {k:?}
h = {h:?}
[detection.incidents]
close_after_observations = {close_after_observations}
storm_burst = {storm_burst}
storm_refill_events = {storm_refill_events}
[alerts.kafka]
topic = "{name}-alerts"
[dead_letters.kafka]
topic = "{name}-dead"
[shard]
flush_interval_ms = 300
checkpoint_interval_s = 2
[run]
commit_interval_ms = 200
[http]
listen = "127.0.0.1:0"
"#,
            name = self.name,
            brokers = self.brokers,
            cassandra = self.cassandra,
            key_groups = SETTINGS.key_groups,
        );
        std::fs::write(&path, text).expect("the folder is writable");
        path
    }
}

/// A running process. Killed, if the test fails before it stops it.
pub struct Node {
    process: Child,
    address: String,
    log: PathBuf,
}

impl Node {
    /// Starts one and waits until it says where it listens.
    pub fn start(plan: &Plan) -> Self {
        let number = plan.nodes.replace(plan.nodes.get() + 1);
        let log = plan.dir.path().join(format!("node-{number}.log"));
        let mut process = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["run", "--config"])
            .arg(plan.config())
            .env("NO_COLOR", "1")
            .env("WEIR__LOG__FILTER", "info")
            .stderr(Stdio::piped())
            .spawn()
            .expect("weir is there");
        let lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let (said, address) = std::sync::mpsc::channel();
        let mut file = std::fs::File::create(&log).expect("the folder is writable");
        // Reads the log to its end, so that the process never waits for us.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("address=") {
                    let _ = said.send(rest.split_whitespace().next().unwrap_or("").to_owned());
                }
                let _ = writeln!(file, "{line}");
            }
        });
        match address.recv_timeout(DEADLINE) {
            Ok(address) => Self { process, address, log },
            Err(_) => {
                let _ = process.kill();
                panic!("it does not start: {}", std::fs::read_to_string(&log).unwrap_or_default());
            }
        }
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// The sum of a metric over its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let (status, text) = self.get("/metrics").expect("it answers");
        assert_eq!(status, 200, "{text}");
        let values = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(name)).then(|| value.parse::<f64>().ok())?
        });
        values.sum()
    }

    pub fn wait_until_assigned(&self) {
        let begun = Instant::now();
        while self.get("/readyz").is_none_or(|(status, _)| status != 200) {
            assert!(begun.elapsed() < DEADLINE, "not ready: {}", self.log());
            std::thread::yield_now();
        }
    }

    /// SIGTERM, and it must end well.
    pub fn stop(mut self) {
        signal(&self.process, "TERM");
        let status = self.process.wait().expect("it is our child");
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        signal(&self.process, "KILL");
        let status = self.process.wait().expect("it is our child");
        assert!(!status.success());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the node's log ---\n{}", self.log());
        }
    }
}

fn signal(process: &Child, name: &str) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process.id().to_string()).status();
    assert!(sent.is_ok_and(|s| s.success()), "cannot signal it");
}
