//! Rows in bounded requests: Cassandra refuses a batch over a limit of bytes.

use crate::store::Row;

/// What a row weighs in a request besides the name of its series: position,
/// time, value, flags, three coordinates, and the framing of each as CQL values
/// (4 bytes of length each).
pub const ROW_BYTES_FIXED: usize = 8 + 2 + 8 + 8 + 1 + 3 * 8 + 9 * 4;

/// About how many bytes the row takes in a request; never too few.
pub fn row_bytes(row: &Row) -> usize {
    ROW_BYTES_FIXED + row.series.len()
}

/// Cuts rows into runs of at most about `bytes_max` bytes each, in their order.
/// A row that is larger alone stands alone.
pub fn split(rows: Vec<Row>, bytes_max: usize) -> Vec<Vec<Row>> {
    let mut chunks = Vec::new();
    let mut chunk = Vec::new();
    let mut bytes = 0;
    for row in rows {
        let size = row_bytes(&row);
        if !chunk.is_empty() && bytes + size > bytes_max {
            chunks.push(std::mem::take(&mut chunk));
            bytes = 0;
        }
        bytes += size;
        chunk.push(row);
    }
    if !chunk.is_empty() {
        chunks.push(chunk);
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Position;

    fn row(offset: i64, name_bytes: usize) -> Row {
        Row {
            series: vec![b'a'; name_bytes],
            position: Position::at(offset),
            time_us: 0,
            value: 0.0,
            flags: 0,
            location: None,
        }
    }

    #[test]
    fn rows_are_cut_under_the_limit_and_stay_in_order() {
        let rows: Vec<Row> = (0..100).map(|n| row(n, (n % 40) as usize)).collect();
        let limit = 1_000;
        let chunks = split(rows.clone(), limit);
        assert!(chunks.len() > 5);
        for chunk in &chunks {
            assert!(!chunk.is_empty());
            assert!(chunk.iter().map(row_bytes).sum::<usize>() <= limit);
        }
        assert_eq!(chunks.concat(), rows);
    }

    #[test]
    fn a_row_over_the_limit_stands_alone() {
        let chunks = split(vec![row(1, 1), row(2, 5_000), row(3, 1)], 500);
        assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn no_rows_make_no_request() {
        assert!(split(Vec::new(), 10).is_empty());
    }
}
