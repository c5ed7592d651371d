//! Weir's own binary format: one value, small and quick to read. All numbers are
//! little-endian.
//!
//! | bytes | what |
//! | --- | --- |
//! | 0 | version, 1 |
//! | 1..9 | time, i64, microseconds since 1970 |
//! | 9..17 | value, IEEE 754 double, finite |
//! | 17..19 | length of the key, u16; 0 if the key is the message's key |
//! | 19.. | the key, UTF-8, to the end of the message |
//!
//! In Python: `struct.pack("<BqdH", 1, time_us, value, len(key)) + key`.

/// The version that is written.
pub const VERSION: u8 = 1;

/// Bytes before the key.
pub const HEAD_BYTES: usize = 19;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Compact {
    pub(super) time_us: i64,
    pub(super) value: f64,
    /// Bytes of the key at [`HEAD_BYTES`]; 0 if it is the message's.
    pub(super) key_bytes: usize,
}

/// Appends one message. Without a key (or with an empty one) the key is the
/// message's. `None`, and nothing is appended, if the key is longer than 65,535
/// bytes.
pub fn encode(time_us: i64, value: f64, key: Option<&[u8]>, out: &mut Vec<u8>) -> Option<()> {
    let key = key.unwrap_or_default();
    let key_bytes = u16::try_from(key.len()).ok()?;
    out.push(VERSION);
    out.extend_from_slice(&time_us.to_le_bytes());
    out.extend_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&key_bytes.to_le_bytes());
    out.extend_from_slice(key);
    Some(())
}

/// Reads one message; the error says what is wrong.
pub(super) fn decode(value: &[u8]) -> Result<Compact, String> {
    let (head, key) = value.split_first_chunk::<HEAD_BYTES>().ok_or_else(|| {
        format!("the message has {} bytes, compact ones have at least {HEAD_BYTES}", value.len())
    })?;
    let &[version, t0, t1, t2, t3, t4, t5, t6, t7, v0, v1, v2, v3, v4, v5, v6, v7, k0, k1] = head;
    if version != VERSION {
        return Err(format!("the message is of version {version}, this node reads {VERSION}"));
    }
    let key_bytes = usize::from(u16::from_le_bytes([k0, k1]));
    if key.len() != key_bytes {
        return Err(format!("{} bytes of key, the length says {key_bytes}", key.len()));
    }
    Ok(Compact {
        time_us: i64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
        value: f64::from_le_bytes([v0, v1, v2, v3, v4, v5, v6, v7]),
        key_bytes,
    })
}
