//! What the demo shows: at a terminal, in a pipe, without colours.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use weir_actors::alert::{Alert, AlertKind, AlertSink};
use weir_actors::dead_letter::SinkError;
use weir_actors::node::Node;
use weir_actors::stats::Stats;
use weir_detectors::Direction;

use super::Options;
use super::input::Feed;
use super::score::Score;
use crate::embedded::AlertLines;
use crate::figure;

/// Alerts, kept in a file and collected for the screen.
pub(super) struct Collected {
    lines: AlertLines,
    alerts: Mutex<Vec<Alert>>,
}

impl Collected {
    pub(super) fn new(lines: AlertLines) -> Self {
        Self { lines, alerts: Mutex::default() }
    }

    /// Those from `from` on.
    fn since(&self, from: usize) -> Vec<Alert> {
        let alerts = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        alerts.get(from..).unwrap_or_default().to_vec()
    }

    pub(super) fn all(&self) -> Vec<Alert> {
        self.since(0)
    }
}

#[async_trait]
impl AlertSink for Collected {
    async fn publish(&self, alerts: &[Alert]) -> Result<(), SinkError> {
        self.lines.publish(alerts).await?;
        let mut all = self.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(alerts);
        Ok(())
    }
}

/// So many anomalies are shown each, the rest is counted.
const SHOWN_MAX: usize = 24;
/// In a pipe the progress is a line in this time.
const PIPE_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Screen {
    terminal: bool,
    colour: bool,
    seen: usize,
    shown: usize,
    folded: u64,
    last: (Duration, u64),
    rate: f64,
}

impl Screen {
    pub(super) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Self {
            terminal,
            colour,
            seen: 0,
            shown: 0,
            folded: 0,
            last: (Duration::ZERO, 0),
            rate: 0.0,
        }
    }

    pub(super) fn welcome(&self, options: &Options, feed: &Feed) {
        self.say(&format!(
            "{} keys and {} real series, at most {} events; everything is kept in\n{}\n",
            figure::count(u64::from(options.keys)),
            feed.real.len(),
            figure::count(feed.events),
            options.dir.display(),
        ));
    }

    /// New anomalies, and how far it is.
    pub(super) fn show(&mut self, node: &Node, alerts: &Collected, elapsed: Duration) {
        let new = alerts.since(self.seen);
        self.seen += new.len();
        for alert in new.iter().filter(|a| a.kind == AlertKind::Opened) {
            if self.shown < SHOWN_MAX {
                self.clear();
                self.say(&self.sentence(alert));
                self.shown += 1;
            } else {
                self.folded += 1;
            }
        }
        let every = if self.terminal { Duration::from_millis(300) } else { PIPE_EVERY };
        if elapsed < self.last.0 + every {
            return;
        }
        let checks = node.stats.checks.get();
        self.rate = (checks - self.last.1) as f64 / (elapsed - self.last.0).as_secs_f64();
        self.last = (elapsed, checks);
        let line = format!(
            "{:5.1} s  {} checks, {}/s, {} waiting, {} more anomalies",
            elapsed.as_secs_f64(),
            figure::count(checks),
            figure::count(self.rate as u64),
            figure::count(node.registry.lag()),
            figure::count(self.folded),
        );
        if self.terminal {
            self.clear();
            self.print(&line);
        } else {
            self.say(&line);
        }
    }

    /// An anomaly in words.
    fn sentence(&self, alert: &Alert) -> String {
        let (side, colour) = match alert.direction {
            Direction::Up => ("above", "31"),
            Direction::Down => ("below", "34"),
        };
        let time = |text: &str| {
            let time: Option<jiff::Timestamp> = text.parse().ok();
            time.map_or(text.to_owned(), |t| t.strftime("%Y-%m-%d %H:%M").to_string())
        };
        let since = match alert.onset_observations {
            0 => String::new(),
            1 => ", since 1 value".to_owned(),
            n => format!(", since {n} values"),
        };
        let value = figure::sensible(alert.value);
        let value = if self.colour { format!("\x1b[{colour}m{value}\x1b[0m") } else { value };
        format!(
            "{} {:.26}: {value}, expected {}, {} sigma {side}{since}",
            time(&alert.time),
            alert.series,
            figure::sensible(alert.expected),
            figure::sensible(alert.deviations.abs().round()),
        )
    }

    pub(super) fn clear(&self) {
        if self.terminal {
            self.print("\r\x1b[K");
        }
    }

    pub(super) fn keeping(&self, address: SocketAddr) {
        self.say(&format!("\nGoing on, slowly, until Ctrl-C; metrics at http://{address}/metrics"));
    }

    pub(super) fn summary(
        &self,
        options: &Options,
        stats: &Stats,
        score: &Score,
        drawn: &[PathBuf],
        took: Duration,
        whole: bool,
    ) {
        let checks = stats.checks.get();
        let (labels, found) = score.totals();
        let per_million = score.false_incidents as f64 * 1e6 / (checks as f64).max(1.0);
        let ms = |d: Duration| figure::sensible(d.as_secs_f64() * 1e3);
        let history =
            stats.history_bytes.get() as f64 / (stats.history_events.get() as f64).max(1.0);
        let folded = if self.folded > 0 {
            format!("... and {} more, see alerts.jsonl\n", figure::count(self.folded))
        } else {
            String::new()
        };
        self.say(&format!(
            "{folded}
{}
  events     {} read, {} checked and durable in {:.1} s
  speed      {} checks/s, from the log to the disk
  latency    arrival to verdict p50 {} ms, p99 {} ms
             event to durable   p50 {} ms, p99 {} ms
  history    {} bytes an event
  anomalies  {} events in {} incidents
  labelled   {found} of {labels} found, {} false incidents: {} in a million checks",
            if whole { "Done." } else { "Stopped early." },
            figure::count(stats.events.get()),
            figure::count(checks),
            took.as_secs_f64(),
            figure::count((checks as f64 / took.as_secs_f64()) as u64),
            ms(stats.verdict_latency.quantile(0.5)),
            ms(stats.verdict_latency.quantile(0.99)),
            ms(stats.durable_latency.quantile(0.5)),
            ms(stats.durable_latency.quantile(0.99)),
            figure::sensible((history * 100.0).round() / 100.0),
            figure::count(stats.anomalies.get()),
            figure::count(score.incidents),
            figure::count(score.false_incidents),
            figure::sensible((per_million * 10.0).round() / 10.0),
        ));
        for (kind, (all, found)) in &score.by_kind {
            self.say(&format!("             {kind:<11} {found:>4} of {all:>4}"));
        }
        let dir = options.dir.display();
        self.say(&format!("  pictures   {} in {dir}/pictures", drawn.len()));
        self.say(&format!("  store      {dir}/store"));
        self.say(&format!("  alerts     {dir}/alerts.jsonl"));
    }

    fn say(&self, text: &str) {
        self.print(text);
        self.print("\n");
    }

    fn print(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe: whoever read has seen enough, the work goes on.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}
