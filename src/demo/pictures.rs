//! Pictures of the most telling series, drawn from the history in the store.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use weir_actors::history::rows_in_order;
use weir_actors::position::GroupId;
use weir_actors::route::{key_group, series_hash};
use weir_actors::store::{HistoryRange, Row, Store};
use weir_detectors::{DetectorSpec, Observation};

use super::input::{Feed, partition_of};
use super::score::Score;
use super::{KEY_GROUPS, Options, detection};
use crate::embedded::{EmbeddedLog, EmbeddedStore};
use crate::plot::{Plot, Point, Window};

/// The band that is drawn: nearly all values of a calm series lie within.
const BAND_SIGMAS: f64 = 3.0;

/// Draws the real series and the best finding of each kind; returns the files.
pub(super) async fn draw(
    options: &Options,
    feed: &Feed,
    log: &EmbeddedLog,
    store: &EmbeddedStore,
    score: &Score,
) -> anyhow::Result<Vec<PathBuf>> {
    let dir = options.dir.join("pictures");
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let real = feed.real.iter().map(|s| (s.name.to_owned(), s.name.to_owned(), s.windows.clone()));
    let best = score
        .best
        .iter()
        .map(|b| (format!("{}-{}", b.kind, b.series), b.series.clone(), vec![b.window_us]));
    let mut drawn = Vec::new();
    for (name, series, windows) in real.chain(best) {
        let rows = history(log, store, series.as_bytes()).await?;
        let windows = windows.into_iter().map(|(from_us, to_us)| Window {
            from_us,
            to_us,
            name: "labelled".into(),
        });
        let plot = Plot { title: series, points: judged(&rows), windows: windows.collect() };
        let path = dir.join(format!("{name}.png"));
        plot.write(&path)?;
        drawn.push(path);
    }
    Ok(drawn)
}

/// The events of one series, as they are stored.
async fn history(
    log: &EmbeddedLog,
    store: &EmbeddedStore,
    series: &[u8],
) -> anyhow::Result<Vec<Row>> {
    let partition = log.partitions()[partition_of(series) as usize].id;
    let group = GroupId { partition, group: key_group(series_hash(series), KEY_GROUPS) };
    let failed = |e: weir_actors::store::StoreError| anyhow!("{e}");
    let mut rows = Vec::new();
    for times in store.bucket_times(partition).await.map_err(failed)? {
        let range = HistoryRange { bucket: times.bucket, after: None, before: None };
        let stored = store.history(group, range).await.map_err(failed)?;
        rows.extend(rows_in_order(&stored, range)?.into_iter().filter(|r| r.series == series));
    }
    Ok(rows)
}

/// What the detector says of each value, as it did when it came.
fn judged(rows: &[Row]) -> Vec<Point> {
    let detection = detection();
    let spec: &DetectorSpec = &detection.detectors[&detection.default];
    let mut state = spec.start();
    let point = |row: &Row| {
        let observation = Observation { time_us: row.time_us, value: row.value };
        let verdict = spec.step(&mut state, observation);
        let reach = BAND_SIGMAS * verdict.sigma;
        Point {
            time_us: row.time_us,
            value: row.value,
            expected: verdict.expected,
            low: verdict.expected - reach,
            high: verdict.expected + reach,
            anomalous: verdict.is_anomalous(),
        }
    };
    rows.iter().map(point).collect()
}
