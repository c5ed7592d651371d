//! `weir detect`: the engine of the node on files. The same decoders, detectors
//! and folding of anomalies into incidents; only the log, the store and the
//! actors are missing.
//!
//! A file is read once, from front to back, in bounded memory: a batch of lines,
//! the state of each series, and with pictures the thinned values of each.

mod guess;
mod lines;
mod pictures;
mod report;
mod scores;
mod series;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use weir_actors::decode::{DecodeBuffers, Decoder, LimitsConfig};
use weir_actors::detection::{Detection, DetectionConfig};
use weir_actors::event::{DecodedBatch, Event, KeyEncoding, RejectReason};
use weir_actors::shard::judge::Judge;

pub use guess::ColumnOptions;
pub use report::{Format, Summary};

use lines::{LINE_BYTES_MAX, Lines};
use report::Reporter;
use scores::Scores;
use series::{Anomaly, SeriesNotes};

/// What stands for standard input.
pub const STDIN: &str = "-";

/// So many faulty lines are shown; the rest are counted.
const FAULTS_SHOWN_MAX: u64 = 100;

/// What `detect` is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The files; `-` is standard input.
    pub inputs: Vec<PathBuf>,
    /// Which columns are meant.
    pub columns: ColumnOptions,
    /// Which detector judges which series.
    pub detection: DetectionConfig,
    /// How anomalies are written.
    pub format: Format,
    /// Every anomaly at once, instead of incidents when they are over.
    pub each: bool,
    /// With colours.
    pub colour: bool,
    /// Where the pictures go: `.svg` or `.png`.
    pub plot: Option<PathBuf>,
    /// The directory of the scores.
    pub scores: Option<PathBuf>,
    /// The directory whose structure names of series and scores keep.
    pub root: Option<PathBuf>,
    /// Stop at the first faulty line.
    pub strict: bool,
}

/// Why `detect` did not end well.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// The detectors' settings are wrong; every fault.
    #[error("{}", .0.join("\n"))]
    Settings(Vec<String>),
    /// A file is not what can be read.
    #[error("{0}")]
    Input(String),
    /// With `strict`: the first faulty line.
    #[error("{0}")]
    Faulty(String),
    /// Nobody reads the output any more.
    #[error("the output is closed")]
    OutputClosed,
    /// Reading or writing failed.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

impl From<std::io::Error> for DetectError {
    /// Only for standard output: what fails on files says on which.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Failed(anyhow!(error).context("cannot write the anomalies")),
        }
    }
}

/// The ends that it is plugged into.
pub struct Ends<'a> {
    /// Read where an input is `-`.
    pub stdin: &'a mut dyn Read,
    /// Anomalies.
    pub out: &'a mut dyn Write,
    /// What was guessed, faulty lines, notes.
    pub err: &'a mut dyn Write,
}

/// Runs through all inputs. What was counted is in the summary also when it ends
/// early.
///
/// # Errors
/// See [`DetectError`].
pub fn run(
    options: &Options,
    ends: &mut Ends<'_>,
    summary: &mut Summary,
) -> Result<(), DetectError> {
    let detection =
        Detection::new(&options.detection, KeyEncoding::Utf8).map_err(DetectError::Settings)?;
    if let Some(plot) = &options.plot {
        crate::plot::kind_of(plot)?;
    }
    let mut run = Run {
        options,
        judge: Judge::new(detection),
        notes: SeriesNotes::new(options.plot.is_some()),
        reporter: Reporter::new(options.format, options.each, options.colour),
        summary,
    };
    for input in &options.inputs {
        run.input(input, ends)?;
    }
    run.finish(ends)
}

struct Run<'a> {
    options: &'a Options,
    judge: Judge,
    notes: SeriesNotes,
    reporter: Reporter,
    summary: &'a mut Summary,
}

impl Run<'_> {
    fn input(&mut self, input: &Path, ends: &mut Ends<'_>) -> Result<(), DetectError> {
        let is_stdin = input == Path::new(STDIN);
        let name = if is_stdin { "stdin".to_owned() } else { input.display().to_string() };
        let key = match is_stdin {
            true => name.clone(),
            false => self.key_of(input),
        };
        if is_stdin {
            return self.lines(
                Lines::new(&mut *ends.stdin, &name, &key),
                input,
                &name,
                ends.out,
                ends.err,
            );
        }
        let file = File::open(input).with_context(|| format!("cannot open {name}"))?;
        self.lines(Lines::new(file, &name, &key), input, &name, ends.out, ends.err)
    }

    /// The key of a file's rows that have none: its name, below the root.
    fn key_of(&self, input: &Path) -> String {
        let below = self.options.root.as_deref().and_then(|root| input.strip_prefix(root).ok());
        let name = below.map(|b| b.with_extension(""));
        let stem = || input.file_stem().map(PathBuf::from);
        name.or_else(stem).unwrap_or_default().display().to_string()
    }

    fn lines<R: Read>(
        &mut self,
        mut lines: Lines<R>,
        input: &Path,
        name: &str,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> Result<(), DetectError> {
        let read = || format!("cannot read {name}");
        let sample = lines.sample().with_context(read)?;
        let guess = guess::guess(&sample, &self.options.columns, name)?;
        note(err, &format!("{name}: {}", guess.said));
        if guess.has_header {
            lines.skip_header();
        }
        let limits = LimitsConfig { message_bytes_max: LINE_BYTES_MAX, ..LimitsConfig::default() };
        let decoder = Decoder::new(&guess.format, &limits)
            .map_err(|faults| DetectError::Input(format!("{name}: {}", faults.join("; "))))?;
        let mut scores = match &self.options.scores {
            Some(_) if guess.values > 1 => {
                let what = "has several values a row, scores are of one; choose it by --value";
                return Err(DetectError::Input(format!("{name} {what}")));
            }
            Some(dir) => Some(Scores::create(dir, input, self.options.root.as_deref())?),
            None => None,
        };
        let mut buffers = DecodeBuffers::default();
        while let Some(raw) = lines.next_batch().with_context(read)? {
            let batch = decoder.decode_with(raw, &mut buffers);
            self.batch(&batch, guess.has_time, scores.as_mut(), out, err)?;
            buffers.recycle(batch);
            out.flush()?;
        }
        scores.map_or(Ok(()), Scores::finish)
    }

    fn batch(
        &mut self,
        batch: &DecodedBatch,
        has_time: bool,
        mut scores: Option<&mut Scores>,
        out: &mut dyn Write,
        err: &mut dyn Write,
    ) -> Result<(), DetectError> {
        let (mut events, mut rejects) =
            (batch.events.iter().peekable(), batch.rejects.iter().peekable());
        for (number, record) in (0u32..).zip(&batch.raw.records) {
            self.summary.rows += 1;
            let mut row = None;
            while let Some(event) = events.next_if(|e| e.record == number) {
                let score = self.event(batch, event, has_time, out)?;
                match score {
                    Some(score) => row = Some((event, score)),
                    None => {
                        let why = "its time is further behind its series than \
                                   detection.timing.late_seconds_max allows";
                        self.fault(batch, record.offset, RejectReason::TooLate, why, err)?;
                    }
                }
            }
            while let Some(reject) = rejects.next_if(|r| r.record == number) {
                self.fault(batch, record.offset, reject.reason, &reject.detail, err)?;
            }
            if let Some(scores) = scores.as_deref_mut() {
                scores.row(row)?;
            }
        }
        Ok(())
    }

    /// Judges one value; gives its score, in threshold, if it is judged at all.
    fn event(
        &mut self,
        batch: &DecodedBatch,
        event: &Event,
        has_time: bool,
        out: &mut dyn Write,
    ) -> Result<Option<f64>, DetectError> {
        let Self { judge, notes, reporter, summary, .. } = self;
        let name = batch.series(event);
        let judged = judge.take(event, name);
        let Some(verdict) = judged.verdict else { return Ok(None) };
        summary.checks += 1;
        let detector = judged.detector;
        let (open, closed) = (judged.open.cloned(), judged.closed);
        let detector = judge.detection().name(detector);
        let series = notes.of(name);
        series.observe(event, &verdict);
        if let (true, Some(open)) = (verdict.is_anomalous(), open) {
            summary.anomalies += 1;
            summary.incidents += u64::from(open.count == 1);
            let anomaly = Anomaly::of(event, &verdict);
            series.anomaly(&anomaly, &open);
            if reporter.each {
                reporter.anomaly(out, &series.name, detector, &anomaly, &open, has_time)?;
            }
        }
        if let Some(incident) = closed.and_then(|_| series.close())
            && !reporter.each
        {
            reporter.incident(out, &series.name, detector, &incident, has_time)?;
        }
        Ok(Some(verdict.score / verdict.threshold))
    }

    fn fault(
        &mut self,
        batch: &DecodedBatch,
        line: i64,
        reason: RejectReason,
        detail: &str,
        err: &mut dyn Write,
    ) -> Result<(), DetectError> {
        self.summary.faulty += 1;
        self.summary.series = self.notes.len() as u64;
        let shown = format!("{}:{line}: {}: {detail}", batch.raw.partition.topic, reason.name());
        if self.options.strict {
            return Err(DetectError::Faulty(shown));
        }
        match self.summary.faulty {
            ..=FAULTS_SHOWN_MAX => note(err, &shown),
            n if n == FAULTS_SHOWN_MAX + 1 => {
                note(err, "further faulty lines are only counted");
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self, ends: &mut Ends<'_>) -> Result<(), DetectError> {
        self.summary.series = self.notes.len() as u64;
        let mut open: Vec<_> = Vec::new();
        for series in self.notes.iter_mut() {
            open.extend(series.close().map(|incident| (series.name.clone(), incident)));
        }
        open.sort_by_key(|(_, incident)| incident.since_us);
        if !self.reporter.each {
            for (name, incident) in &open {
                let detection = self.judge.detection();
                let detector = detection.name(detection.of(name.as_bytes()));
                self.reporter.incident(ends.out, name, detector, incident, true)?;
            }
        }
        self.reporter.end(ends.out)?;
        ends.out.flush()?;
        if let Some(path) = &self.options.plot {
            let said = pictures::write(self.notes, path)?;
            note(ends.err, &said);
        }
        Ok(())
    }
}

/// A line for the person; that it cannot be written is no reason to stop.
fn note(err: &mut dyn Write, what: &str) {
    let _ = writeln!(err, "weir: {what}");
}

#[cfg(test)]
mod tests;
