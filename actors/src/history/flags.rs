//! What was noticed about an event when it was applied: one byte of bits beside
//! its value. The bits are stored, so they do not change; a reader ignores those
//! that it does not know.

/// Its time lies before its series' clock: it came late.
pub const LATE: u8 = 1;

/// Its time is the same as the newest of its series.
pub const REPEATED: u8 = 2;

/// Its time runs so far ahead of its record's timestamp that it does not move
/// its series' clock.
pub const AHEAD: u8 = 4;

/// Its detector judged it anomalous.
pub const ANOMALOUS: u8 = 8;

/// Its detector failed on it again and again; it was kept, not judged.
pub const POISON: u8 = 16;
