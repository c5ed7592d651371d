//! `weir history KEY`: what is stored of a key.

mod cql;

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use serde_json::json;
use weir_actors::decode::Decoder;
use weir_actors::event::KeyEncoding;
use weir_actors::position::{PartitionId, TopicId};
use weir_actors::shard::flag_names;
use weir_actors::store::{Layout, StoreError};

use super::Failure;
use super::output::{Output, wrapped};
use crate::cassandra::CassandraStore;
use crate::config::{Config, ConfigError};
use crate::embedded::EmbeddedStore;
use crate::history_reader::{self, KeyHistory, Met, Wanted};
use crate::kafka::KafkaAdmin;

/// Events that are shown unless told otherwise.
const LAST_DEFAULT: usize = 50;
/// Columns of a value: the shortest text that is the same number.
const VALUE_COLUMNS: usize = 20;
const MARKS_COLUMNS: usize = 10;

#[derive(Args)]
pub(super) struct Arguments {
    /// The series' name: the key, or key/name where a message has several values
    #[arg(value_name = "KEY")]
    key: String,
    /// The topic [default: all of the configuration; with --store, its id]
    #[arg(long)]
    topic: Option<String>,
    /// How many of the newest events [default: 50]
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "to"])]
    last: Option<usize>,
    /// Events from this time on, RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Events before this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// JSON lines instead of a table
    #[arg(long, conflicts_with = "cql")]
    json: bool,
    /// Print the CQL statements that read it, for any client
    #[arg(long, conflicts_with = "store")]
    cql: bool,
    /// Read an embedded store (of `weir demo`) instead of Cassandra
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

impl Arguments {
    fn wanted(&self) -> Result<Wanted, Failure> {
        let us = |time: Option<Timestamp>, default| time.map_or(default, |t| t.as_microsecond());
        if self.from.is_none() && self.to.is_none() {
            return Ok(Wanted::Last(self.last.unwrap_or(LAST_DEFAULT).max(1)));
        }
        let (from, to) = (us(self.from, i64::MIN), us(self.to, i64::MAX));
        if from >= to {
            return Err(anyhow!("--from is not before --to; nothing lies between").into());
        }
        Ok(Wanted::Between(from, to))
    }
}

/// A topic to look in.
struct Topic {
    name: String,
    id: TopicId,
    partitions: Vec<i32>,
    layout: Layout,
}

pub(super) fn run(arguments: &Arguments, path: Option<&Path>) -> Result<(), Failure> {
    let config = match arguments.store {
        // Only the format counts, for how keys are written.
        Some(_) => Config::read(path, std::env::vars())?,
        None => Config::load(path)?,
    };
    let wanted = arguments.wanted()?;
    let decoder = Decoder::new(&config.format, &config.limits).map_err(ConfigError::Faults)?;
    let keys = decoder.key_encoding();
    let series = keys.parse(&arguments.key).ok_or_else(|| {
        anyhow!("{:?} cannot be a key: this format's keys are 64-bit integers", arguments.key)
    })?;
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    let mut output = Output::stdout();
    runtime.block_on(async {
        let (store, topics) = match &arguments.store {
            Some(dir) => embedded(dir, arguments.topic.as_deref()).await?,
            None => cassandra(&config, keys, arguments.topic.as_deref()).await?,
        };
        let mut found = 0;
        for topic in &topics {
            if arguments.cql {
                found += 1;
                cql::print(&mut output, &config, &*store, topic, &series, &arguments.key, wanted)
                    .await?;
                continue;
            }
            let met = met(&*store, topic, &series, wanted).await?;
            found += met.len();
            warn_of_scatter(&arguments.key, topic, &met);
            for (i, event) in met.iter().enumerate() {
                if arguments.json {
                    output.line(json_line(&arguments.key, topic, event))?;
                    continue;
                }
                if i == 0 {
                    head(&mut output, topic, topics.len() > 1)?;
                }
                output.line(table_line(event))?;
            }
        }
        if found == 0 {
            return Err(nothing(&arguments.key, &topics).into());
        }
        output.flush()
    })
}

async fn met(
    store: &dyn KeyHistory,
    topic: &Topic,
    series: &[u8],
    wanted: Wanted,
) -> Result<Vec<Met>, Failure> {
    let mut of = Vec::new();
    for &number in &topic.partitions {
        let partition = PartitionId { topic: topic.id, number };
        let place = history_reader::place(store, partition, series, topic.layout, wanted);
        let place = place.await.map_err(store_failure)?;
        let rows = history_reader::read(store, topic.layout.history, &place, series, wanted);
        of.push((partition, rows.await.map_err(store_failure)?));
    }
    Ok(history_reader::merged(of, wanted))
}

fn store_failure(error: StoreError) -> Failure {
    anyhow!("{error}").into()
}

async fn cassandra(
    config: &Config,
    keys: KeyEncoding,
    named: Option<&str>,
) -> anyhow::Result<(Box<dyn KeyHistory>, Vec<Topic>)> {
    let admin = KafkaAdmin::new(&config.kafka).context("Kafka, asked for the topic's id")?;
    let wanted = named.map_or_else(|| config.kafka.topics.clone(), |name| vec![name.to_owned()]);
    let names = admin.matching(&wanted).await.context("Kafka, asked for the topic's id")?;
    if names.is_empty() {
        bail!("there is no topic {}; name one with --topic", wanted.join(", "));
    }
    let infos = admin.topics(&names).await.context("Kafka, asked for the topic's id")?;
    let failed = |error| anyhow!("{error}");
    let store =
        CassandraStore::connect(&config.cassandra, &config.job, keys).await.map_err(failed)?;
    let mut topics = Vec::new();
    for info in infos.into_iter().flatten() {
        if let Some(layout) = store.recorded_layout(info.id).await.map_err(failed)? {
            let partitions = (0..info.partitions).collect();
            topics.push(Topic { name: info.name, id: info.id, partitions, layout });
        }
    }
    if topics.is_empty() {
        bail!(
            "job {:?} has no history of topic {}; has it ever read it? A topic that was made \
             anew has another history",
            config.job,
            names.join(", ")
        );
    }
    Ok((Box::new(store), topics))
}

async fn embedded(
    dir: &Path,
    named: Option<&str>,
) -> anyhow::Result<(Box<dyn KeyHistory>, Vec<Topic>)> {
    // Opening would make it.
    let inner = dir.join("store");
    let dir = if inner.is_dir() { inner.as_path() } else { dir };
    if !dir.is_dir() {
        bail!("{}: there is no store; `weir demo` says where it keeps its own", dir.display());
    }
    let failed = |error| anyhow!("{error}");
    let store = EmbeddedStore::open(dir).map_err(failed)?;
    let mut topics = Vec::new();
    for (id, layout) in store.layouts().await.map_err(failed)? {
        let name = id.to_string();
        if named.is_none_or(|named| named == name) {
            let partitions = store.partitions(id).await.map_err(failed)?;
            topics.push(Topic { name, id, partitions, layout });
        }
    }
    if topics.is_empty() {
        bail!("{}: there is no history in it; has a job ever written to it?", dir.display());
    }
    Ok((Box::new(store), topics))
}

fn nothing(key: &str, topics: &[Topic]) -> anyhow::Error {
    let names: Vec<&str> = topics.iter().map(|t| t.name.as_str()).collect();
    anyhow!(
        "nothing is stored of {key:?} in {}, in the time asked for; look at how it is written: \
         where a message has several values, a series is key/name",
        names.join(", ")
    )
}

/// To standard error: a table in a pipe stays a table.
fn warn_of_scatter(key: &str, topic: &Topic, met: &[Met]) {
    let mut numbers: Vec<i32> = met.iter().map(|m| m.partition.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() > 1 {
        let text = format!(
            "note: {key:?} is met in {} partitions of {:?} ({numbers:?}): each is judged by \
             itself. Producers should send a key to one partition.",
            numbers.len(),
            topic.name
        );
        eprintln!("{}", wrapped(&text, super::output::COLUMNS, ""));
    }
}

fn head(output: &mut Output, topic: &Topic, named: bool) -> Result<(), Failure> {
    if named {
        output.line(format!("topic {}", topic.name))?;
    }
    output.line(format!(
        "{:<27} {:>VALUE_COLUMNS$} {:<MARKS_COLUMNS$} {:>4} POSITION",
        "TIME", "VALUE", "MARKS", "PART"
    ))
}

fn table_line(event: &Met) -> String {
    let Met { partition, row } = event;
    let marks = flag_names(row.flags).join(",");
    format!(
        "{:<27} {:>VALUE_COLUMNS$} {:<MARKS_COLUMNS$} {:>4} {}",
        time(row.time_us),
        row.value,
        if marks.is_empty() { "-" } else { &marks },
        partition.number,
        history_reader::shown(row.position)
    )
}

fn json_line(key: &str, topic: &Topic, event: &Met) -> String {
    let Met { partition, row } = event;
    let mut line = json!({
        "key": key,
        "topic": topic.name,
        "time": time(row.time_us),
        "time_us": row.time_us,
        "value": row.value,
        "marks": flag_names(row.flags),
        "partition": partition.number,
        "offset": row.position.offset,
        "index": row.position.index,
    });
    if let Some([latitude, longitude, altitude]) = row.location {
        line["latitude"] = json!(latitude);
        line["longitude"] = json!(longitude);
        line["altitude_m"] = json!(altitude);
    }
    line.to_string()
}

/// RFC 3339, with as many digits as there are.
fn time(time_us: i64) -> String {
    Timestamp::from_microsecond(time_us).map_or_else(|_| format!("{time_us} us"), |t| t.to_string())
}

#[cfg(test)]
mod tests;
