//! Stored history of either layout as events in the order of the log, each once.

use super::segment::{SegmentError, SegmentReader};
use crate::store::{History, HistoryRange, Row};

/// The events of `history` within `range`, in the order of the log. Repeats by
/// position are dropped; what was noticed of any of them is kept.
///
/// # Errors
/// If a segment is damaged.
pub fn rows_in_order(history: &History, range: HistoryRange) -> Result<Vec<Row>, SegmentError> {
    let mut rows = match history {
        History::Rows(rows) => rows.clone(),
        History::Segments(segments) => {
            let mut rows = Vec::with_capacity(segments.iter().map(|s| s.events as usize).sum());
            for segment in segments {
                let columns = SegmentReader::new(&segment.bytes)?.read()?;
                rows.extend(columns.events().map(|event| event.to_row()));
            }
            rows
        }
    };
    rows.retain(|row| {
        range.after.is_none_or(|after| row.position > after)
            && range.before.is_none_or(|before| row.position < before)
    });
    rows.sort_by_key(|row| row.position);
    rows.dedup_by(|again, kept| {
        let repeat = again.position == kept.position;
        if repeat {
            kept.flags |= again.flags;
        }
        repeat
    });
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::SegmentBuilder;
    use crate::position::Position;
    use crate::store::Bucket;

    fn segment(offsets: std::ops::Range<i64>, flags: u8) -> crate::store::Segment {
        let mut builder = SegmentBuilder::new();
        for offset in offsets {
            builder.append(b"s", Position::at(offset), offset, offset as f64, flags, None);
        }
        builder.finish(&mut Default::default()).expect("it has events")
    }

    #[test]
    fn overlapping_segments_give_each_event_once_in_order() {
        let history =
            History::Segments(vec![segment(5..9, 8), segment(0..7, 0), segment(9..12, 0)]);
        let range = HistoryRange {
            bucket: Bucket(0),
            after: Some(Position::at(1)),
            before: Some(Position::at(11)),
        };
        let rows = rows_in_order(&history, range).expect("they are whole");
        let offsets: Vec<i64> = rows.iter().map(|r| r.position.offset).collect();
        assert_eq!(offsets, (2..11).collect::<Vec<_>>());
        assert_eq!(rows[3].flags, 8, "what one copy has noticed is kept");
    }
}
