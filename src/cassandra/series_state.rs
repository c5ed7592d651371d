//! States of single series that were written out and dropped from memory.
//!
//! A row's write timestamp is its position, and its one column holds position
//! and state together: an older write loses, whenever it arrives.

use weir_actors::position::GroupId;
use weir_actors::store::{Evicted, StoreError};

use super::history::{Key, runs_under};
use super::store::{Inner, position_bytes, position_timestamp, split_position};

const TABLE: &str = "evicted";

/// What Cassandra counts of one row beside series and state.
const ROW_BYTES: usize = 80;

/// Series asked for in one request.
const SERIES_MAX: usize = 100;

/// Writes states.
pub(super) async fn put(
    inner: &Inner,
    group: GroupId,
    states: &[Evicted],
) -> Result<(), StoreError> {
    let key = Key::of(inner, group);
    let bytes = |e: &Evicted| ROW_BYTES + e.series.len() + e.bytes.len();
    for run in runs_under(states, inner.write_bytes_max, bytes) {
        let values: Vec<_> = run
            .iter()
            .map(|e| {
                let mut state = position_bytes(e.position).to_vec();
                state.extend_from_slice(&e.bytes);
                (
                    key.job,
                    &key.topic,
                    key.partition,
                    key.key_group,
                    e.series.as_slice(),
                    state,
                    position_timestamp(e.position),
                )
            })
            .collect();
        inner.execute_together(TABLE, &inner.statements.evicted_put, values).await?;
    }
    Ok(())
}

/// Reads states back; those that are not there are left out.
pub(super) async fn get(
    inner: &Inner,
    group: GroupId,
    series: &[Vec<u8>],
) -> Result<Vec<Evicted>, StoreError> {
    let key = Key::of(inner, group);
    let mut states = Vec::with_capacity(series.len());
    for run in series.chunks(SERIES_MAX) {
        let values = (key.job, &key.topic, key.partition, key.key_group, run);
        let found: Vec<(Vec<u8>, Vec<u8>)> =
            inner.read_all(TABLE, &inner.statements.evicted_get, values).await?;
        for (series, state) in found {
            let (position, bytes) = split_position(&state).ok_or_else(|| {
                StoreError::Damaged(format!("{TABLE}: a state of group {group} has no position"))
            })?;
            states.push(Evicted { series, position, bytes: bytes.to_vec() });
        }
    }
    Ok(states)
}
