//! `weir check`: everything that can be looked at before a start, a line for each,
//! every fault at once.

mod cassandra;
mod estimates;
mod kafka;

use std::path::Path;

use anyhow::Context;
use weir_actors::detection::DetectionConfig;

use super::Failure;
use super::output::{COLUMNS, Output, wrapped};
use crate::config::Config;

pub(super) fn run(path: Option<&Path>) -> Result<(), Failure> {
    let (config, faults) = Config::load_with_faults(path)?;
    let mut report = Report { output: Output::stdout(), faults: 0 };
    let name = path.map_or_else(|| "the configuration".into(), |p| p.display().to_string());
    if faults.is_empty() {
        report.ok(&name)?;
    }
    for fault in faults {
        report.fault(&fault)?;
    }
    let runtime = tokio::runtime::Runtime::new().context("no runtime")?;
    runtime.block_on(async {
        for unused in unused_detectors(&config.detection) {
            report.note(&unused)?;
        }
        let topics = kafka::check(&config, &mut report).await?;
        cassandra::check(&config, &topics, &mut report).await?;
        estimates::tell(&config, &topics, &mut report)
    })?;
    report.output.flush()?;
    match report.faults {
        0 => Ok(()),
        1 => Err(Failure::Faults("1 fault was found".into())),
        n => Err(Failure::Faults(format!("{n} faults were found"))),
    }
}

/// What was found so far.
struct Report<W = std::io::BufWriter<std::io::StdoutLock<'static>>> {
    output: Output<W>,
    faults: usize,
}

impl<W: std::io::Write> Report<W> {
    fn ok(&mut self, text: &str) -> Result<(), Failure> {
        self.line("ok", text)
    }

    /// Something to know that is no fault.
    fn note(&mut self, text: &str) -> Result<(), Failure> {
        self.line("note", text)
    }

    fn fault(&mut self, text: &str) -> Result<(), Failure> {
        self.faults += 1;
        self.line("FAULT", text)
    }

    fn line(&mut self, word: &str, text: &str) -> Result<(), Failure> {
        const INDENT: &str = "       ";
        let body = wrapped(text, COLUMNS - INDENT.len(), "");
        let body = body.replace('\n', &format!("\n{INDENT}"));
        self.output.line(format!("{word:<7}{body}"))?;
        self.output.flush()
    }
}

/// Detectors that judge nothing, and rules that never match.
fn unused_detectors(config: &DetectionConfig) -> Vec<String> {
    let mut notes = Vec::new();
    for name in config.detectors.keys() {
        let used = *name == config.default || config.rules.iter().any(|r| r.detector == *name);
        if !used {
            notes.push(format!(
                "detection.detectors.{name}: no rule names it and it is not the default; it \
                 judges nothing"
            ));
        }
    }
    for (i, rule) in config.rules.iter().enumerate() {
        let covers = |earlier: &str| earlier == rule.series || matches!(earlier, "*" | "**");
        if let Some(earlier) = config.rules[..i].iter().position(|r| covers(&r.series)) {
            notes.push(format!(
                "detection.rules[{i}] ({:?}): rule {earlier} ({:?}) matches all of it first; put \
                 it before that one",
                rule.series, config.rules[earlier].series
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests;
