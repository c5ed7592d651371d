//! `weir detect`: the same engine on files.

use std::io::{self, BufWriter, IsTerminal};
use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use weir_actors::decode::TimeFormat;
use weir_actors::detection::DetectionConfig;
use weir_detectors::DetectorSpec;

use super::Failure;
use crate::config::{Config, ConfigError};
use crate::detect::{self, ColumnOptions, DetectError, Ends, Format, Options, Summary};

/// Check files: CSV or JSON lines in, anomalies out
#[derive(Args, Debug)]
#[command(after_help = "\
What is not told of columns is guessed from the first lines, and the guess is
shown. Columns are named, or counted from 0; in JSON they are paths (meta.id).
With --config the rules of its [detection] decide which detector judges which
series. Anomalies are folded into incidents; --each shows every one, at once.
Exit code 4: --strict, and a line was faulty.")]
pub(super) struct DetectArgs {
    /// The files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The key's column [default: guessed, or the file's name]
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,
    /// The value's column; several make several series of each key
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    value: Vec<String>,
    /// The time's column
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// How the time is written
    #[arg(long, value_name = "FORMAT")]
    time_format: Option<TimeArg>,
    /// What stands between the columns of CSV; \t for a tab
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter)]
    delimiter: Option<char>,
    /// Which detector judges series that no rule matches
    #[arg(long, value_name = "KIND", value_parser = DetectorSpec::NAMES)]
    detector: Option<String>,
    /// A setting of the detector, as in a configuration: k=0.5, baseline.learned.observations=100
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// How anomalies are written [default: a table on a terminal, else json]
    #[arg(long, value_name = "FORMAT")]
    format: Option<FormatArg>,
    /// Every anomaly at once, instead of incidents when they are over
    #[arg(long)]
    each: bool,
    /// Draw each series; of several the 20 with the highest scores
    #[arg(long, value_name = "FILE.svg|FILE.png")]
    plot: Option<PathBuf>,
    /// Write timestamp,value,anomaly_score of every row, a file for each input
    #[arg(long, value_name = "DIR")]
    scores: Option<PathBuf>,
    /// Name series and scores by their path below this directory
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Stop at the first faulty line, with exit code 4
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatArg {
    Table,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TimeArg {
    /// 2026-01-31T23:59:59Z; UTC if it says nothing of a zone
    Rfc3339,
    /// Seconds since 1970
    S,
    /// Milliseconds
    Ms,
    /// Microseconds
    Us,
    /// Nanoseconds
    Ns,
}

impl From<TimeArg> for TimeFormat {
    fn from(arg: TimeArg) -> Self {
        match arg {
            TimeArg::Rfc3339 => Self::Rfc3339OrUtc,
            TimeArg::S => Self::Seconds,
            TimeArg::Ms => Self::Milliseconds,
            TimeArg::Us => Self::Microseconds,
            TimeArg::Ns => Self::Nanoseconds,
        }
    }
}

fn delimiter(text: &str) -> Result<char, String> {
    match (text, text.as_bytes()) {
        ("\\t", _) => Ok('\t'),
        (_, [byte]) if byte.is_ascii() => Ok(char::from(*byte)),
        _ => Err("one ASCII character, or \\t".into()),
    }
}

pub(super) fn run(args: DetectArgs, config: Option<&std::path::Path>) -> Result<(), Failure> {
    let detection = match config {
        Some(path) => Config::read(Some(path), std::env::vars())?.detection,
        None => DetectionConfig::default(),
    };
    let options = options(args, detection, io::stdout().is_terminal())?;
    let began = Instant::now();
    let mut summary = Summary::default();
    let (mut stdin, mut stderr) = (io::stdin().lock(), io::stderr().lock());
    let mut out = BufWriter::new(io::stdout().lock());
    let mut ends = Ends { stdin: &mut stdin, out: &mut out, err: &mut stderr };
    let done = detect::run(&options, &mut ends, &mut summary);
    if let Err(DetectError::OutputClosed) = done {
        // The reader of the pipe has seen enough. What is buffered is for nobody.
        drop(out.into_parts());
        return Ok(());
    }
    drop(stderr);
    // Of what did not even begin there is nothing to sum up.
    if done.is_ok() || summary.rows > 0 {
        eprintln!("weir: {summary}, {:.2} s", began.elapsed().as_secs_f64());
    }
    done.map_err(|error| match error {
        DetectError::Settings(faults) => ConfigError::Faults(faults).into(),
        DetectError::Faulty(what) => Failure::Faults(format!("{what} (--strict stops here)")),
        DetectError::Failed(error) => error.into(),
        DetectError::Input(_) | DetectError::OutputClosed => anyhow::anyhow!(error).into(),
    })
}

fn options(
    args: DetectArgs,
    mut detection: DetectionConfig,
    is_terminal: bool,
) -> Result<Options, ConfigError> {
    if args.detector.is_some() || !args.set.is_empty() {
        let name = args.detector.unwrap_or_else(|| detection.default.clone());
        let spec = spec(detection.detectors.get(&name), &name, &args.set)?;
        detection.detectors.insert(name.clone(), spec);
        detection.default = name;
    }
    let format = match args.format {
        Some(FormatArg::Table) => Format::Table,
        Some(FormatArg::Json) => Format::Json,
        None if is_terminal => Format::Table,
        None => Format::Json,
    };
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    Ok(Options {
        inputs: args.files,
        columns: ColumnOptions {
            key: args.key,
            values: args.value,
            time: args.time,
            time_format: args.time_format.map(TimeFormat::from),
            delimiter: args.delimiter,
        },
        detection,
        format,
        each: args.each,
        colour: is_terminal && !no_color,
        plot: args.plot,
        scores: args.scores,
        root: args.root,
        strict: args.strict,
    })
}

/// The detector of a configuration, or one of that kind, with settings over it.
fn spec(
    configured: Option<&DetectorSpec>,
    name: &str,
    settings: &[String],
) -> Result<DetectorSpec, ConfigError> {
    let wrong = |what: String| ConfigError::Unreadable(vec![what]);
    let base = match configured {
        Some(spec) => toml::Table::try_from(spec).map_err(|e| wrong(e.to_string()))?,
        None => toml::Table::from_iter([("kind".to_owned(), name.into())]),
    };
    let mut table = base;
    for setting in settings {
        let told = setting.parse::<toml::Table>().map_err(|_| {
            wrong(format!("--set {setting:?} is not name=value; write it like --set k=1.5"))
        })?;
        merge(&mut table, told);
    }
    table.try_into().map_err(|e: toml::de::Error| {
        let settings = settings.join(" --set ");
        wrong(format!("--set {settings}: {}", e.message()))
    })
}

/// Puts settings over others. A baseline is of one kind: another kind replaces it.
fn merge(table: &mut toml::Table, over: toml::Table) {
    for (name, value) in over {
        match (table.get_mut(&name), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => {
                let is_other_kind =
                    name == "baseline" && new.keys().any(|kind| !old.contains_key(kind));
                if is_other_kind {
                    old.clear();
                }
                merge(old, new);
            }
            // Whole numbers may be written for any.
            (Some(toml::Value::Float(old)), toml::Value::Integer(new)) => *old = new as f64,
            (_, value) => {
                table.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use weir_detectors::BaselineSpec;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: DetectArgs,
    }

    fn parsed(line: &str) -> Result<Options, String> {
        let words = std::iter::once("detect").chain(line.split(' '));
        let line = Line::try_parse_from(words).map_err(|e| e.to_string())?;
        options(line.args, DetectionConfig::default(), false).map_err(|e| e.to_string())
    }

    fn detector(line: &str) -> DetectorSpec {
        let detection = parsed(line).unwrap().detection;
        assert_eq!(detection.validate(), Vec::<String>::new());
        detection.detectors[&detection.default]
    }

    #[test]
    fn settings_are_those_of_a_configuration() {
        assert_eq!(detector("f"), DetectorSpec::default());
        let DetectorSpec::CusumWindow(window) = detector("f --detector cusum-window --set k=1")
        else {
            panic!("the kind is told");
        };
        assert_eq!((window.k, window.h), (1.0, 5.0));
        let line = "f --set h=5 --set baseline.fixed={mean=1.0,sigma=2.0}";
        let DetectorSpec::Cusum(cusum) = detector(line) else { panic!("the default's kind") };
        assert!(cusum.h == 5.0 && matches!(cusum.baseline, BaselineSpec::Fixed(_)));
        let DetectorSpec::Cusum(cusum) = detector("f --set baseline.learned.observations=9") else {
            panic!("the default's kind");
        };
        let BaselineSpec::Learned(learned) = cusum.baseline else { panic!("still learned") };
        assert_eq!((learned.observations, learned.half_life_observations), (9, 500));
    }

    #[test]
    fn wrong_settings_are_refused_with_what_to_do() {
        assert!(parsed("f --set k").unwrap_err().contains("like --set k=1.5"));
        assert!(parsed("f --set q=1").unwrap_err().contains("unknown field"));
        assert!(parsed("f --detector median").unwrap_err().contains("cusum-window"));
        assert!(parsed("f --delimiter ab").is_err() && parsed("").is_err());
    }

    #[test]
    fn a_pipe_gets_json_without_colours() {
        let options = parsed("a b --value x,y --delimiter \\t").unwrap();
        assert_eq!((options.format, options.colour), (Format::Json, false));
        assert_eq!(options.inputs.len(), 2);
        assert_eq!(options.columns.values, ["x", "y"]);
        assert_eq!(options.columns.delimiter, Some('\t'));
    }
}
