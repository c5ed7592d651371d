//! Scores of each row, as benchmarks read them: `timestamp,value,anomaly_score`.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use weir_actors::event::Event;

use super::{DetectError, STDIN};
use crate::figure;

/// The scores of one file. They appear under their name when they are whole.
pub(super) struct Scores {
    out: BufWriter<File>,
    part: PathBuf,
    path: PathBuf,
}

impl Scores {
    /// Below `dir` as the input lies below `root`.
    pub(super) fn create(
        dir: &Path,
        input: &Path,
        root: Option<&Path>,
    ) -> Result<Self, DetectError> {
        let below = root.and_then(|root| input.strip_prefix(root).ok());
        let name = if input == Path::new(STDIN) { Path::new("stdin") } else { input };
        let below = below.or_else(|| name.file_name().map(Path::new)).unwrap_or(name);
        let path = dir.join(below).with_extension("csv");
        if path == input {
            let what = "the scores would be written over the input; name another directory";
            return Err(DetectError::Input(format!("{}: {what}", path.display())));
        }
        let part = path.with_extension("csv.part");
        let cannot = || format!("cannot write {}", part.display());
        fs::create_dir_all(path.parent().unwrap_or(dir)).with_context(cannot)?;
        let mut out = BufWriter::new(File::create(&part).with_context(cannot)?);
        writeln!(out, "timestamp,value,anomaly_score").with_context(cannot)?;
        Ok(Self { out, part, path })
    }

    /// A row of the input: the value and its score in thresholds, if it has one.
    /// What is written is 0 to 1, and 0.5 at the threshold.
    pub(super) fn row(&mut self, row: Option<(&Event, f64)>) -> Result<(), DetectError> {
        let written = match row {
            Some((event, score)) => writeln!(
                self.out,
                "{},{},{:.6}",
                figure::time(event.time_us),
                event.value,
                score / (1.0 + score)
            ),
            None => writeln!(self.out, ",,0"),
        };
        Ok(written.with_context(|| format!("cannot write {}", self.part.display()))?)
    }

    pub(super) fn finish(mut self) -> Result<(), DetectError> {
        self.out.flush().with_context(|| format!("cannot write {}", self.part.display()))?;
        fs::rename(&self.part, &self.path)
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(())
    }
}
