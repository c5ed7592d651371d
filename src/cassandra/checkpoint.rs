//! Checkpoints of whole groups, in parts.
//!
//! A version is named by its position and by the digest of its bytes, so the
//! parts of two writers of one position never mix. It counts once all its parts
//! are there; the older versions are dropped only then.

use std::ops::ControlFlow;

use weir_actors::position::{GroupId, Position};
use weir_actors::store::{Checkpoint, StoreError};
use xxhash_rust::xxh3::xxh3_64;

use super::history::{Key, position};
use super::store::Inner;

/// Bytes of one part, well under what Cassandra takes in one write.
pub(super) const PART_BYTES: usize = 256 * 1024;

const TABLE: &str = "checkpoints";

/// Writes all parts, then drops what is older.
pub(super) async fn put(
    inner: &Inner,
    group: GroupId,
    checkpoint: &Checkpoint,
) -> Result<(), StoreError> {
    let key = Key::of(inner, group);
    let Position { offset, index } = checkpoint.position;
    let index = i32::from(index);
    let digest = digest(&checkpoint.bytes);
    // Even an empty state has a part: the version must be seen.
    let parts = checkpoint.bytes.len().div_ceil(PART_BYTES).max(1);
    for part in 0..parts {
        let end = checkpoint.bytes.len().min((part + 1) * PART_BYTES);
        let values = (
            key.job,
            &key.topic,
            key.partition,
            key.key_group,
            offset,
            index,
            digest,
            part as i32,
            parts as i32,
            &checkpoint.bytes[part * PART_BYTES..end],
        );
        inner.execute(TABLE, &inner.statements.part_put, values).await?;
    }
    let older = (key.job, &key.topic, key.partition, key.key_group, offset, index);
    inner.execute(TABLE, &inner.statements.parts_drop, older).await
}

/// The newest version that is whole.
pub(super) async fn newest(
    inner: &Inner,
    group: GroupId,
) -> Result<Option<Checkpoint>, StoreError> {
    type Found = (i64, i32, i64, i32, i32, Vec<u8>);
    let key = Key::of(inner, group);
    let values = (key.job, &key.topic, key.partition, key.key_group);
    let mut version = Version::default();
    let mut whole = None;
    inner
        .read(TABLE, &inner.statements.parts_get, values, |found: Found| {
            let (offset, index, digest, part, parts, data) = found;
            let name = (position(TABLE, offset, index)?, digest);
            if version.name != Some(name) {
                version = Version { name: Some(name), ..Version::default() };
            }
            if version.add(part, parts, &data) {
                let bytes = std::mem::take(&mut version.bytes);
                whole = Some(checked(group, name, bytes)?);
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    Ok(whole)
}

/// A version as it is put together; its parts come in order.
#[derive(Default)]
struct Version {
    name: Option<(Position, i64)>,
    seen: i32,
    bytes: Vec<u8>,
}

impl Version {
    /// Adds a part; `true` once it is whole.
    fn add(&mut self, part: i32, parts: i32, data: &[u8]) -> bool {
        // A part that is missing leaves `seen` behind for good.
        if part != self.seen {
            return false;
        }
        self.seen += 1;
        self.bytes.extend_from_slice(data);
        self.seen == parts
    }
}

fn checked(
    group: GroupId,
    (position, expected): (Position, i64),
    bytes: Vec<u8>,
) -> Result<Checkpoint, StoreError> {
    if digest(&bytes) != expected {
        return Err(StoreError::Damaged(format!(
            "{TABLE}: the bytes of group {group} at {position} do not have their digest; delete \
             that version, and the group is rebuilt from its history"
        )));
    }
    Ok(Checkpoint { position, bytes })
}

fn digest(bytes: &[u8]) -> i64 {
    xxh3_64(bytes) as i64
}
