//! Where an assigned partition begins: at its committed offset, or where the
//! configuration says; and what is gone, if the log no longer has it.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use weir_actors::position::TopicPartition;

use super::client;
use super::config::Start;
use super::group::GroupContext;

/// How long one question to the brokers may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// The brokers did not answer.
pub(super) struct Unanswered {
    pub(super) text: String,
    /// Whether asking again is in vain.
    pub(super) fatal: bool,
}

impl Unanswered {
    pub(super) fn new(what: &str, code: Option<RDKafkaErrorCode>, error: &str) -> Self {
        Self { text: format!("{what}: {error}"), fatal: code.is_some_and(client::is_fatal) }
    }
}

fn unanswered(what: &str) -> impl Fn(KafkaError) -> Unanswered {
    move |e| Unanswered::new(what, e.rdkafka_error_code(), &e.to_string())
}

/// What the brokers know of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) committed: Option<i64>,
    /// The first offset in the log.
    pub(super) low: i64,
    /// The log's end (for readers of committed records, the last stable offset).
    pub(super) high: i64,
    /// The first record of the configured time, if there is one.
    pub(super) at_time: Option<i64>,
}

/// Where a partition begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// Where the group has committed.
    Committed(i64),
    /// At the log's beginning: the same again, should this node stop before it
    /// commits.
    Beginning(i64),
    /// At a place that another node, or another time, would not find again: to be
    /// committed at once.
    Chosen(i64),
    /// Nowhere: the committed offset is no longer in the log.
    Gone(i64),
}

impl Begin {
    pub(super) const fn offset(self) -> i64 {
        match self {
            Self::Committed(o) | Self::Beginning(o) | Self::Chosen(o) | Self::Gone(o) => o,
        }
    }
}

/// Decides. An offset beyond the log's end is left to the broker, which refuses
/// the fetch: the end known here can be behind (an open transaction, a new leader).
pub(super) fn begin(start: &Start, known: Known) -> Begin {
    match (known.committed, start) {
        (Some(committed), _) if committed < known.low => Begin::Gone(committed),
        (Some(committed), _) => Begin::Committed(committed),
        (None, Start::Committed | Start::Earliest) => Begin::Beginning(known.low),
        (None, Start::Latest) => Begin::Chosen(known.high),
        (None, Start::Timestamp(_)) => Begin::Chosen(known.at_time.unwrap_or(known.high)),
    }
}

/// What is gone, in words, and what to do.
pub(super) fn loss_text(
    partition: &TopicPartition,
    who: &str,
    offset: i64,
    low: i64,
    high: i64,
) -> String {
    let wants = format!("{partition}: {who} stands at offset {}", grouped(offset));
    if offset < low {
        return format!(
            "{wants}, the log begins at {}: {} events are gone, deleted before they were read; \
             raise the topic's retention, and to go on behind the gap set the group's offset to {} \
             (kafka-consumer-groups --reset-offsets)",
            grouped(low),
            grouped(low - offset),
            low
        );
    }
    format!(
        "{wants}, the log ends at {}: it was truncated, or the topic was made anew; {} events that \
         were read are no longer in it; find out why, and to go on at the log's end set the group's \
         offset to {} (kafka-consumer-groups --reset-offsets)",
        grouped(high),
        grouped(offset - high),
        high
    )
}

/// 4000 as 4,000.
fn grouped(number: i64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Asks the brokers what they know of each partition, in order. Blocks.
pub(super) fn ask(
    consumer: &BaseConsumer<GroupContext>,
    start: &Start,
    partitions: &[(String, i32)],
) -> Result<Vec<Known>, Unanswered> {
    if partitions.is_empty() {
        return Ok(Vec::new());
    }
    let committed = committed(consumer, partitions)?;
    let nothing_committed: Vec<(String, i32)> = partitions
        .iter()
        .zip(&committed)
        .filter(|(_, c)| c.is_none())
        .map(|(p, _)| p.clone())
        .collect();
    let at_times = at_time(consumer, start, &nothing_committed)?;
    let mut known = Vec::with_capacity(partitions.len());
    for ((topic, number), committed) in partitions.iter().zip(committed) {
        let (low, high) = consumer
            .fetch_watermarks(topic, *number, ASK_TIMEOUT)
            .map_err(unanswered("where the log begins and ends"))?;
        let at_time = at_times
            .as_ref()
            .and_then(|list| list.find_partition(topic, *number))
            .and_then(|element| concrete(element.offset()));
        known.push(Known { committed, low, high, at_time });
    }
    Ok(known)
}

fn concrete(offset: Offset) -> Option<i64> {
    match offset {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    }
}

fn committed(
    consumer: &BaseConsumer<GroupContext>,
    partitions: &[(String, i32)],
) -> Result<Vec<Option<i64>>, Unanswered> {
    let unanswered = unanswered("the group's committed offsets");
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, number) in partitions {
        list.add_partition(topic, *number);
    }
    let list = consumer.committed_offsets(list, ASK_TIMEOUT).map_err(&unanswered)?;
    let find = |(topic, number): &(String, i32)| {
        let element = list.find_partition(topic, *number).ok_or_else(|| {
            Unanswered::new("the group's committed offsets", None, "one is missing in the answer")
        })?;
        element.error().map_err(&unanswered)?;
        Ok(concrete(element.offset()))
    };
    partitions.iter().map(find).collect()
}

fn at_time(
    consumer: &BaseConsumer<GroupContext>,
    start: &Start,
    partitions: &[(String, i32)],
) -> Result<Option<TopicPartitionList>, Unanswered> {
    let what = "the offsets of the configured time";
    let Ok(Some(timestamp_ms)) = start.timestamp_ms() else { return Ok(None) };
    if partitions.is_empty() {
        return Ok(None);
    }
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for (topic, number) in partitions {
        list.add_partition_offset(topic, *number, Offset::Offset(timestamp_ms))
            .map_err(unanswered(what))?;
    }
    let list = consumer.offsets_for_times(list, ASK_TIMEOUT).map_err(unanswered(what))?;
    list.elements().iter().try_for_each(|e| e.error()).map_err(unanswered(what))?;
    Ok(Some(list))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use weir_actors::position::{PartitionId, TopicId};

    const KNOWN: Known = Known { committed: None, low: 5_000, high: 9_000, at_time: None };

    #[test]
    fn a_committed_offset_comes_before_every_start() {
        let known = Known { committed: Some(6_000), at_time: Some(7_000), ..KNOWN };
        let time = Start::Timestamp("2026-01-01T00:00:00Z".to_owned());
        for start in [Start::Committed, Start::Earliest, Start::Latest, time] {
            assert_eq!(begin(&start, known), Begin::Committed(6_000));
        }
    }

    #[test]
    fn where_nothing_is_committed_the_start_decides() {
        let time = Start::Timestamp("2026-01-01T00:00:00Z".to_owned());
        assert_eq!(begin(&Start::Committed, KNOWN), Begin::Beginning(5_000));
        assert_eq!(begin(&Start::Earliest, KNOWN), Begin::Beginning(5_000));
        assert_eq!(begin(&Start::Latest, KNOWN), Begin::Chosen(9_000));
        assert_eq!(begin(&time, KNOWN), Begin::Chosen(9_000));
        let known = Known { at_time: Some(7_000), ..KNOWN };
        assert_eq!(begin(&time, known), Begin::Chosen(7_000));
    }

    #[test]
    fn a_committed_offset_before_the_log_is_gone() {
        let at =
            |committed| begin(&Start::Committed, Known { committed: Some(committed), ..KNOWN });
        assert_eq!(at(4_999), Begin::Gone(4_999));
        assert_eq!(at(5_000), Begin::Committed(5_000));
    }

    #[test]
    fn a_loss_says_how_much_is_gone() {
        let partition = TopicPartition {
            topic: Arc::from("readings"),
            id: PartitionId { topic: TopicId(1), number: 3 },
        };
        let text = loss_text(&partition, "the group \"weir\"", 1_000, 5_000, 9_000);
        assert!(
            text.starts_with(
                "readings[3]: the group \"weir\" stands at offset 1,000, the log begins at 5,000: \
                 4,000 events are gone"
            ),
            "{text}"
        );
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(-123), "-123");
    }
}
