//! `weir dead-letters`: what was refused, and sending it again.

use std::collections::HashSet;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;
use weir_actors::event::RejectReason;

use super::Failure;
use super::output::{COLUMNS, Output, cut, grouped};
use crate::config::Config;
use crate::kafka::{KafkaAdmin, Peek, PeekedRecord, Replay, header};

/// What all headers that Weir adds begin with.
const HEADER_PREFIX: &str = "weir-";
/// Where a replayed message stands among the dead letters: topic/partition/offset.
pub const REPLAYED_FROM: &str = "weir-replayed-from";
/// Letters that are on their way at once.
const REPLAY_CHUNK: usize = 500;
/// Bytes of a value that are shown.
const SHOWN_BYTES: usize = 200;

#[derive(Subcommand)]
pub(super) enum Action {
    /// Print what was refused, oldest first: when, why, from where, and how it begins
    List(List),
    /// Send messages back to the topic and partition they came from, once each
    ///
    /// As they came, less the headers that Weir added. Replay after the cause is
    /// gone (the format, a limit): what is refused again is a dead letter again. Of
    /// a message with several values all are sent, the good ones too. To replay
    /// twice is to send twice.
    Replay(ReplayArguments),
}

#[derive(Args)]
pub(super) struct List {
    /// Only those refused for this reason, as the list shows it
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<&'static str>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// JSON lines
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub(super) struct ReplayArguments {
    /// Only those refused for this reason
    #[arg(long, value_name = "REASON", value_parser = reason)]
    reason: Option<&'static str>,
    /// Say what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

fn reason(text: &str) -> Result<&'static str, String> {
    let names: Vec<&str> = RejectReason::ALL.iter().map(|r| r.name()).collect();
    names
        .iter()
        .find(|name| **name == text)
        .copied()
        .ok_or_else(|| format!("there is no such reason; there are {}", names.join(", ")))
}

pub(super) fn run(action: &Action, path: Option<&Path>) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    match action {
        Action::List(list) => print(&config, &runtime, list),
        Action::Replay(arguments) => replay(&config, &runtime, arguments),
    }
}

/// A dead letter as it stands in its topic.
#[derive(Clone, Debug, PartialEq)]
struct Letter {
    topic: String,
    partition: i32,
    offset: i64,
    index: String,
    reason: String,
    detail: String,
    /// How many bytes its value had, if it was cut.
    truncated: Option<String>,
    record: PeekedRecord,
}

impl Letter {
    /// `None` if the record is not one.
    fn of(record: PeekedRecord) -> Option<Self> {
        Some(Self {
            topic: record.header(header::TOPIC)?,
            partition: record.header(header::PARTITION)?.parse().ok()?,
            offset: record.header(header::OFFSET)?.parse().ok()?,
            index: record.header(header::INDEX).unwrap_or_default(),
            reason: record.header(header::REASON)?,
            detail: record.header(header::DETAIL).unwrap_or_default(),
            truncated: record.header(header::TRUNCATED),
            record,
        })
    }

    /// The message as it was, to be written to the partition it came from.
    fn original(&self, dead_letters: &str) -> PeekedRecord {
        let mut record = self.record.clone();
        record.headers.retain(|(name, _)| !name.starts_with(HEADER_PREFIX));
        let from = format!("{dead_letters}/{}/{}", record.partition, record.offset);
        record.headers.push((REPLAYED_FROM.to_owned(), Some(from.into_bytes())));
        let timestamp = self.record.header(header::TIMESTAMP_MS).and_then(|t| t.parse().ok());
        record.timestamp_ms = timestamp.unwrap_or(-1);
        record.partition = self.partition;
        record
    }
}

/// Reads the topic from its beginning; each letter once, and what is none is
/// counted.
fn read(
    config: &Config,
    runtime: &tokio::runtime::Runtime,
    reason: Option<&str>,
    mut each: impl FnMut(Letter) -> Result<ControlFlow<()>, Failure>,
) -> Result<u64, Failure> {
    let topic = &config.dead_letters.kafka.topic;
    let admin = KafkaAdmin::new(&config.kafka).context("Kafka")?;
    let info = runtime.block_on(admin.topic(topic)).context("Kafka")?;
    let info = info.ok_or_else(|| {
        anyhow!("the topic {topic:?} is not there; dead_letters.kafka.topic names it")
    })?;
    let peek = Peek::new(&config.kafka).context("Kafka")?;
    let bounds = peek.bounds(topic, info.partitions).context("Kafka")?;
    let mut seen = HashSet::new();
    let mut strangers = 0;
    let mut failure = None;
    peek.read(topic, &bounds, |record| {
        let Some(letter) = Letter::of(record) else {
            strangers += 1;
            return ControlFlow::Continue(());
        };
        let at = (letter.topic.clone(), letter.partition, letter.offset, letter.index.clone());
        if reason.is_some_and(|reason| reason != letter.reason) || !seen.insert(at) {
            return ControlFlow::Continue(());
        }
        each(letter).unwrap_or_else(|error| {
            failure = Some(error);
            ControlFlow::Break(())
        })
    })
    .context("Kafka")?;
    failure.map_or(Ok(strangers), Err)
}

fn print(config: &Config, runtime: &tokio::runtime::Runtime, list: &List) -> Result<(), Failure> {
    let mut output = Output::stdout();
    let limit = list.limit.unwrap_or(usize::MAX);
    let mut shown = 0;
    let strangers = read(config, runtime, list.reason, |letter| {
        if shown >= limit {
            return Ok(ControlFlow::Break(()));
        }
        shown += 1;
        if list.json {
            output.line(json_line(&letter))?;
        } else {
            lines(&letter).iter().try_for_each(|line| output.line(line))?;
        }
        Ok(if shown >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    output.flush()?;
    if !list.json {
        eprintln!("{} dead letter(s)", grouped(shown as u64));
    }
    if strangers > 0 {
        eprintln!("{strangers} record(s) of the topic are not Weir's, and were passed over");
    }
    Ok(())
}

fn time(timestamp_ms: i64) -> String {
    match Timestamp::from_millisecond(timestamp_ms) {
        Ok(time) if timestamp_ms >= 0 => time.to_string(),
        _ => "without a time".to_owned(),
    }
}

fn lines(letter: &Letter) -> [String; 3] {
    let head = format!(
        "{}  {}  {}[{}] {}",
        time(letter.record.timestamp_ms),
        letter.reason,
        letter.topic,
        letter.partition,
        letter.offset
    );
    let detail = cut(&letter.detail, COLUMNS - 4);
    let value = match &letter.record.value {
        None => "null".to_owned(),
        Some(value) => beginning(value),
    };
    [head, format!("    {detail}"), format!("    {}", cut(&value, COLUMNS - 4))]
}

/// How a value begins: as text if it is, else in hexadecimal digits.
fn beginning(value: &[u8]) -> String {
    let first = &value[..value.len().min(SHOWN_BYTES)];
    let text = match std::str::from_utf8(first) {
        Ok(text) => Some(text),
        // Cut in the middle of a character.
        Err(e) if e.error_len().is_none() => std::str::from_utf8(&first[..e.valid_up_to()]).ok(),
        Err(_) => None,
    };
    match text {
        Some(text) if !text.contains('\0') => text.to_owned(),
        _ => first.iter().map(|b| format!("{b:02x}")).collect(),
    }
}

fn json_line(letter: &Letter) -> String {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(beginning);
    json!({
        "time": time(letter.record.timestamp_ms),
        "reason": letter.reason,
        "detail": letter.detail,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "index": letter.index.parse::<u16>().ok(),
        "key": text(&letter.record.key),
        "value_begins": text(&letter.record.value),
        "value_bytes": letter.record.value.as_ref().map(Vec::len),
        "truncated_from_bytes": letter.truncated.as_ref().and_then(|t| t.parse::<u64>().ok()),
        "dead_letter_partition": letter.record.partition,
        "dead_letter_offset": letter.record.offset,
    })
    .to_string()
}

/// What would be sent, one for each message, and what cannot be.
#[derive(Default)]
struct Plan {
    messages: Vec<(String, PeekedRecord)>,
    truncated: usize,
    seen: HashSet<(String, i32, i64)>,
}

impl Plan {
    fn add(&mut self, letter: &Letter, dead_letters: &str) {
        // Several values of one message may have been refused.
        if !self.seen.insert((letter.topic.clone(), letter.partition, letter.offset)) {
            return;
        }
        if letter.truncated.is_some() {
            self.truncated += 1;
        } else {
            self.messages.push((letter.topic.clone(), letter.original(dead_letters)));
        }
    }
}

fn replay(
    config: &Config,
    runtime: &tokio::runtime::Runtime,
    arguments: &ReplayArguments,
) -> Result<(), Failure> {
    let dead_letters = &config.dead_letters.kafka.topic;
    let mut plan = Plan::default();
    read(config, runtime, arguments.reason, |letter| {
        plan.add(&letter, dead_letters);
        Ok(ControlFlow::Continue(()))
    })?;
    let mut output = Output::stdout();
    if plan.truncated > 0 {
        output.line(format!(
            "{} message(s) were cut and are not sent; they may still stand in their topic",
            plan.truncated
        ))?;
    }
    let count = plan.messages.len();
    if arguments.dry_run || count == 0 {
        output.line(format!("{} message(s) would be sent", grouped(count as u64)))?;
        return output.flush();
    }
    output.flush()?;
    if !arguments.yes && !confirmed(count)? {
        output.line("nothing was sent")?;
        return output.flush();
    }
    let sent = runtime.block_on(send(config, &plan.messages));
    let (sent, result) = sent.map_or_else(|(sent, error)| (sent, Err(error)), |n| (n, Ok(())));
    output.line(format!("{} message(s) were sent", grouped(sent as u64)))?;
    output.flush()?;
    Ok(result?)
}

/// How many were sent; with an error, at least so many.
async fn send(
    config: &Config,
    messages: &[(String, PeekedRecord)],
) -> Result<usize, (usize, anyhow::Error)> {
    let replay = Replay::new(&config.kafka).map_err(|e| (0, e.into()))?;
    let mut sent = 0;
    for chunk in messages.chunks(REPLAY_CHUNK) {
        let writes = chunk.iter().map(|(topic, record)| replay.write(topic, record));
        let results = futures::future::join_all(writes).await;
        sent += results.iter().filter(|result| result.is_ok()).count();
        if let Some(error) = results.into_iter().find_map(Result::err) {
            let left = messages.len() - sent;
            let error = anyhow!(error).context(format!("{left} message(s) were not sent"));
            return Err((sent, error));
        }
    }
    Ok(sent)
}

fn confirmed(count: usize) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("{count} message(s) would be sent; say --yes, or ask with --dry-run first");
    }
    eprint!("Send {} message(s) back to where they came from? [y/N] ", grouped(count as u64));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

#[cfg(test)]
mod tests;
