//! The statements that read a key's history, with their values filled in.

use weir_actors::position::PartitionId;
use weir_actors::store::{Bucket, HistoryLayout};

use super::{Topic, store_failure};
use crate::cli::Failure;
use crate::cli::output::Output;
use crate::config::Config;
use crate::history_reader::{self, KeyHistory, Place, Wanted};

const ABOUT_SEGMENTS: &str = "\
-- A row is a segment: the packed events of one key group, of this key and of
-- others, from (first_offset, first_index) to (last_offset, last_index). data
-- is described in actors/src/history/segment.rs (magic \"WS\", version, checksum,
-- columns); `weir history` unpacks it. Segments may overlap after a replay:
-- drop repeats by (offset, index).
";

const ABOUT_ROWS: &str = "\
-- A row is an event; time_us is microseconds since 1970. flags are bits:
-- 1 late, 2 repeated, 4 ahead, 8 anomalous, 16 poison.
";

/// Prints them for one topic, newest bucket first.
pub(super) async fn print(
    output: &mut Output,
    config: &Config,
    store: &dyn KeyHistory,
    topic: &Topic,
    series: &[u8],
    key: &str,
    wanted: Wanted,
) -> Result<(), Failure> {
    output.line(format!("-- Topic {} ({}).", topic.name, topic.id))?;
    output.text(match topic.layout.history {
        HistoryLayout::Segments => ABOUT_SEGMENTS,
        HistoryLayout::Rows => ABOUT_ROWS,
    })?;
    for &number in &topic.partitions {
        let partition = PartitionId { topic: topic.id, number };
        let place = history_reader::place(store, partition, series, topic.layout, wanted).await;
        let place = place.map_err(store_failure)?;
        for &bucket in &place.buckets {
            let statement = match topic.layout.history {
                HistoryLayout::Segments => segments(config, &place, bucket),
                HistoryLayout::Rows => rows(config, &place, bucket, key, wanted),
            };
            output.line(statement)?;
        }
    }
    Ok(())
}

fn segments(config: &Config, place: &Place, bucket: Bucket) -> String {
    format!(
        "SELECT first_offset, first_index, last_offset, last_index, events, data\n  \
         FROM {}.history_segments\n  WHERE {};",
        config.cassandra.keyspace,
        at(config, place, bucket)
    )
}

fn rows(config: &Config, place: &Place, bucket: Bucket, key: &str, wanted: Wanted) -> String {
    let (limit, filter) = match wanted {
        Wanted::Last(count) => (format!("\n  LIMIT {count}"), String::new()),
        Wanted::Between(from, to) => (
            "\n  ALLOW FILTERING".to_owned(),
            format!("\n    AND time_us >= {from} AND time_us < {to}"),
        ),
    };
    format!(
        "SELECT msg_offset, msg_index, time_us, value, flags\n  FROM {}.history_rows\n  \
         WHERE {}\n    AND series = {}{filter}{limit};",
        config.cassandra.keyspace,
        at(config, place, bucket),
        text(key)
    )
}

fn at(config: &Config, place: &Place, bucket: Bucket) -> String {
    let group = place.group;
    format!(
        "job = {} AND topic = {}\n    AND partition = {} AND key_group = {} AND bucket = {}",
        text(&config.job),
        text(&group.partition.topic.to_string()),
        group.partition.number,
        group.group,
        bucket.0
    )
}

/// A text constant of CQL.
fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use weir_actors::position::{GroupId, TopicId};

    use super::*;

    #[test]
    fn values_are_filled_in_and_quoted() {
        let partition = PartitionId { topic: TopicId(1), number: 3 };
        let place = Place { group: GroupId { partition, group: 5 }, buckets: vec![] };
        let cql = rows(&Config::default(), &place, Bucket(7), "o'hare", Wanted::Last(50));
        for part in
            ["partition = 3", "key_group = 5", "bucket = 7", "series = 'o''hare'", "LIMIT 50;"]
        {
            assert!(cql.contains(part), "{part} is not in {cql}");
        }
        assert!(cql.lines().all(|l| l.len() <= 80), "{cql}");
        let about = [ABOUT_ROWS, ABOUT_SEGMENTS].concat();
        assert!(about.lines().all(|l| l.len() <= 80), "{about}");
        let cql = segments(&Config::default(), &place, Bucket(7));
        assert!(cql.contains("weir.history_segments") && cql.ends_with("bucket = 7;"), "{cql}");
    }
}
